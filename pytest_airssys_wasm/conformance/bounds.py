"""Whether a figure lies where a case wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pytest_airssys_wasm.conformance.model import Bounds
from pytest_airssys_wasm.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Callable


def as_bounds(value: Any) -> Bounds | None:
    """The bounds that an expected `value` stands for, or `None` when it is a plain value."""
    if isinstance(value, Bounds):
        return value
    if not isinstance(value, dict) or not value or not value.keys() <= set(Bounds.__struct_fields__):
        return None
    return msgspec.convert(value, Bounds)


def holds(expected: Any, got: Any, of_step: Callable[[str], Any]) -> bool:
    """Whether `got` is what is expected; `of_step` gives the same field of a named step, or `None`."""
    if not isinstance(expected, Bounds):
        return wire.same(expected, got)
    if got is None:
        return expected.may_be_unknown
    if expected.same_as is not None:
        return wire.same(of_step(expected.same_as), got)
    unit = 1 if expected.of is None else wire.number(of_step(expected.of))
    figure = wire.number(got)
    if figure is None or unit is None:
        return False
    above = expected.min is None or figure >= expected.min * unit
    below = expected.max is None or figure <= expected.max * unit
    return above and below


def in_words(expected: Any) -> str:
    """The expectation as a phrase."""
    if not isinstance(expected, Bounds):
        return repr(expected)
    if expected.same_as is not None:
        return f"the same as in step {expected.same_as!r}"
    if expected.max is None:
        words = f"at least {expected.min:,}"
    elif expected.min is None:
        words = f"at most {expected.max:,}"
    else:
        words = f"{expected.min:,} to {expected.max:,}"
    words += f" times that of step {expected.of!r}" if expected.of is not None else ""
    return words + (" (or unknown)" if expected.may_be_unknown else "")
