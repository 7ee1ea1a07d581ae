"""The strategies for the arguments of exports, and for calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.wit_values import MAX_SIZE, all_values
from pytest_airssys_wasm.runtime.compile.cache import CompileCache
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.guest.component import Component
from pytest_airssys_wasm.runtime.guest.constants import constants_of
from pytest_airssys_wasm.validation.exports import callable_exports

if TYPE_CHECKING:
    import os

    from hypothesis.strategies import SearchStrategy

    Source = Component | str | os.PathLike[str] | bytes
    """A loaded guest, or all that `WasmEngine.load` accepts."""


def arguments(source: Source, export: str, *, max_size: int = MAX_SIZE) -> SearchStrategy[tuple[Any, ...]]:
    """Return a strategy for the arguments of an export, as tuples.

    `source` is a loaded guest, a path, WebAssembly text or the bytes of a binary; it is read when the first example is
    made. The elements of all lists and the UTF-8 bytes of all strings in the arguments of one call are at most
    `max_size` together. The constants of the guest are mixed in.

    While examples are made, the errors of `WasmEngine.load` are raised, `UnknownExport` for an export that does not
    exist, `TypeError` for an argument without a Python value, and `ValueError` for a handle of a resource.
    """
    return st.deferred(lambda: _arguments(_loaded(source), export, max_size))


def calls(source: Source, *, max_size: int = MAX_SIZE) -> SearchStrategy[tuple[Any, ...]]:
    """Return a strategy for calls of any exports: tuples of the full name of an export and its arguments.

    Exports that take handles of resources, or values without a Python value, are left out. Otherwise the same as
    `arguments`. Raises `ValueError` while examples are made if no export is left.
    """

    def made() -> SearchStrategy[tuple[Any, ...]]:
        component = _loaded(source)
        names = [*callable_exports(component)]
        if not names:
            raise ValueError(f"{component!r} has no export that can be called without a resource")
        return st.one_of([_arguments(component, name, max_size).map(_named(name)) for name in names])

    return st.deferred(made)


def _arguments(component: Component, export: str, max_size: int) -> SearchStrategy[tuple[Any, ...]]:
    return all_values(component.parameter_types(export), max_size=max_size, constants=constants_of(component))


def _named(name: str) -> Any:
    return lambda args: (name, *args)


def _loaded(source: Source) -> Component:
    if isinstance(source, Component):
        return source
    return WasmEngine(CompileCache()).load(source if isinstance(source, (bytes, str)) else Path(source))
