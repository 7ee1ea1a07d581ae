"""The arguments of calls that are given by the names of their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.base.values import attribute_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_airssys_wasm.runtime.guest.component import Component


def in_order(
    component: Component, function: str, args: Sequence[Any], named: Mapping[str, Any], *, leads: int = 0
) -> tuple[Any, ...]:
    """Return the arguments of a call in the order of the parameters.

    A parameter is named as in WIT or as in Python (`class-id` or `class_id`, `class` or `class_`). The first `leads`
    parameters are left out, because the caller does not give them. Raises `TypeError` for a name that no parameter has,
    for a parameter that is given twice or not at all, and for a module, whose parameters have no names; `UnknownExport`
    for an unknown function.
    """
    names = component.parameter_names(function)
    if names is None:
        raise TypeError(f"{printable(function)}: the parameters of a module's function have no names")
    names = names[leads:]
    places = {attribute_name(name): index for index, name in enumerate(names)}
    places.update((name, index) for index, name in enumerate(names))
    signature = printable(f"{function}({', '.join(names)})")
    given: dict[int, Any] = dict(enumerate(args))
    for name, value in named.items():
        index = places.get(name)
        if index is None:
            raise TypeError(f"{signature} has no parameter {name!r}")
        if index in given:
            raise TypeError(f"{signature} got several values for the parameter {names[index]!r}")
        given[index] = value
    missing = [repr(name) for index, name in enumerate(names) if index not in given]
    if missing:
        raise TypeError(f"{signature} takes {', '.join(missing)}, too")
    return tuple(given[index] for index in sorted(given))
