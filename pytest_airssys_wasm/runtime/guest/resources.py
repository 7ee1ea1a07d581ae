"""The resources: handles that a guest gives out, and Python objects that implement the resources that it imports."""

from __future__ import annotations

import weakref
from ctypes import byref, c_void_p
from itertools import count
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.originals import get_ident
from pytest_airssys_wasm.runtime.base.values import WrongType
from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.guest.component import by_attribute, choose
from pytest_airssys_wasm.runtime.guest.named_arguments import in_order
from pytest_airssys_wasm.runtime.guest.operations import CallExport, DropResource
from pytest_airssys_wasm.runtime.host.functions import drop_object
from pytest_airssys_wasm.runtime.wit.types import BorrowType, OwnType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle, Runner
    from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions


_TAKEN = frozenset(["drop", "drop_async"])


class Resource:
    """A handle to a resource that a guest implements. Its methods are attributes in snake_case.

    A method whose name is a Python keyword has a `_` appended, and so have the methods `drop` and `drop-async`, because
    `drop` and `drop_async` drop the handle.

    As a context manager (`with` or `async with`) the handle is dropped at the end of the block. `drop` runs the guest's
    destructor, as a separate execution. A handle that is passed to the guest by value (`own`) belongs to the guest from
    then on, and cannot be used any more. If the call is refused, for example because another argument does not fit, the
    handle can still be used.
    """

    def __init__(
        self,
        pointer: int,
        type_: OwnType | BorrowType,
        store: Runner,
        component: WitComponent,
        instance: InstanceHandle | None,
        forget: Callable[[int], None],
    ) -> None:
        self._pointer: int | None = pointer
        self._forget = forget
        self._store = store
        self._component = component
        self._instance = instance
        self._type = type_.resource

    def drop(self) -> None:
        """Drop the handle, which runs the guest's destructor. Further calls do nothing."""
        if self._pointer is not None and self._store.is_usable:
            self._store.run(self._dropping())

    async def drop_async(self) -> None:
        """Drop the handle without blocking the running event loop; otherwise the same as `drop`."""
        if self._pointer is not None and self._store.is_usable:
            await self._store.run_async(self._dropping())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After a failure the instance cannot be entered any more, and its store takes the resource with it.
        if not isinstance(error, WasmError):
            self.drop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, WasmError):
            await self.drop_async()

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_") or self._instance is None:
            raise AttributeError(name)
        for role, lead in (("method", (self,)), ("static", ())):
            found = self._named(role).get(name)
            if found:
                full = f"{self._prefix}[{role}]{self._name}.{choose(self._component, name, found)}"
                return Method(self._store, self._instance, full, lead)
        raise AttributeError(f"resource {self._name!r} has no method {name!r}")

    def __dir__(self) -> list[str]:
        names = {} if self._instance is None else {**self._named("method"), **self._named("static")}
        return [*super().__dir__(), *filter(str.isidentifier, names)]

    @property
    def _name(self) -> str:
        return self._type.name

    @property
    def _prefix(self) -> str:
        return self._component.prefix_of(self._type)

    def _named(self, role: str) -> dict[str, tuple[str, ...]]:
        """Return the names of the functions of this resource with a role, by their attributes."""
        prefix = f"{self._prefix}[{role}]{self._name}."
        names = [full[len(prefix) :] for full in self._component.function_names() if full.startswith(prefix)]
        return by_attribute(names, _TAKEN)

    def __repr__(self) -> str:
        state = "" if self._pointer is not None else " (dropped or given away)"
        return f"<resource {self._name}{state}>"

    def __del__(self) -> None:
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._forget(pointer)

    def _dropping(self) -> DropResource:
        return DropResource(self._component, f"{self._prefix}[drop]{self._name}", self._take)

    def _peek(self) -> int:
        """Return the handle. Raises `ValueError` if it was dropped or given away."""
        if self._pointer is None:
            raise ValueError(f"the resource {self._name!r} was dropped or given away")
        return self._pointer

    def _take(self) -> int:
        """Return the handle and give up its ownership. Raises `ValueError` if it was already dropped or given away."""
        pointer = self._peek()
        self._pointer = None
        return pointer


class Method:
    """A method or static function of a guest's resource, which can be called."""

    __slots__ = ("_instance", "_lead", "_name", "_store")

    def __init__(self, store: Runner, instance: InstanceHandle, name: str, lead: Sequence[Resource]) -> None:
        self._store = store
        self._instance = instance
        self._name = name
        self._lead = lead

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        """Call the method as one execution; the same as `Instance.call`."""
        return self._store.run(self._calling(args, named))

    async def call_async(self, /, *args: Any, **named: Any) -> Any:
        """Call the method without blocking the running event loop; the same as `Instance.call_async`."""
        return await self._store.run_async(self._calling(args, named))

    def _calling(self, args: tuple[Any, ...], named: dict[str, Any]) -> CallExport:
        if named:
            args = in_order(self._instance.component, self._name, args, named, leads=len(self._lead))
        return CallExport(self._instance, self._name, (*self._lead, *args))

    def __repr__(self) -> str:
        return f"<{self._name} of {self._instance.component!r}>"


def check_served(
    value: object, type_: OwnType | BorrowType, component: WitComponent, host: HostFunctions | None
) -> tuple[str, str]:
    """Return the interface and the name of the host resource whose class `value` is an instance of.

    Raises `WrongType` for any other object.
    """
    place = component.import_of(type_.resource)
    served = host.find_resource(*place) if place and host else None
    if place is None or served is None or not isinstance(value, served):
        wanted = served.__name__ if served else "a Resource that the guest gave out"
        raise WrongType(f"{type_} ({wanted})", value)
    return place


class Resources:
    """The resources of one store, as conversions between handles and Python objects."""

    def __init__(self, context: int, runs: Mapping[int, Run], host: HostFunctions | None, store: Runner) -> None:
        self.host = host
        """The host functions of the store, whose classes serve imported resources."""
        self._context = context
        self._runs = runs
        # The callbacks of host resources hold this object for as long as the guest lives, and so would its store.
        self._runner = weakref.ref(store)
        self._objects: dict[int, Any] = {}
        self._representations = count(1)
        self._lent_out: list[int] = []
        """The representations of the host objects that were lowered since `begin`."""
        self._given: list[Resource] = []
        """The guest's resources that were lowered by value since `begin`, and belong to the guest once it has them."""
        self._types: dict[tuple[str, str], int] = {}

    @property
    def _store(self) -> Runner:
        store = self._runner()
        assert store is not None  # it is in use
        return store

    def type_id(self, interface: str, name: str) -> int:
        """Return the number by which wasmtime identifies this host resource in this store."""
        return self._types.setdefault((interface, name), len(self._types) + 1)

    def destroy(self, representation: int) -> None:
        """Release the object of a host resource whose last handle the guest has dropped."""
        served = self._objects.pop(representation, None)
        run = self._runs[get_ident()]
        run.fuel_left = run.account.fuel_left
        drop_object(served, run)

    def begin(self) -> None:
        """Begin to lower values that go to the guest together, or not at all."""
        self._lent_out.clear()
        self._given.clear()

    def lowered(self) -> list[Resource]:
        """Return the guest's resources that were lowered by value since `begin`, to be given with `give`."""
        given = [*self._given]
        self.begin()
        return given

    @staticmethod
    def give(given: Sequence[Resource], run: Run) -> None:
        """Give the guest these resources, now that nothing can be refused any more."""
        for resource in given:
            run.handles.append(resource._take())

    def keep(self, run: Run) -> None:
        """Keep the resources that were lowered, since the guest does not get them."""
        for representation in self._lent_out:
            del self._objects[representation]
        while run.handles:
            abi.resource_any_delete(run.handles.pop())
        self.begin()

    def attach(self, run: Run, component: WitComponent, instance: InstanceHandle | None) -> None:
        """Convert the resources of `component` in this run. Handles have methods if the instance is known."""

        def lift(pointer: int, type_: OwnType | BorrowType) -> object:
            return self._lift(pointer, type_, component, instance, run)

        def lower(value: object, type_: OwnType | BorrowType) -> int:
            return self._lower(value, type_, component, run)

        run.transfer.lift_resource = lift
        run.transfer.lower_resource = lower

    def _lift(
        self,
        pointer: int,
        type_: OwnType | BorrowType,
        component: WitComponent,
        instance: InstanceHandle | None,
        run: Run,
    ) -> object:
        if not self._types:  # of a handle of the guest, wasmtime would write an error, for each of thousands
            return Resource(pointer, type_, self._store, component, instance, abi.resource_any_delete)
        host = c_void_p()
        error = abi.resource_any_to_host(self._context, pointer, byref(host))
        if error:
            abi.error_delete(error)
            return Resource(pointer, type_, self._store, component, instance, abi.resource_any_delete)
        representation = abi.resource_host_rep(host)
        abi.resource_host_delete(host)
        run.handles.append(pointer)
        if isinstance(type_, OwnType):
            return self._objects.pop(representation)
        return self._objects[representation]

    def _lower(self, value: object, type_: OwnType | BorrowType, component: WitComponent, run: Run) -> int:
        if isinstance(value, Resource):
            if value._store is not self._store:
                raise ValueError(f"the resource {type_.resource} belongs to another store")
            pointer = value._peek()
            if any(value is one for one in self._given):
                raise ValueError(f"the resource {type_.resource} is given away by the same call")
            if isinstance(type_, OwnType):
                self._given.append(value)
        else:
            pointer = self._lower_object(value, type_, component)
            run.handles.append(pointer)
        return pointer

    def _lower_object(self, value: object, type_: OwnType | BorrowType, component: WitComponent) -> int:
        place = check_served(value, type_, component, self.host)
        representation = next(self._representations)
        self._objects[representation] = value
        self._lent_out.append(representation)
        host = abi.resource_host_new(isinstance(type_, OwnType), representation, self.type_id(*place))
        handle = c_void_p()
        error = abi.resource_host_to_any(self._context, host, byref(handle))
        abi.resource_host_delete(host)
        if error:
            raise ValueError(failures.take(error).cause)
        assert handle.value is not None
        return handle.value
