"""The exports of a component that checks can call with generated arguments."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.convert.core_values import unsupported
from pytest_airssys_wasm.runtime.wit.handles import has_handle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.runtime.guest.component import Component

_RUNTIME = ("cabi_*", "_initialize", "*[[]dtor[]]*")
"""The patterns of the names of a module's exports that only the canonical ABI or WASI calls."""


def callable_exports(component: Component) -> Iterator[str]:
    """Yield the full names of the exports whose arguments can be generated without a resource."""
    for name in reachable_exports(component):
        if not any(map(has_handle, component.parameter_types(name))):
            yield name


def reachable_exports(component: Component) -> Iterator[str]:
    """Yield the full names of the exports that can be called from Python, including those that take handles.

    Exports that only the canonical ABI or WASI calls are left out.
    """
    for name in component.function_names():
        if component.kind == "module" and any(fnmatchcase(name, pattern) for pattern in _RUNTIME):
            continue
        types = component.parameter_types(name)
        if component.kind == "module" and unsupported(types):
            continue
        try:
            component.check_call(name, len(types))
        except TypeError:  # its type has no Python value
            continue
        yield name


def is_excluded(export: str, patterns: Sequence[str]) -> bool:
    """Return whether the full name of an export matches a pattern in which `*` stands for any text."""
    # Brackets are parts of names: `[constructor]bucket`.
    return any(fnmatchcase(export, pattern.replace("[", "[[]")) for pattern in patterns)
