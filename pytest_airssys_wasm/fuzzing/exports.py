"""The exports that can be fuzzed, and the strategies for their arguments and calls."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.wit_values import MAX_SIZE, all_values
from pytest_airssys_wasm.runtime.compile.cache import CompileCache
from pytest_airssys_wasm.runtime.convert.core_values import unsupported
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.guest.component import Component
from pytest_airssys_wasm.runtime.guest.constants import constants_of
from pytest_airssys_wasm.runtime.wit.types import BorrowType, OwnType, children

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from hypothesis.strategies import SearchStrategy

    from pytest_airssys_wasm.runtime.wit.types import ResourceType

    Source = Component | str | os.PathLike[str] | bytes
    """A loaded guest, or all that `WasmEngine.load` accepts."""

_RUNTIME = ("cabi_*", "_initialize", "*[[]dtor[]]*")
"""The exports of a module that the canonical ABI or WASI calls, and no test: patterns of their names."""


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


def callable_exports(component: Component) -> Iterator[str]:
    """Yield the full names of the exports whose arguments can be generated without a resource."""
    for name in reachable_exports(component):
        if not any(map(has_handle, component.parameter_types(name))):
            yield name


def reachable_exports(component: Component) -> Iterator[str]:
    """Yield the full names of the exports that can be called from Python, also those that take handles.

    What only the canonical ABI or WASI calls is left out.
    """
    for name in component.function_names():
        if component.kind == "module" and any(fnmatchcase(name, pattern) for pattern in _RUNTIME):
            continue
        types = component.parameter_types(name)
        if component.kind == "module" and unsupported(types):
            continue
        try:
            component.check_call(name, len(types))
        except TypeError:  # of a value without a Python value
            continue
        yield name


def has_handle(type_: Any) -> bool:
    """Return whether a WIT type, or a core type given by its name, has a handle of a resource in it."""
    return any(True for _ in handles_in(type_))


def handles_in(type_: Any) -> Iterator[ResourceType]:
    """Yield the resources whose handles a WIT type has in it; none for a core type, given by its name."""
    if isinstance(type_, (OwnType, BorrowType)):
        yield type_.resource
    elif not isinstance(type_, str):
        for inner in children(type_):
            yield from handles_in(inner)


def is_excluded(export: str, patterns: Sequence[str]) -> bool:
    """Return whether the full name of an export matches a pattern in which `*` stands for any text."""
    # Brackets are parts of names: `[constructor]bucket`.
    return any(fnmatchcase(export, pattern.replace("[", "[[]")) for pattern in patterns)


def _arguments(component: Component, export: str, max_size: int) -> SearchStrategy[tuple[Any, ...]]:
    return all_values(component.parameter_types(export), max_size=max_size, constants=constants_of(component))


def _named(name: str) -> Any:
    return lambda args: (name, *args)


def _loaded(source: Source) -> Component:
    if isinstance(source, Component):
        return source
    return WasmEngine(CompileCache()).load(source if isinstance(source, (bytes, str)) else Path(source))
