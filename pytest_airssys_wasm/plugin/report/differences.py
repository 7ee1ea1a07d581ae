"""The first difference between two WIT values, which pytest shows below a failing comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant, short_repr

if TYPE_CHECKING:
    import pytest

_VALUES = (Record, Variant, Some, Ok, Err)
_TEXTS = (str, bytes, set, frozenset)
"""The types whose differences pytest shows in detail."""
_FULL = 2
"""The verbosity from which both values are shown in full."""


class Difference(Struct, frozen=True):
    """The first difference of two values."""

    path: str
    """The path to the difference, such as `.value[3].price`; empty for the values themselves."""
    left: Any
    right: Any
    text: str
    """A short description of the difference, such as `250 != 251`."""
    is_ours: bool
    """Whether the path leads through a WIT value, or to one."""


def explain(config: pytest.Config, left: object, right: object) -> list[str] | None:
    """Return the lines about a failed `left == right`; `None` if the difference does not involve a WIT value."""
    found = _difference(left, right, "", is_ours=False)
    if not found.is_ours:
        return None
    where = f"first difference at {found.path}" if found.path else "different"
    lines = [f"{short_repr(left)} == {short_repr(right)}", f"{where}: {found.text}"]
    if (hint := _hint(found.left, found.right)) is not None:
        lines.append(hint)
    if type(found.left) is type(found.right) and isinstance(found.left, _TEXTS):
        lines += _details(config, found.left, found.right)
    if config.get_verbosity() >= _FULL:
        lines += [f"left:  {left!r}", f"right: {right!r}"]
    return [printable(line) for line in lines]


def _difference(left: Any, right: Any, path: str, *, is_ours: bool) -> Difference:
    """Return the first difference of two values that are not equal."""
    is_ours = is_ours or isinstance(left, _VALUES) or isinstance(right, _VALUES)
    if type(left) is type(right):
        if isinstance(left, Variant) and left.case != right.case:
            return Difference(f"{path}.case", left.case, right.case, _unequal(left.case, right.case), is_ours)
        for step, one, other in _parts(left, right):
            if one is not other and one != other:
                return _difference(one, other, path + step, is_ours=is_ours)
        if (lack := _lack(left, right)) is not None:
            return Difference(path, left, right, lack, is_ours)
    return Difference(path, left, right, _unequal(left, right), is_ours)


def _parts(left: Any, right: Any) -> list[tuple[str, Any, Any]]:
    """Return the parts that two values of the same type have in common, each with its step in the path."""
    match left:
        case Record():
            others = right.as_dict()
            return [(f".{name}", one, others[name]) for name, one in left.as_dict().items() if name in others]
        case Variant():
            return [(".payload", left.payload, right.payload)]
        case Some() | Ok():
            return [(".value", left.value, right.value)]
        case Err():
            return [(".error", left.error, right.error)]
        case list() | tuple():
            return [(f"[{index}]", *pair) for index, pair in enumerate(zip(left, right))]
        case dict():
            return [(f"[{short_repr(key)}]", one, right[key]) for key, one in left.items() if key in right]
        case _:
            return []


def _lack(left: Any, right: Any) -> str | None:
    """Return a text about the parts that only one of two values of the same type has; `None` if there are none."""
    match left:
        case list() | tuple():
            if len(left) == len(right):
                return None
            longer, side = (left, "left") if len(left) > len(right) else (right, "right")
            first, more = min(len(left), len(right)), abs(len(left) - len(right))
            return f"the {side} has {counted(more, 'more element')}, the first of which is {short_repr(longer[first])}"
        case Record():
            return _only(left.as_dict(), right.as_dict(), "field")
        case dict():
            return _only(left, right, "key")
        case _:
            return None


def _only(left: Mapping[Any, Any], right: Mapping[Any, Any], noun: str) -> str | None:
    found = [
        f"only the {side} has the {noun} {short_repr(key)}"
        for side, one, other in (("left", left, right), ("right", right, left))
        for key in one
        if key not in other
    ]
    return found[0] if found else None


def _unequal(left: Any, right: Any) -> str:
    return f"{short_repr(left)} != {short_repr(right)}"


def _hint(left: Any, right: Any) -> str | None:
    """Return advice on the comparison if two values are unequal only because of their types."""
    for value, other in ((left, right), (right, left)):
        if isinstance(value, Record) and isinstance(other, Mapping):
            return "a record is equal to Record(…) only, not to a mapping; as_dict() returns its fields"
        if isinstance(value, (Ok, Some)) and not isinstance(other, (Ok, Err, Some)) and value.value == other:
            kind = type(value).__name__
            return f"a value inside of {kind} is not equal to the value itself: compare with {kind}(…), or its .value"
    return None


def _details(config: pytest.Config, left: Any, right: Any) -> list[str]:
    """Return how pytest, or a plugin, explains the difference of two texts or sets."""
    explained = config.hook.pytest_assertrepr_compare(config=config, op="==", left=left, right=right)
    return next(([line for line in lines[1:] if line] for lines in explained if lines), [])
