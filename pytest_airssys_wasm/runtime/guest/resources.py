"""Resources: handles that a guest gives out, and Python objects that serve the resources it imports."""

from __future__ import annotations

from _thread import get_ident
from ctypes import byref, c_void_p
from itertools import count
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import WrongType, attribute_name
from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.guest.operations import DropResource
from pytest_airssys_wasm.runtime.host.functions import drop_object
from pytest_airssys_wasm.runtime.wit.types import BorrowType, OwnType

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.in_process import ThreadHome
    from pytest_airssys_wasm.runtime.guest.instance import Instance
    from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.store.store import LimitedStore


class Resource:
    """A handle of a resource that a guest implements. A context manager; its methods are attributes in snake_case.

    `drop` runs the guest's destructor, as an execution of its own. A handle passed to the guest by value (`own`)
    is the guest's from then on, and cannot be used any more.
    """

    def __init__(
        self,
        pointer: int,
        store: LimitedStore,
        component: WitComponent,
        instance: Instance | None,
        prefix: str,
        name: str,
        forget: Callable[[int], None],
    ) -> None:
        self._pointer: int | None = pointer
        self._forget = forget
        self._store = store
        self._component = component
        self._instance = instance
        self._prefix = prefix
        self._name = name

    def drop(self) -> None:
        """Give the handle back; the guest's destructor runs. Calling it again does nothing."""
        if self._pointer is None or not self._store.is_usable:
            return
        self._store.run(DropResource(self._component, f"{self._prefix}[drop]{self._name}", self._take()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After a failure the instance cannot be entered any more, and its store takes the resource with it.
        if not isinstance(error, WasmError):
            self.drop()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or self._instance is None:
            raise AttributeError(name)
        for role, lead in (("method", (self,)), ("static", ())):
            prefix = f"{self._prefix}[{role}]{self._name}."
            for full in self._instance.component.function_names():
                if full.startswith(prefix) and attribute_name(full[len(prefix) :]) == name:
                    instance = self._instance
                    return lambda *args: instance.call(full, *lead, *args)
        raise AttributeError(f"resource {self._name!r} has no method {name!r}")

    def __repr__(self) -> str:
        state = "" if self._pointer is not None else " (dropped or given away)"
        return f"<resource {self._name}{state}>"

    def __del__(self) -> None:
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._forget(pointer)

    def _peek(self) -> int:
        """The handle. Raises `ValueError` when it was dropped or given away."""
        if self._pointer is None:
            raise ValueError(f"the resource {self._name!r} was dropped or given away")
        return self._pointer

    def _take(self) -> int:
        """The handle, which is somebody else's from now on. Raises as `_peek`."""
        pointer = self._peek()
        self._pointer = None
        return pointer


def check_served(
    value: object, type_: OwnType | BorrowType, component: WitComponent, host: HostFunctions | None
) -> tuple[str, str]:
    """Interface and name of the host resource that `value` is an object of. Raises `WrongType` where it is none."""
    home = component.imported_home(type_.resource)
    served = host.find_resource(*home) if home and host else None
    if home is None or served is None or not isinstance(value, served):
        wanted = served.__name__ if served else "a Resource that the guest gave out"
        raise WrongType(f"{type_} ({wanted})", value)
    return home


class Resources:
    """The resources of one store, as conversions between handles and Python objects."""

    def __init__(self, home: ThreadHome) -> None:
        self._home = home
        self._objects: dict[int, Any] = {}
        self._representations = count(1)
        self._types: dict[tuple[str, str], int] = {}

    def type_id(self, interface: str, name: str) -> int:
        """The number by which wasmtime knows this host resource in this store."""
        return self._types.setdefault((interface, name), len(self._types) + 1)

    def destroy(self, representation: int) -> None:
        """The guest dropped its last handle of a host resource."""
        served = self._objects.pop(representation, None)
        drop_object(served, self._home.engine.current[get_ident()])

    def attach(self, run: Run, component: WitComponent, instance: Instance | None) -> None:
        """Convert the resources of `component` in this run. Needs the instance to offer methods on handles."""

        def lift(pointer: int, type_: OwnType | BorrowType) -> object:
            return self._lift(pointer, type_, component, instance, run)

        def lower(value: object, type_: OwnType | BorrowType) -> int:
            return self._lower(value, type_, component, run)

        run.transfer.lift_resource = lift
        run.transfer.lower_resource = lower

    def _lift(
        self, pointer: int, type_: OwnType | BorrowType, component: WitComponent, instance: Instance | None, run: Run
    ) -> object:
        host = c_void_p()
        error = abi.resource_any_to_host(self._home.raw.context, pointer, byref(host))
        if error:
            abi.error_delete(error)
            prefix = component.prefix_of(type_.resource)
            return Resource(
                pointer, self._home.store, component, instance, prefix, type_.resource.name, abi.resource_any_delete
            )
        representation = abi.resource_host_rep(host)
        abi.resource_host_delete(host)
        run.handles.append(pointer)
        if isinstance(type_, OwnType):
            return self._objects.pop(representation)
        return self._objects[representation]

    def _lower(self, value: object, type_: OwnType | BorrowType, component: WitComponent, run: Run) -> int:
        if isinstance(value, Resource):
            if value._store is not self._home.store:
                raise ValueError(f"the resource {type_.resource} belongs to another store")
            if isinstance(type_, BorrowType):
                return value._peek()
            pointer = value._take()
        else:
            pointer = self._lower_object(value, type_, component)
        run.handles.append(pointer)
        return pointer

    def _lower_object(self, value: object, type_: OwnType | BorrowType, component: WitComponent) -> int:
        home = check_served(value, type_, component, self._home.host)
        representation = next(self._representations)
        self._objects[representation] = value
        host = abi.resource_host_new(isinstance(type_, OwnType), representation, self.type_id(*home))
        handle = c_void_p()
        error = abi.resource_host_to_any(self._home.raw.context, host, byref(handle))
        abi.resource_host_delete(host)
        if error:
            raise ValueError(failures.take(error).cause)
        assert handle.value is not None
        return handle.value
