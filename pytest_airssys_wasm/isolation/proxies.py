"""The proxies by which a worker represents the host functions and host objects of its driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.codec import Handle, handle_from_json, handle_to_json
from pytest_airssys_wasm.protocol.values import decode, encode
from pytest_airssys_wasm.runtime.execution.host_call_context import RUN
from pytest_airssys_wasm.runtime.guest.resources import Resource
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.wit.types import FunctionType, OwnType
from pytest_airssys_wasm.runtime.wit.world import flatten, full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.protocol.host_calls import Ask
    from pytest_airssys_wasm.runtime.guest.component import Component

DROP = "[drop]"
"""The name of the host call that informs the driver that the guest has dropped its last handle to a host object."""


class Objects:
    """The resources of one store, with the numbers by which both processes identify them."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._given: dict[int, Resource] = {}
        self._last = 0

    def encode(self, value: Any) -> Any:
        """Return a value as JSON. Resources in the value are assigned numbers."""
        return encode(value, self._rest)

    def decode(self, value: Any, type_: Any) -> Any:
        """Return the value of this type from JSON. The value is checked by the call that uses it."""
        return decode(value, type_, self._resource)

    def take(self, number: int) -> Resource:
        """Return the guest's resource with this number, which the driver passes back.

        Raises `LookupError` for an unknown number.
        """
        resource = self._known(number)
        del self._given[number]
        return resource

    def forget(self, numbers: Sequence[int]) -> None:
        """Release the guest's resources that the driver no longer holds."""
        for number in numbers:
            self._given.pop(number, None)

    def new_host_object(self, number: int) -> HostObject:
        """Return the proxy of a host object of the driver."""
        return HostObject(number, self._ask)

    def _rest(self, value: Any) -> Any:
        if isinstance(value, HostObject):
            return handle_to_json(Handle(is_host=True, number=value.number))
        if isinstance(value, Resource):
            self._last += 1
            self._given[self._last] = value
            return handle_to_json(Handle(is_host=False, number=self._last))
        return handle_to_json(value)

    def _resource(self, value: Any, type_: Any) -> Any:
        handle = handle_from_json(value)
        if not isinstance(handle, Handle):
            return value
        if handle.is_host:
            return self.new_host_object(handle.number)
        return self.take(handle.number) if isinstance(type_, OwnType) else self._known(handle.number)

    def _known(self, number: int) -> Resource:
        resource = self._given.get(number)
        if resource is None:
            raise LookupError(f"resource {number} was never given out, or was given back")
        return resource


class HostObject:
    """The proxy of a host object of the driver, for a guest to hold."""

    def __init__(self, number: int, ask: Ask) -> None:
        self.number = number
        self._ask = ask

    def drop(self) -> None:
        """Inform the driver that the guest has dropped its last handle to this object."""
        self._ask(DROP, [handle_to_json(Handle(is_host=True, number=self.number))], RUN.get())


def proxy_host(
    component: Component, imports: Sequence[str], resources: Sequence[str], objects: Objects, ask: Ask
) -> HostFunctions:
    """Return host functions that call the host functions of the driver."""
    host = HostFunctions()
    results = _result_types(component)
    for name in imports:
        host.register(name, _proxy(name, results.get(name, ()), objects, ask))
    for name in resources:
        host.register_resource(name, HostObject)
    return host


def _proxy(name: str, results: Sequence[Any], objects: Objects, ask: Ask) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        value = ask(name, [objects.encode(one) for one in args], RUN.get())
        if len(results) > 1:
            return tuple(objects.decode(one, type_) for one, type_ in zip(value, results))
        return objects.decode(value, results[0]) if results else None

    return call


def _result_types(component: Component) -> dict[str, Sequence[Any]]:
    if component.kind == "module":
        return {name: getattr(type_, "results", ()) for name, type_ in component.imports.items()}
    return {
        full_name(interface, name): () if item.result is None else (item.result,)
        for interface, name, item in flatten(component.imports)
        if isinstance(item, FunctionType)
    }
