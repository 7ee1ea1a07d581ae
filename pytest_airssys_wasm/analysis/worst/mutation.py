"""Small changes of values, by their types, for the evolution of dear arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.analysis.worst.values import has_size, integer_range, value, wrapped
from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Some, Variant
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    EnumType,
    FlagsType,
    FutureType,
    ListType,
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResultType,
    StreamType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from pytest_airssys_wasm.analysis.worst.values import AnyType
    from pytest_airssys_wasm.runtime.binary.constants import Constants
    from pytest_airssys_wasm.runtime.wit.types import WitType

_CHARACTERS = "".join(map(chr, range(32, 127))) + "\n\0\u00e9\u20ac\U0001f600"
_NUDGES = (-256, -64, -16, -8, -2, -1, 1, 2, 8, 16, 64, 256)
_BITS = 64
_MOST_TENTH_F32 = 3.4e37
"""The greatest number of which ten times as much is an f32, approximately."""


class Mutator:
    """The source of changed values. `room` is what may be added to a value, in elements or bytes."""

    def __init__(self, chance: random.Random, constants: Constants) -> None:
        self._chance = chance
        self._integers = constants.integers[:64]
        self._texts = [text for text in constants.texts[:64] if text]

    def arguments(self, types: Sequence[AnyType], given: Sequence[Any], room: int) -> tuple[Any, ...]:
        """Return arguments that differ from the given ones in one of them."""
        changed = list(given)
        index = self._chance.randrange(len(changed))
        changed[index] = self.changed(types[index], changed[index], room)
        return tuple(changed)

    def changed(self, type_: AnyType, given: Any, room: int) -> Any:
        """Return a value that differs a little from the given one; it may be the same by chance."""
        chance = self._chance
        match type_:
            case str():
                return self._number(type_, given) if integer_range(type_) else self._float(type_, given)
            case Primitive("string"):
                return "".join(self._elements(Primitive("char"), list(given), room))
            case Primitive("bool"):
                return not given
            case Primitive("char"):
                return chance.choice(_CHARACTERS)
            case Primitive("f32" | "f64"):
                return self._float("f32" if type_ == Primitive("f32") else "f64", given)
            case Primitive():
                return self._number(type_, given)
            case ListType(element):
                return self._elements(element, list(given), room)
            case TupleType(elements):
                return self.arguments(elements, given, room) if elements else given
            case RecordType(fields):
                name, of = chance.choice(fields)
                return {**given, name: self.changed(of, given[name], room)}
            case VariantType(cases):
                payload = dict(cases).get(given.case)
                if payload is not None and chance.random() < 0.7:
                    return Variant(given.case, self.changed(payload, given.payload, room))
                return value(type_, chance.randrange(len(cases)), min(room, 4))
            case EnumType(names):
                return chance.choice(names)
            case FlagsType(names):
                return given ^ {chance.choice(names)} if names else given
            case OptionType(payload):
                if given is not None and chance.random() < 0.7:
                    inner = given.value if isinstance(given, Some) else given
                    changed = self.changed(payload, inner, room)
                    return Some(changed) if isinstance(payload, OptionType) else changed
                return value(type_, chance.randrange(256), min(room, 4)) if given is None else None
            case ResultType():
                return self._result(type_, given, room)
            case OwnType() | BorrowType() | FutureType() | StreamType():
                return given
            case _:
                assert_never(type_)

    def _result(self, type_: ResultType, given: Ok | Err, room: int) -> Any:
        is_ok = isinstance(given, Ok)
        payload, inner = (type_.ok, given.value) if isinstance(given, Ok) else (type_.err, given.error)
        if payload is not None and self._chance.random() < 0.7:
            changed = self.changed(payload, inner, room)
            return Ok(changed) if is_ok else Err(changed)
        other = type_.err if is_ok else type_.ok
        made = None if other is None else value(other, self._chance.randrange(256), min(room, 4))
        return Err(made) if is_ok else Ok(made)

    def _number(self, type_: AnyType, given: int) -> int:
        chance = self._chance
        low, end = integer_range(type_) or (0, 2**64)
        match chance.randrange(7):
            case 0:
                return wrapped(given + chance.choice(_NUDGES), type_)
            case 1:
                return wrapped(given ^ (1 << chance.randrange(_BITS)), type_)
            case 2 if self._integers:
                return wrapped(chance.choice(self._integers) + chance.choice((-1, 0, 0, 1)), type_)
            case 3:
                return chance.choice((low, end - 1, 0, 1 if end > 1 else 0))
            case 4:
                return wrapped((1 << chance.randrange(_BITS)) - chance.randrange(2), type_)
            case 5:
                return wrapped(given * chance.choice((2, 3, 5, 8)) // chance.choice((1, 2, 3, 5)), type_)
            case _:
                return chance.randrange(low, end)

    def _float(self, type_: str, given: float) -> float:
        longer = given if type_ == "f32" and abs(given) > _MOST_TENTH_F32 else given * 10
        return self._chance.choice((0.0, -0.0, given + 1, -given, given / 2, longer, 1e-6, 0.1, 1e15, float(2**24)))

    def _elements(self, element: WitType, elements: list[Any], room: int) -> list[Any]:
        """Return a changed list. Elements are moved and copied as often as they are replaced."""
        chance = self._chance
        count = len(elements)
        if not count or (room > 0 and chance.random() < 0.15):
            if room > 0:
                at = chance.randrange(count + 1)
                copied = chance.choice(elements) if elements and chance.random() < 0.5 else self._new(element, room)
                elements.insert(at, copied)
            return elements
        i, j = sorted((chance.randrange(count), chance.randrange(count)))
        match chance.randrange(14):
            case 0 | 1:
                elements[i] = self.changed(element, elements[i], room)
            case 2:
                elements[i] = self._new(element, room if has_size(element) else 1)
            case 3:
                elements[i], elements[j] = elements[j], elements[i]
            case 4:
                elements[i] = elements[j]
            case 5:
                elements.insert(j, elements.pop(i))
            case 6:
                elements[i : j + 1] = elements[i : j + 1][::-1]
            case 7:
                elements[i : j + 1] = [elements[i]] * (j + 1 - i)
            case 8:
                elements[i : j + 1] = sorted(elements[i : j + 1], key=_order, reverse=chance.random() < 0.5)
            case 9:
                del elements[i : i + chance.choice((1, 1, 2, 4))]
            case 10:
                part = elements[i : i + chance.choice((1, 2, 3, 4, 8))]
                times = chance.choice((1, 2, count // len(part)))
                elements[j : j + len(part) * times] = (part * times)[: count - j] or part[:0]
            case 11 if self._texts and element in (Primitive("u8"), Primitive("char")):
                word = chance.choice(self._texts)
                spelled: list[Any] = list(word) if element == Primitive("u8") else list(word.decode("latin-1"))
                elements[i : i + len(spelled)] = spelled[: count - i]
            case 12:
                elements[i : j + 1] = [self.changed(element, one, 0) for one in elements[i : j + 1]]
            case _:
                elements[i:] = [*elements[i + 1 :], self._new(element, 1)]
        return elements

    def _new(self, element: WitType, room: int) -> Any:
        if element == Primitive("char"):
            return self._chance.choice(_CHARACTERS)
        number = self._chance.choice(self._integers) if self._integers and self._chance.random() < 0.3 else 0
        return value(element, number or self._chance.getrandbits(self._chance.choice((1, 4, 8, 32))), min(room, 4))


def _order(one: Any) -> Any:
    # Elements may be of several Python types, such as the values of an option.
    return (0, one, "") if isinstance(one, (int, float)) else (1, 0, repr(one))
