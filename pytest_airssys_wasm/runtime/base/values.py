"""Python values that WIT values are mapped to, where Python has none of its own."""

from __future__ import annotations

import keyword
import reprlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def attribute_name(name: str) -> str:
    """A WIT name as a Python attribute: snake_case, with `_` behind a Python keyword (`class` -> `class_`)."""
    snake = name.replace("-", "_")
    return snake + "_" if keyword.iskeyword(snake) else snake


def field_name(name: str) -> str:
    """A record's field as an attribute of `Record`: as `attribute_name`, and `as-dict` is `as_dict_`."""
    attribute = attribute_name(name)
    return attribute + "_" if hasattr(Record, attribute) else attribute


class Record:
    """A WIT record: fields as attributes in snake_case. Equal to another record with equal fields.

    Fields whose name is a Python keyword, or `as-dict`, have a `_` behind.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        pairs = {**(fields or {}), **named}
        object.__setattr__(self, "_fields", {field_name(name): value for name, value in pairs.items()})

    def __getattr__(self, name: str) -> Any:
        if name == "_fields":  # not set yet: copying and unpickling ask before they fill in
            raise AttributeError(name)
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(f"record has no field {name!r}; it has {', '.join(self._fields)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("records are immutable")

    def __eq__(self, other: object) -> bool:
        return self._fields == other._fields if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._fields.items()))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._fields]

    def __repr__(self) -> str:
        return f"Record({', '.join(f'{name}={value!r}' for name, value in self._fields.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return make_record, (self._fields,)

    def as_dict(self) -> dict[str, Any]:
        """The fields, by attribute name."""
        return dict(self._fields)


def make_record(fields: dict[str, Any]) -> Record:
    """A record of these fields, which are named as attributes already."""
    # No method of `Record`: a field of that name could not be reached.
    record = Record.__new__(Record)
    object.__setattr__(record, "_fields", fields)
    return record


@dataclass(frozen=True, slots=True)
class Variant:
    """A case of a WIT variant, with its payload (`None` where the case has none)."""

    case: str
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Some:
    """The value of an option whose payload is an option itself. Other options are the value or `None`."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ok:
    """The success of a WIT result."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Err:
    """The failure of a WIT result."""

    error: Any = None


class Mismatch(Exception):
    """A value does not fit its WIT type. Knows the path to it, which grows on the way out."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__module__ = "pytest_airssys_wasm"  # what pytest shows of it

    def __init__(self, expected: str, given: object) -> None:
        super().__init__(expected, given)
        self.expected = expected
        self.given = given
        self._steps: list[str] = []

    def at(self, step: str) -> Mismatch:
        """The same, one step further out (`.price`, `[3]`, `args[0]`)."""
        self._steps.append(step)
        return self

    def __str__(self) -> str:
        path = "".join(reversed(self._steps))
        return f"{path + ': ' if path else ''}expected {self.expected}, got {shown(self.given)}"


class WrongType(Mismatch, TypeError):
    """A value of another type."""


class WrongValue(Mismatch, ValueError):
    """A value of the right type that is out of range."""


class _Shown(reprlib.Repr):
    """The beginning of large values, without first making all of their text."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 3, 100, 100, 100

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, (bytes, bytearray)) and len(x) > self.maxstring:
            return f"{bytes(x[: self.maxstring // 2])!r} and {len(x) - self.maxstring // 2:,} bytes more"
        if isinstance(x, (dict, set, frozenset)) and len(x) > _MOST_SORTED:
            return f"<{type(x).__name__} of {len(x):,} elements>"
        if isinstance(x, (Record, Variant, Some, Ok, Err)):
            fields = x.as_dict() if isinstance(x, Record) else {name: getattr(x, name) for name in x.__slots__}
            if level <= 0:
                return f"{type(x).__name__}(...)"
            parts = [f"{name}={self.repr1(value, level - 1)}" for name, value in islice(fields.items(), self.maxdict)]
            return f"{type(x).__name__}({', '.join(parts + ['...'] * (len(fields) > self.maxdict))})"
        return super().repr1(x, level)


_MOST_SORTED = 1_000
"""reprlib sorts them whole to show the first."""
_SHOWN = _Shown()


def shown(value: object) -> str:
    """A value in an error message: of a large one, its beginning."""
    try:
        return _SHOWN.repr(value)
    except Exception:  # noqa: BLE001 any `__repr__` may raise, and that of an int of thousands of digits does
        return f"{type(value).__name__} that cannot be shown"
