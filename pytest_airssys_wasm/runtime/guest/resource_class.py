"""The resources that a guest exports, as Python classes: called to construct one, with static functions on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.guest.component import by_attribute, choose
from pytest_airssys_wasm.runtime.guest.resources import Method
from pytest_airssys_wasm.runtime.wit.world import full_name

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle, Runner


class ResourceClass:
    """A resource that a guest exports. Calling it calls the constructor; static functions are attributes in snake_case.

    The static function `call-async` has a `_` appended.
    """

    __slots__ = ("_instance", "_interface", "_name", "_store")

    # Like an exported function, this refers to the store, and not to the `Instance`.
    def __init__(self, store: Runner, instance: InstanceHandle, interface: str, name: str) -> None:
        self._store = store
        self._instance = instance
        self._interface = interface
        self._name = name

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        """Call the constructor as one execution, and return the handle of the new resource.

        Raises `TypeError` for a resource without a constructor; otherwise the same as `Instance.call`.
        """
        return self._constructor()(*args, **named)

    async def call_async(self, /, *args: Any, **named: Any) -> Any:
        """Call the constructor without blocking the running event loop; otherwise the same as calling this object."""
        return await self._constructor().call_async(*args, **named)

    def __getattr__(self, name: str) -> Method:
        found = static_functions(self._instance.component, self._interface, self._name).get(name)
        if not found:
            raise AttributeError(f"the resource {self._name!r} has no static function {name!r}")
        inner = choose(self._instance.component, name, found)
        return self._function(f"[static]{self._name}.{inner}")

    def __dir__(self) -> list[str]:
        statics = static_functions(self._instance.component, self._interface, self._name)
        return [*super().__dir__(), *filter(str.isidentifier, statics)]

    def __repr__(self) -> str:
        return f"<resource {full_name(self._interface, self._name)} of {self._instance.component!r}>"

    def _constructor(self) -> Method:
        name = f"[constructor]{self._name}"
        if full_name(self._interface, name) not in self._instance.component.function_names():
            raise TypeError(f"the resource {self._name!r} has no constructor: functions or methods return it")
        return self._function(name)

    def _function(self, name: str) -> Method:
        return Method(self._store, self._instance, full_name(self._interface, name), ())


def static_functions(component: Component, interface: str, resource: str) -> dict[str, tuple[str, ...]]:
    """Return the names of a resource's static functions, by their attributes."""
    prefix = full_name(interface, f"[static]{resource}.")
    names = [full[len(prefix) :] for full in component.function_names() if full.startswith(prefix)]
    return by_attribute(names, ("call_async",))
