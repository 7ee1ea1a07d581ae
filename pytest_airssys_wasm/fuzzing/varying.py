"""Variations of arguments by their types, which are made many times as fast as examples of Hypothesis.

A variation changes one part of a value: it takes an edge or a constant of the guest, or changes a few elements. Values
that are several steps away from a plain one, such as a list with a repeated element, are reached in this way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.fuzzing.minimising import simplest
from pytest_airssys_wasm.fuzzing.wit_values import CHARACTERS, F32_BITS, F64_BITS, INTEGERS, TEXTS, as_width, size_of
from pytest_airssys_wasm.runtime.base.floats import f32_of, f64_of
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Some, Variant
from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    Primitive,
    RecordType,
    ResultType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from pytest_airssys_wasm.runtime.binary.constants import Constants
    from pytest_airssys_wasm.runtime.wit.types import WitType


_MOST_NUMERALS = 64
"""The number of the guest's integers that are also written as texts."""


class Variations:
    """The variations of the arguments of one export, whose sizes are at most `max_size` in all."""

    def __init__(self, types: Sequence[WitType | str], *, constants: Constants, max_size: int, random: Random) -> None:
        self._type = TupleType(tuple(Primitive(one) if isinstance(one, str) else one for one in types))
        self._integers = constants.integers
        self._floats = constants.floats
        self._bytes = constants.texts
        known = (text for one in constants.texts if (text := one.decode(errors="ignore")))
        # A program that reads numbers compares them with those in its code.
        self._texts = (*TEXTS, *known, *map(str, constants.integers[:_MOST_NUMERALS]))
        self._max_size = max_size
        self._random = random

    def of(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a variation of arguments; the arguments themselves if it would be too large."""
        varied: tuple[Any, ...] = self._vary(args, self._type)
        return varied if size_of(varied) <= self._max_size else args

    def _vary(self, value: Any, type_: WitType) -> Any:
        match type_:
            case Primitive(name):
                return self._primitive(value, name)
            case ListType(Primitive("u8")):
                return bytes(self._sequence([*value], Primitive("u8"), self._bytes))
            case ListType(element):
                return self._sequence([*value], element, ())
            case TupleType(elements):
                return tuple(self._one_of([*value], elements))
            case RecordType(fields):
                parts = self._one_of([value[name] for name, _ in fields], [field for _, field in fields])
                return dict(zip((name for name, _ in fields), parts))
            case EnumType(names):
                return self._random.choice(names)
            case FlagsType(names):
                return value ^ {self._random.choice(names)} if names else value
            case VariantType(cases):
                return self._case(value, cases)
            case OptionType(payload):
                return self._option(value, payload)
            case ResultType(ok, err):
                return self._result(value, ok, err)
        return value

    def _primitive(self, value: Any, name: str) -> Any:
        match name:
            case "bool":
                return not value
            case "char":
                return self._random.choice(CHARACTERS)
            case "string":
                return self._text(value)
            case "f32" | "f64":
                return self._float(value, name)
        return self._integer(value, name)

    def _integer(self, value: int, name: str) -> int:
        low, high = INTEGERS[name]
        match self._random.randrange(6):
            case 0 if self._integers:
                value = self._random.choice(self._integers) + self._random.randrange(-1, 2)
            case 1:
                value ^= 1 << self._random.randrange(int(name[1:]))
            case 2:
                value = -value
            case 3:
                value = self._random.choice((low, high, 0, 1))
            case 4:
                value = self._random.getrandbits(self._random.choice((8, int(name[1:]))))
            case _:
                value += self._random.randrange(-9, 10)
        return (value - low) % (high - low + 1) + low

    def _float(self, value: float, name: str) -> float:
        width = 32 if name == "f32" else 64
        match self._random.randrange(4):
            case 0 if self._floats:
                value = self._random.choice(self._floats)
            case 1:
                value = -value
            case 2 if math.isfinite(value):
                value = value * 2 + self._random.randrange(-2, 3)
            case _:
                return self._random.choice(
                    [f32_of(one) for one in F32_BITS] if width == 32 else [*map(f64_of, F64_BITS)]
                )
        return as_width(value, width)

    def _text(self, value: str) -> str:
        at = self._random.randrange(len(value) + 1)
        until = min(len(value), at + self._random.randrange(4))
        match self._random.randrange(4):
            case 0:
                return value[:at] + self._random.choice(self._texts) + value[at:]
            case 1:
                return value[:at] + value[until:]
            case 2:
                return value[:until] + value[at:]
            case _:
                is_plain = self._random.randrange(2)
                one = chr(self._random.randrange(0x20, 0x7F)) if is_plain else self._random.choice(CHARACTERS)
                return value[:at] + one + value[at + 1 :]

    def _sequence(self, elements: list[Any], element: WitType, known: Sequence[bytes]) -> list[Any]:
        at = self._random.randrange(len(elements) + 1)
        until = min(len(elements), at + 1 + self._random.randrange(4))
        match self._random.randrange(5):
            case 0 if known:
                return [*elements[:at], *self._random.choice(known), *elements[at:]]
            case 1:
                return elements[:at] + elements[until:]
            case 2:
                return elements[:until] + elements[at:]
            case 3:
                first = simplest(element)
                return [*elements[:at], *(first or ()), *elements[at:]]
        if elements:
            at = min(at, len(elements) - 1)
            elements[at] = self._vary(elements[at], element)
        return elements

    def _one_of(self, parts: list[Any], types: Sequence[WitType]) -> list[Any]:
        if parts:
            at = self._random.randrange(len(parts))
            parts[at] = self._vary(parts[at], types[at])
        return parts

    def _case(self, value: Variant, cases: Sequence[tuple[str, WitType | None]]) -> Variant:
        name, payload = self._random.choice(cases)
        if name != value.case:
            first = simplest(payload)
            return value if first is None else Variant(name, first[0])
        return value if payload is None else Variant(name, self._vary(value.payload, payload))

    def _option(self, value: Any, payload: WitType) -> Any:
        nests = isinstance(payload, OptionType)
        if value is None:
            first = simplest(payload)
            inner = None if first is None else first[0]
            return Some(inner) if nests and first is not None else inner
        if not self._random.randrange(4):
            return None
        return Some(self._vary(value.value, payload)) if nests else self._vary(value, payload)

    def _result(self, value: Ok | Err, ok: WitType | None, err: WitType | None) -> Ok | Err:
        is_ok = isinstance(value, Ok)
        if not self._random.randrange(3):
            first = simplest(err if is_ok else ok)
            if first is not None:
                return Err(first[0]) if is_ok else Ok(first[0])
        inner, type_ = (value.value, ok) if isinstance(value, Ok) else (value.error, err)
        varied = inner if type_ is None else self._vary(inner, type_)
        return Ok(varied) if is_ok else Err(varied)
