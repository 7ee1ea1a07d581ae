"""Exports that take and return only numbers and bools, as the guard calls them by itself for another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.capi.guard import OF_COMPONENT, OF_MODULE
from pytest_airssys_wasm.runtime.convert.plain_layout import PlainCoreLayout, PlainLayout, plain_core_layout
from pytest_airssys_wasm.runtime.guest.core_module import CoreModule
from pytest_airssys_wasm.runtime.guest.direct_calls import failure_of, is_refused
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.direct_calls import DirectUse


class PlainExport(Struct, frozen=True, kw_only=True):
    """An export of an instance that can be called without Python."""

    entry: int
    """The kind of the function: `OF_COMPONENT` or `OF_MODULE`."""
    run: Any
    """The `GuardRun` of its store."""
    function: Any
    """The C struct of the function."""
    fail: Callable[[tuple[Any, ...], int | None], Callable[[], Any] | None]
    """A function that takes the arguments and the error of a call that has failed, and returns the function that raises
    its verdict; `None` if the guest was not called, because this thread has too little stack.
    """


def layout_of(component: Component, name: str) -> PlainLayout | PlainCoreLayout | None:
    """Return the layout of the C values of an export; `None` if it takes or returns something else than numbers."""
    export: Any = component.check_call(name, len(component.parameter_types(name)))
    match component:
        case CoreModule():
            return plain_core_layout(export.params, export.results)
        case WitComponent() if not component.uses_resources:
            layout: PlainLayout | None = export.plain
            return layout
    return None


def moved_bytes(component: Component, name: str) -> int:
    """Return the bytes that a call of an export transfers if all of its values are numbers and bools."""
    params, results = component.parameter_types(name), component.result_types(name)
    if component.kind == "module":
        return 8 * (len(params) + len(results))
    fixed_bytes: int = component.check_call(name, len(params)).fixed_bytes
    return fixed_bytes


def plain_export(name: str, component: Component, function: Any, use: DirectUse) -> PlainExport | None:
    """Return an export as the guard calls it, whose C struct is given; `None` if it is not plain."""
    if layout_of(component, name) is None:
        return None
    run, fail, is_module = use.raw.run, use.fail, component.kind == "module"
    failed_bytes = 8 * len(component.parameter_types(name)) if is_module else moved_bytes(component, name)

    def fail_with(args: tuple[Any, ...], error: int | None) -> Callable[[], Any] | None:
        return None if is_refused(run, error) else fail(name, args, failure_of(error), failed_bytes, 0)

    return PlainExport(entry=OF_MODULE if is_module else OF_COMPONENT, run=run, function=function, fail=fail_with)
