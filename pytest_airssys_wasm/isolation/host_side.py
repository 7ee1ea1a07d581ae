"""Host functions of this process, called by a guest in another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.codec import leave_core, results_to_json
from pytest_airssys_wasm.isolation.proxies import DROP
from pytest_airssys_wasm.protocol.session_messages import HostCall, HostReply
from pytest_airssys_wasm.runtime.base.values import Mismatch, short_repr
from pytest_airssys_wasm.runtime.errors import RuntimeDied
from pytest_airssys_wasm.runtime.host.functions import call_host, drop_object
from pytest_airssys_wasm.runtime.wit.world import functions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_airssys_wasm.isolation.codec import ValueCodec
    from pytest_airssys_wasm.isolation.objects import HostObjects
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions

Signature = tuple[tuple[Any, ...], tuple[Any, ...]]
"""The types of an import's parameters and results."""


def served_imports(component: Component, host: HostFunctions | None) -> dict[str, Signature]:
    """Every import that `host` serves, by its full name."""
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


class HostCalls:
    """Serves the calls of one execution."""

    def __init__(
        self,
        imports: Mapping[str, Signature],
        host: HostFunctions | None,
        crossing: ValueCodec,
        objects: HostObjects,
        run: Run,
    ) -> None:
        self._imports = imports
        self._host = host
        self._crossing = crossing
        self._objects = objects
        self._run = run

    def serve(self, call: HostCall) -> HostReply:
        """The reply. What a function raised is kept in the run. Raises `RuntimeDied` for what no guest can call."""
        run = self._run
        if call.fuel_left is not None and not 0 <= call.fuel_left <= run.fuel_at_start:
            raise _garbage(f"fuel_left: {call.fuel_left}")
        run.fuel_left = run.fuel_left if call.fuel_left is None else call.fuel_left
        if call.host_call == DROP:
            return self._drop(call)
        run.host_calls += 1
        if call.host_call not in self._imports or self._host is None:
            raise _garbage(f"host_call: {short_repr(call.host_call)} is served by nobody")
        params, results = self._imports[call.host_call]
        function = self._host.find(*_split(call.host_call))
        assert function is not None
        values = self._arrived(call, params)
        try:
            value = self._returned(call_host(function, values, run), results)
        except BaseException as error:  # noqa: BLE001 as in threads: SystemExit and pytest.fail too are the caller's
            run.host_error, run.host_name = error, call.host_call
            return HostReply(asked_for=call.asked_for, host_error=type(error).__name__)
        return HostReply(asked_for=call.asked_for, host_return=value)

    def _arrived(self, call: HostCall, params: Sequence[Any]) -> list[Any]:
        if len(call.args) != len(params):
            raise _garbage(f"args: {len(call.args)} of {len(params)}")
        try:
            return [self._crossing.arrive(value, type_) for value, type_ in zip(call.args, params)]
        except Exception as error:  # a lie may make anything of it; were it our fault, its cause shows that
            raise _garbage(f"args of {short_repr(call.host_call)}: {error}") from error

    def _returned(self, value: Any, results: Sequence[Any]) -> Any:
        if not results:
            if value is not None:
                raise TypeError(f"it returned {short_repr(value)}, but has no result")
            return None
        if not isinstance(results[0], str):
            try:
                return self._crossing.leave(value, results[0])
            except Mismatch as error:
                raise error.at("result")
        values = (value,) if len(results) == 1 else tuple(value)
        if len(values) != len(results):
            raise TypeError(f"returned {short_repr(value)}, expected {len(results)} result(s)")
        return results_to_json(leave_core(values, results, "result"))

    def _drop(self, call: HostCall) -> HostReply:
        try:
            dropped = self._objects.take_back(call.args)
        except LookupError as error:
            raise _garbage(str(error)) from None
        try:
            drop_object(dropped, self._run)
        except BaseException as error:  # noqa: BLE001 as above; it is kept in the run already
            return HostReply(asked_for=call.asked_for, host_error=type(error).__name__)
        return HostReply(asked_for=call.asked_for, host_return=None)


def _split(name: str) -> tuple[str, str]:
    interface, _, function = name.rpartition("#")
    return interface, function


def _garbage(what: str) -> RuntimeDied:
    return RuntimeDied(f"the guest's process asked for what there is not ({what})", "garbage")
