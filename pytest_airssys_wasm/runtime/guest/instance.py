"""Calling what an instance exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.guest.component import UnknownExport, check_name
from pytest_airssys_wasm.runtime.guest.operations import CallExport

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.store.store import LimitedStore


class Instance:
    """A component or module instantiated in a store.

    Call an export by its exact name, or as an attribute in snake_case. Exports inside an interface are reached
    through `instance["pkg:name/iface@1.0.0"]`, or called as `"pkg:name/iface@1.0.0#function"`.
    """

    def __init__(self, store: LimitedStore, component: Component, raw: Any) -> None:
        self.store = store
        self.component = component
        self.raw = raw
        """The C struct of the instance; only valid together with its store."""
        self.functions: dict[str, Any] = {}
        """C structs of the functions called so far."""

    def call(self, name: str, /, *args: Any) -> Any:
        """Call an export: one execution. Returns its value, or raises the `WasmError` that it ended with.

        Raises `UnknownExport` for a name that is not exported, `TypeError` or `ValueError` naming the place in
        `args` for a value that does not fit, and `StoreUnusable` for a store that is closed or busy.
        """
        return self.store.run(CallExport(self, name, args))

    async def call_async(self, name: str, /, *args: Any) -> Any:
        """As `call`, without blocking the running event loop. Cancelling the task that awaits it ends the guest."""
        return await self.store.run_async(CallExport(self, name, args))

    def __getitem__(self, interface: str) -> Interface:
        """The exported interface of this exact name."""
        return Interface(self, interface)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return _attribute(self, "", name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.component.attributes.get("", ())]

    def __repr__(self) -> str:
        return f"<instance of {self.component!r}>"


class Interface:
    """The functions that an instance exports inside one interface."""

    def __init__(self, instance: Instance, name: str) -> None:
        check_name(name)
        self._instance = instance
        self._name = name
        if not name or name not in instance.component.attributes:
            raise UnknownExport(repr(instance.component), name, filter(None, instance.component.attributes))

    def call(self, name: str, /, *args: Any) -> Any:
        """As `Instance.call`."""
        return self._instance.call(f"{self._name}#{name}", *args)

    async def call_async(self, name: str, /, *args: Any) -> Any:
        """As `Instance.call_async`."""
        return await self._instance.call_async(f"{self._name}#{name}", *args)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return _attribute(self._instance, self._name, name)

    def __repr__(self) -> str:
        return f"<interface {self._name} of {self._instance!r}>"


class Function:
    """An export, to be called. Its `repr` is what pytest shows of a failing assertion."""

    __slots__ = ("_instance", "_name")

    def __init__(self, instance: Instance, name: str) -> None:
        self._instance = instance
        self._name = name

    def __call__(self, *args: Any) -> Any:
        """As `Instance.call`."""
        return self._instance.call(self._name, *args)

    def __repr__(self) -> str:
        return f"<{self._name} of {self._instance.component!r}>"


def _attribute(instance: Instance, interface: str, attribute: str) -> Callable[..., Any]:
    known = instance.component.attributes.get(interface, {})
    full = known.get(attribute)
    if full is not None:
        return Function(instance, full)
    if attribute.startswith("__"):
        raise AttributeError(attribute)
    raise AttributeError(str(UnknownExport(repr(instance.component), attribute, known)))
