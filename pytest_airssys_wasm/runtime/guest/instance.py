"""The instances of components and modules in a store, whose exports can be called."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.guest.component import UnknownExport, check_name, choose
from pytest_airssys_wasm.runtime.guest.named_arguments import in_order
from pytest_airssys_wasm.runtime.guest.operations import CallExport
from pytest_airssys_wasm.runtime.guest.resource_class import ResourceClass
from pytest_airssys_wasm.runtime.wit.world import full_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from typing_extensions import Self

    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle, Runner


class Instance:
    """A component or module instantiated in a store.

    Exports are called by their exact names, or as attributes in snake_case. An attribute stands for the export of
    exactly that name if there is one; if several others remain, it is an error that lists them. As an attribute, a name
    that is a Python keyword or belongs to the instance itself (`call`, `call_async`, `component`, `store`) has a `_`
    appended. Arguments may be given by the names of their parameters, as in WIT or in snake_case.

    An exported resource is an attribute that is called to construct one, and has its static functions as attributes:
    `Bucket` for `bucket`, and also `bucket` if no function has that name. Exports inside an interface are accessed
    through `instance["pkg:name/iface@1.0.0"]`, or called as `"pkg:name/iface@1.0.0#function"`; those of an instance
    inside an interface as `"pkg:name/iface@1.0.0#inner#function"`.

    As a context manager (`with` or `async with`) an instance closes its store at the end of the block.
    """

    def __init__(self, store: Runner, handle: InstanceHandle) -> None:
        self.store = store
        """The store in which the instance lives."""
        self.component = handle.component
        """The component or module of the instance."""
        self._handle = handle
        self._functions: dict[str, Function] = {}

    def call(self, name: str, /, *args: Any, **named: Any) -> Any:
        """Call an export as one execution. Return its value, or raise the `WasmError` with which it ended.

        Raises `UnknownExport` for a name that is not exported, `TypeError` or `ValueError`, which name the position in
        `args`, for a value that does not fit, and `StoreUnusable` for a store that is closed or in use.
        """
        function = self._functions.get(name) if type(name) is str else None
        return (function or self._function(name))(*args, **named)

    async def call_async(self, name: str, /, *args: Any, **named: Any) -> Any:
        """Call an export without blocking the running asyncio event loop; otherwise the same as `call`.

        Cancelling the awaiting task ends the guest.
        """
        return await self._function(name).call_async(*args, **named)

    def __getitem__(self, interface: str) -> Interface:
        """Return the exported interface with this exact name. Raises `UnknownExport` if there is none."""
        return Interface(self, interface)

    def __getattr__(self, name: str) -> Function | ResourceClass:
        # Neither of them refers to the instance, so this does not make a cycle.
        found = self.__dict__[name] = _attribute(self, "", name)
        return found

    def _ipython_key_completions_(self) -> list[str]:
        """Return the names of the interfaces, which IPython and Jupyter offer after `[`."""
        return sorted(filter(None, self.component.attributes))

    def _function(self, name: str) -> Function:
        check_name(name)
        function = self._functions.get(name)
        if function is None:
            function = Function(self.store, self._handle, name)
            if name in self.component.function_names():
                self._functions[name] = function
        return function

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.component.offered("")]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.store.close()

    def __repr__(self) -> str:
        return f"<instance of {self.component!r}>"


class Interface:
    """The functions and resources that an instance exports inside one interface, as attributes."""

    def __init__(self, instance: Instance, name: str) -> None:
        check_name(name)
        self._instance = instance
        self._name = name
        if not name or name not in instance.component.attributes:
            raise UnknownExport.among(instance.component, name, filter(None, instance.component.attributes))

    def call(self, name: str, /, *args: Any, **named: Any) -> Any:
        """Call a function of the interface by its exact name; otherwise the same as `Instance.call`."""
        return self._instance.call(f"{self._name}#{name}", *args, **named)

    async def call_async(self, name: str, /, *args: Any, **named: Any) -> Any:
        """Call a function of the interface by its exact name; otherwise the same as `Instance.call_async`."""
        return await self._instance.call_async(f"{self._name}#{name}", *args, **named)

    def __getattr__(self, name: str) -> Function | ResourceClass:
        return _attribute(self._instance, self._name, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._instance.component.offered(self._name)]

    def __repr__(self) -> str:
        return f"<interface {self._name} of {self._instance!r}>"


class Function:
    """An exported function, which can be called. pytest shows its `repr` in failing assertions."""

    __slots__ = ("_await", "_call", "_handle", "_name", "_store")

    # It knows the store and not the instance, which keeps it: so they are freed as soon as nobody uses them.
    def __init__(self, store: Runner, handle: InstanceHandle, name: str) -> None:
        self._store = store
        self._handle = handle
        self._name = name
        self._call: Callable[..., Any] | None = None
        self._await: Callable[..., Awaitable[Any]] | None = None

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        """Call the function; the same as `Instance.call`."""
        if named:
            args = in_order(self._handle.component, self._name, args, named)
        call = self._call
        if call is None:
            general = partial(_call, self._store, self._handle, self._name)
            call = self._store.direct_call(self._handle, self._name, general)
            if call is None:
                return general(*args)
            self._call = call
        return call(*args)

    async def call_async(self, /, *args: Any, **named: Any) -> Any:
        """Call the function without blocking the running event loop; the same as `Instance.call_async`."""
        if named:
            args = in_order(self._handle.component, self._name, args, named)
        if self._await is not None:
            return await self._await(*args)
        general = partial(_call_async, self._store, self._handle, self._name)
        value = await general(*args)
        # Not before the first call, which tells whether there is such a function.
        self._await = self._store.awaited_call(self._handle, self._name, general) or general
        return value

    def __repr__(self) -> str:
        return f"<{self._name} of {self._handle.component!r}>"


def _call(store: Runner, handle: InstanceHandle, name: str, *args: Any) -> Any:
    return store.run(CallExport(handle, name, args))


async def _call_async(store: Runner, handle: InstanceHandle, name: str, *args: Any) -> Any:
    return await store.run_async(CallExport(handle, name, args))


def _attribute(instance: Instance, interface: str, attribute: str) -> Function | ResourceClass:
    known = instance.component.attributes.get(interface, {})
    names = known.get(attribute)
    if names:
        name = choose(instance.component, attribute, names)
        return instance._function(full_name(interface, name))
    resources = instance.component.resources.get(interface, {}).get(attribute)
    if resources:
        name = choose(instance.component, attribute, resources)
        return ResourceClass(instance.store, instance._handle, interface, name)
    if attribute.startswith("__"):
        raise AttributeError(attribute)
    elsewhere = (full for full in instance.component.function_names() if full.rpartition("#")[0] != interface)
    text = str(UnknownExport.among(instance.component, attribute, [*known, *elsewhere]))
    raise AttributeError(text, name=attribute, obj=None)  # with an object, Python would add a suggestion of its own
