"""The Python values of WIT types without a counterpart in Python, and the errors for values that do not fit their
types.
"""

from __future__ import annotations

import keyword
import reprlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def attribute_name(name: str) -> str:
    """Return a WIT name as a Python attribute, in snake_case; `_` is appended to keywords (`class` -> `class_`)."""
    snake = name.replace("-", "_")
    return snake + "_" if keyword.iskeyword(snake) else snake


def field_name(name: str) -> str:
    """Return the attribute of `Record` for a field: its `attribute_name`, but `as_dict_` for `as-dict`."""
    attribute = attribute_name(name)
    return attribute + "_" if hasattr(Record, attribute) else attribute


class Record:
    """The immutable value of a WIT record. Its fields are attributes in snake_case.

    `_` is appended to the name of a field that is a Python keyword, or `as-dict`. Records with equal fields are equal.
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
        """Return the fields as a dict, by the names of their attributes."""
        return dict(self._fields)


def make_record(fields: dict[str, Any]) -> Record:
    """Return a record of these fields, given by the names of their attributes."""
    # Not a method of `Record`: a field of that name could not be reached.
    record = _new_object(Record)
    _set_fields(record, fields)
    return record


_new_object = object.__new__
_set_fields: Callable[[Record, dict[str, Any]], None] = vars(Record)["_fields"].__set__
"""The function that sets the fields of a record, which nothing else may change."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The value of a WIT variant: the name of a case, and its payload (`None` for a case without a payload)."""

    case: str
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Some:
    """The value of a WIT option whose payload is itself an option.

    The value of other options is the payload or `None`.
    """

    value: Any


@dataclass(frozen=True, slots=True)
class Ok:
    """The value of a WIT result that is a success, with its payload (`None` if the type has no payload)."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Err:
    """The value of a WIT result that is a failure, with its payload (`None` if the type has no payload)."""

    error: Any = None


class Mismatch(Exception):
    """The error for a value that does not fit its WIT type, with the path to the value in the arguments or the result.

    The path is built while the error propagates, so that values that fit have no overhead.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__module__ = "pytest_airssys_wasm"  # where users import it from, and what pytest shows

    def __init__(self, expected: str, given: object) -> None:
        super().__init__(expected, given)
        self.expected = expected
        self.given = given
        self._steps: list[str] = []

    def at(self, step: str) -> Mismatch:
        """Prepend a step (`.price`, `[3]`, `args[0]`) to the path, and return this error."""
        self._steps.append(step)
        return self

    def __str__(self) -> str:
        path = "".join(reversed(self._steps))
        return f"{path + ': ' if path else ''}expected {self.expected}, got {short_repr(self.given)}"


class WrongType(Mismatch, TypeError):
    """The error for a value of a Python type that its WIT type does not accept."""


class WrongValue(Mismatch, ValueError):
    """The error for a value of the right Python type that is out of the range of its WIT type."""


class _ShortRepr(reprlib.Repr):
    """A `repr` that shows the beginning of a large value without creating its whole text."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 3, 100, 100, 100

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, (bytes, bytearray)) and len(x) > self.maxstring:
            return f"{bytes(x[: self.maxstring // 2])!r} and {len(x) - self.maxstring // 2:,} more bytes"
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
"""The maximum number of elements of an unordered collection that is shown. `reprlib` sorts all elements to show the
first ones.
"""
_SHORT_REPR = _ShortRepr()


def short_repr(value: object) -> str:
    """Return the `repr` of a value for a message, cut if the value is large. This function does not raise errors."""
    try:
        return _SHORT_REPR.repr(value)
    except Exception:  # noqa: BLE001 any `__repr__` may raise, and that of an int of thousands of digits does
        return f"{type(value).__name__} that cannot be shown"
