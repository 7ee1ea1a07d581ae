"""Resources, on the side of the host: objects of this process that guests hold, and handles of theirs that it holds."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.codec import Handle, handle_from_json
from pytest_airssys_wasm.runtime.base.values import WrongType
from pytest_airssys_wasm.runtime.guest.resources import Resource, check_served
from pytest_airssys_wasm.runtime.wit.types import BorrowType, OwnType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle, Runner
    from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions


class HostObjects:
    """The resources of one store."""

    def __init__(self, store: Runner, host: HostFunctions | None) -> None:
        self._store = store
        self._host = host
        self._objects: dict[int, Any] = {}
        self._numbers = count(1)
        self.component: WitComponent | None = None
        """What runs just now."""
        self.instance: InstanceHandle | None = None
        """The same, once it is instantiated: then its resources have methods."""
        self.forgotten: list[int] = []
        """Handles of guests that nobody holds here any more, and the other side still does."""

    def hand_out(self, value: Any, type_: OwnType | BorrowType) -> Handle:
        """The handle of a resource that goes to the guest. Raises `WrongType` for what is none."""
        if isinstance(value, Resource):
            if value._store is not self._store:
                raise ValueError(f"the resource {type_.resource} belongs to another store")
            return Handle(is_host=False, number=value._peek() if isinstance(type_, BorrowType) else value._take())
        if self.component is None:
            raise WrongType(str(type_), value)
        check_served(value, type_, self.component, self._host)
        number = next(self._numbers)
        self._objects[number] = value
        return Handle(is_host=True, number=number)

    def take_in(self, handle: Handle, type_: OwnType | BorrowType) -> Any:
        """What a handle that came stands for. Raises `LookupError` for one that was never given out."""
        if handle.is_host:
            return self._objects.pop(handle.number) if isinstance(type_, OwnType) else self._objects[handle.number]
        component = self.component
        if component is None:
            raise LookupError("a module has no resources")
        return Resource(handle.number, type_, self._store, component, self.instance, self.forgotten.append)

    def take_back(self, args: Sequence[Any]) -> object:
        """The object of which the guest has dropped its last handle. Raises `LookupError` where there is none."""
        handle = handle_from_json(args[0])
        if not isinstance(handle, Handle) or not handle.is_host:
            raise LookupError(f"no host object: {args}")
        return self._objects.pop(handle.number)

    def take_forgotten(self) -> list[int]:
        """Those that were forgotten since the last time."""
        numbers = []
        while self.forgotten:
            numbers.append(self.forgotten.pop())
        return numbers
