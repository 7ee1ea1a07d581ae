"""The host's side of a store whose guests run in another process: its resources and its host functions."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.codec import Handle, encode_core_results, encode_core_values, handle_from_json
from pytest_airssys_wasm.isolation.proxies import DROP
from pytest_airssys_wasm.protocol.session_messages import HostCall, HostReply
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.base.values import Mismatch, WrongType, short_repr
from pytest_airssys_wasm.runtime.errors import RuntimeDied
from pytest_airssys_wasm.runtime.guest.resources import Resource, check_served
from pytest_airssys_wasm.runtime.host.functions import call_host, drop_object
from pytest_airssys_wasm.runtime.wit.types import BorrowType, OwnType
from pytest_airssys_wasm.runtime.wit.world import functions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_airssys_wasm.isolation.codec import ValueCodec
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle, Runner
    from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions

Signature = tuple[tuple[Any, ...], tuple[Any, ...]]
"""The types of an import's parameters and results."""


class HostObjects:
    """The resources of one store: the objects of this process that guests hold, and the handles of guests that this
    process holds.
    """

    def __init__(self, runner: Runner, host: HostFunctions | None) -> None:
        self._runner = runner
        self._host = host
        self._objects: dict[int, Any] = {}
        self._numbers = count(1)
        self._handed_out: list[int] = []
        """The numbers of the host objects that were sent since `begin`."""
        self._given: list[Resource] = []
        """The guest's resources that were sent by value since `begin`, and belong to the guest once it has them."""
        self.component: WitComponent | None = None
        """The running component; `None` for a module."""
        self.instance: InstanceHandle | None = None
        """The instance of the running component, from which its resources have their methods; `None` before
        instantiation.
        """
        self.forgotten: list[int] = []
        """The handles of guests that are no longer used in this process, but are still held by the other process."""

    def begin(self) -> None:
        """Begin to convert values that go to the guest together, or not at all."""
        self._handed_out.clear()
        self._given.clear()

    def give(self) -> None:
        """Give the guest the resources that were converted, now that nothing else can be refused."""
        for resource in self._given:
            resource._take()
        self.begin()

    def keep(self) -> None:
        """Keep the resources that were converted, since the guest does not get them."""
        for number in self._handed_out:
            del self._objects[number]
        self.begin()

    def hand_out(self, value: Any, type_: OwnType | BorrowType) -> Handle:
        """Return the handle of a resource that is sent to the guest. Raises `WrongType` for any other object."""
        if isinstance(value, Resource):
            if value._store is not self._runner:
                raise ValueError(f"the resource {type_.resource} belongs to another store")
            number = value._peek()
            if any(value is one for one in self._given):
                raise ValueError(f"the resource {type_.resource} is given away by the same call")
            if isinstance(type_, OwnType):
                self._given.append(value)
            return Handle(is_host=False, number=number)
        if self.component is None:
            raise WrongType(str(type_), value)
        check_served(value, type_, self.component, self._host)
        number = next(self._numbers)
        self._objects[number] = value
        self._handed_out.append(number)
        return Handle(is_host=True, number=number)

    def take_in(self, handle: Handle, type_: OwnType | BorrowType) -> Any:
        """Return the object of a handle that was received.

        Raises `LookupError` for a handle that was never given out.
        """
        if handle.is_host:
            return self._objects.pop(handle.number) if isinstance(type_, OwnType) else self._objects[handle.number]
        component = self.component
        if component is None:
            raise LookupError("modules do not have resources")
        return Resource(handle.number, type_, self._runner, component, self.instance, self.forgotten.append)

    def take_back(self, args: Sequence[Any]) -> object:
        """Remove and return the object whose last handle the guest has dropped.

        Raises `LookupError` for an unknown handle.
        """
        handle = handle_from_json(args[0])
        if not isinstance(handle, Handle) or not handle.is_host:
            raise LookupError(f"expected the handle of a host object, got {args}")
        return self._objects.pop(handle.number)

    def take_forgotten(self) -> list[int]:
        """Return the handles that were forgotten since the last call of this method."""
        numbers = []
        while self.forgotten:
            numbers.append(self.forgotten.pop())
        return numbers


def served_imports(component: Component, host: HostFunctions | None) -> dict[str, Signature]:
    """Return every import that `host` serves, by its full name."""
    if host is None:
        return {}
    if component.kind == "module":
        types = {name: (one.params, one.results) for name, one in component.imports.items() if hasattr(one, "params")}
    else:
        types = {
            name: (tuple(type_ for _, type_ in one.params), () if one.result is None else (one.result,))
            for name, one in functions(component.imports).items()
        }
    return {name: both for name, both in types.items() if host.find(*_split(name)) is not None}


class HostCallServer:
    """The server of the host calls of one execution."""

    def __init__(
        self,
        imports: Mapping[str, Signature],
        host: HostFunctions | None,
        codec: ValueCodec,
        objects: HostObjects,
        run: Run,
    ) -> None:
        self._imports = imports
        self._host = host
        self._codec = codec
        self._objects = objects
        self._run = run

    def serve(self, call: HostCall) -> HostReply:
        """Call a host function and return the reply; an error that the function raised is kept in the run.

        Raises `RuntimeDied` for a call that a guest cannot make.
        """
        run = self._run
        if call.fuel_left is not None and not 0 <= call.fuel_left <= run.fuel_at_start:
            raise protocol_broken(f"fuel_left: {call.fuel_left}")
        run.fuel_left = run.fuel_left if call.fuel_left is None else call.fuel_left
        if call.host_call == DROP:
            return self._drop(call)
        run.host_calls += 1
        if call.host_call not in self._imports or self._host is None:
            raise protocol_broken(f"host_call: {short_repr(call.host_call)} is not served")
        params, results = self._imports[call.host_call]
        function = self._host.find(*_split(call.host_call))
        assert function is not None
        args = self._decoded(call, params)
        try:
            value = self._encoded(call_host(function, args, run), results)
        except BaseException as error:  # noqa: BLE001 as in threads: SystemExit and pytest.fail too are the caller's
            run.host_error, run.host_name = error, call.host_call
            return HostReply(asked_for=call.asked_for, host_error=type(error).__name__)
        return HostReply(asked_for=call.asked_for, host_return=value)

    def _decoded(self, call: HostCall, params: Sequence[Any]) -> list[Any]:
        if len(call.args) != len(params):
            raise protocol_broken(f"args: expected {len(params)} values, got {len(call.args)}")
        try:
            return [self._codec.decode(value, type_) for value, type_ in zip(call.args, params)]
        except Exception as error:  # a lie may make anything of it; were it our fault, its cause shows that
            raise protocol_broken(f"args of {short_repr(call.host_call)}: {error}") from error

    def _encoded(self, value: Any, results: Sequence[Any]) -> Any:
        if not results:
            if value is not None:
                raise TypeError(f"it returned {short_repr(value)}, but has no result")
            return None
        if not isinstance(results[0], str):
            self._objects.begin()
            try:
                encoded = self._codec.encode(value, results[0])
            except Mismatch as error:
                raise error.at("result")
            self._objects.give()
            return encoded
        values = (value,) if len(results) == 1 else tuple(value)
        if len(values) != len(results):
            raise TypeError(f"returned {short_repr(value)}, expected {counted(len(results), 'result')}")
        return encode_core_results(encode_core_values(values, results, "result"))

    def _drop(self, call: HostCall) -> HostReply:
        try:
            dropped = self._objects.take_back(call.args)
        except LookupError as error:
            raise protocol_broken(error) from None
        try:
            drop_object(dropped, self._run)
        except BaseException as error:  # noqa: BLE001 as above; it is kept in the run already
            return HostReply(asked_for=call.asked_for, host_error=type(error).__name__)
        return HostReply(asked_for=call.asked_for, host_return=None)


def protocol_broken(what: object) -> RuntimeDied:
    """Return the error for a process that wrote something that a correct process cannot write."""
    return RuntimeDied(f"the guest's process broke the protocol: {what}", "garbage")


def _split(name: str) -> tuple[str, str]:
    interface, _, function = name.rpartition("#")
    return interface, function
