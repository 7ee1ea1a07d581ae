"""Values of a type from a series of whole numbers, and the size of values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.values import Ok, Some, Variant
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
    children,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from pytest_airssys_wasm.analysis.worst.series import Series
    from pytest_airssys_wasm.runtime.wit.types import WitType

    AnyType: TypeAlias = WitType | str
    """A WIT type, or the name of a core value type."""

BYTES = ListType(Primitive("u8"))
_LONGEST_PIECE = 8
"""The length of the pieces of which thinned arguments are made."""
_RANGES = {
    **{f"u{bits}": (0, 2**bits) for bits in (8, 16, 32, 64)},
    **{f"{sign}{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1)) for sign in "si" for bits in (8, 16, 32, 64)},
}


class NoValue(Exception):
    """The internal error for a type of which no values can be made, such as a resource."""


def integer_range(type_: AnyType) -> tuple[int, int] | None:
    """Return the smallest integer of a type, and the one after the largest; `None` for another type."""
    name = type_.name if isinstance(type_, Primitive) else type_ if isinstance(type_, str) else ""
    return _RANGES.get(name)


def has_size(type_: AnyType) -> bool:
    """Return whether values of a type may be large: it is a text or a list, or has one in it."""
    if isinstance(type_, str):
        return False
    return type_ == Primitive("string") or isinstance(type_, ListType) or any(map(has_size, children(type_)))


def wrapped(number: int, type_: AnyType) -> int:
    """Return the integer of this type that has the same last bits."""
    low, end = integer_range(type_) or (0, 2**64)
    return low + (number - low) % (end - low)


def sequence(type_: WitType, series: Series, size: int, room: int) -> Any:
    """Return a value of a type with `size` elements or bytes in all, whose parts follow a series.

    Elements of lists that have a size themselves get `room` each.
    """
    match type_:
        case Primitive("string"):
            return "".join(chr(32 + series(i, size) % 95) for i in range(size))
        case ListType(element):
            count = size // (1 + room) if has_size(element) else size
            return [value(element, series(i, count), room) for i in range(count)]
        case _:
            return value(type_, series(0, max(1, size)), size)


def value(type_: AnyType, number: int, room: int) -> Any:
    """Return a value of a type that stands for a number, with about `room` elements or bytes in it.

    Texts of different numbers differ only at the end, so that comparing them takes long.
    """
    match type_:
        case str():
            return wrapped(number, type_) if integer_range(type_) else float(number)
        case Primitive("bool"):
            return bool(number & 1)
        case Primitive("f32" | "f64"):
            return float(number % 2**24)
        case Primitive("char"):
            return chr(32 + number % 95)
        case Primitive("string"):
            return "x" * (room - 1) + chr(33 + number % 90) if room else ""
        case Primitive():
            if integer_range(type_) is None:
                raise NoValue(str(type_))
            return wrapped(number, type_)
        case ListType(element):
            inner = 1 if has_size(element) else 0
            return [value(element, number + i, inner) for i in range(room // (1 + inner))]
        case TupleType(elements):
            return tuple(value(one, number, _share(elements, room)) for one in elements)
        case RecordType(fields):
            share = _share([one for _, one in fields], room)
            return {name: value(one, number, share) for name, one in fields}
        case VariantType(cases):
            name, payload = cases[number % len(cases)]
            return Variant(name, None if payload is None else value(payload, number, room))
        case EnumType(names):
            return names[number % len(names)]
        case FlagsType(names):
            return frozenset(name for bit, name in enumerate(names) if number >> bit & 1)
        case OptionType(payload):
            inner_value = value(payload, number, room)
            return Some(inner_value) if isinstance(payload, OptionType) else inner_value
        case ResultType(ok, _):
            return Ok(None if ok is None else value(ok, number, room))
        case OwnType() | BorrowType() | FutureType() | StreamType():
            raise NoValue(str(type_))
        case _:
            assert_never(type_)


def _share(types: Sequence[WitType], room: int) -> int:
    return room // max(1, sum(map(has_size, types)))


def size_of(type_: AnyType, given: Any) -> int:
    """Return the elements of all lists and the bytes of all texts in a value."""
    match type_:
        case Primitive("string"):
            return len(given.encode())
        case Primitive():
            return 0
        case ListType(Primitive(name)) if name != "string":
            return len(given)
        case ListType(element):
            return len(given) + sum(size_of(element, one) for one in given)
        case TupleType(elements):
            return sum(map(size_of, elements, given))
        case RecordType(fields):
            return sum(size_of(one, given[name]) for name, one in fields)
        case VariantType(cases):
            payload = dict(cases).get(given.case)
            return 0 if payload is None else size_of(payload, given.payload)
        case OptionType(payload):
            return 0 if given is None else size_of(payload, given.value if isinstance(given, Some) else given)
        case ResultType(ok, err):
            of, inner = (ok, given.value) if isinstance(given, Ok) else (err, given.error)
            return 0 if of is None else size_of(of, inner)
        case _:
            return 0


def lowered(type_: AnyType, given: Any) -> Any:
    """Return a value as it is passed to a guest: a list of bytes as bytes, which is quick."""
    return bytes(given) if type_ == BYTES else given


def shortened(type_: AnyType, given: Any, size: int, *, is_thinned: bool = False) -> Any:
    """Return a value cut to a size, in elements of lists and bytes of texts.

    The ends of lists and texts are removed; if the value `is_thinned`, pieces between the pieces that are kept.
    Variants, options and results stay as they are if they are in a list or alone.
    """
    whole = size_of(type_, given)
    if whole <= size:
        return given
    size = max(0, size)
    match type_:
        case Primitive():
            text = given.encode()
            return b"".join(_pieces(text, size) if is_thinned else [text[:size]]).decode("utf-8", "ignore")
        case ListType(element):
            if is_thinned:
                given = [one for piece in _pieces(given, len(given) * size // whole) for one in piece]
            return given[:size] if not has_size(element) else _fitting(element, given, size)
        case TupleType(elements):
            return shortened_each(elements, given, size, is_thinned=is_thinned)
        case RecordType(fields):
            names, types = [name for name, _ in fields], [one for _, one in fields]
            cut = shortened_each(types, [given[name] for name in names], size, is_thinned=is_thinned)
            return dict(zip(names, cut))
        case _:
            return given


def _pieces(given: Any, size: int) -> list[Any]:
    """Return evenly spaced pieces of a sequence with a size together, its beginning and its end among them: long runs
    become shorter in proportion, and short periods stay.
    """
    piece = max(1, min(_LONGEST_PIECE, size // 4))
    count, more = divmod(size, piece)
    if count < 2:
        return [given[:size]]
    last = len(given) - piece - more
    starts = [number * last // (count - 1) // piece * piece for number in range(count - 1)]
    return [*(given[start : start + piece] for start in starts), given[last:]]


def _fitting(element: AnyType, given: Sequence[Any], size: int) -> list[Any]:
    """Return the first elements that have a size together."""
    kept: list[Any] = []
    for one in given:
        size -= 1 + size_of(element, one)
        if size < 0:
            break
        kept.append(one)
    return kept


def shortened_each(
    types: Sequence[AnyType], given: Sequence[Any], size: int, *, is_thinned: bool = False
) -> tuple[Any, ...]:
    """Return several values, all cut in the same proportion if they are over a size together; see `shortened`."""
    sizes = [*map(size_of, types, given)]
    whole = sum(sizes)
    if whole <= size:
        return tuple(given)
    return tuple(
        shortened(type_, one, size * own // whole, is_thinned=is_thinned)
        for type_, one, own in zip(types, given, sizes)
    )


def other_contents(types: Sequence[AnyType], given: Sequence[Any], chance: random.Random) -> tuple[Any, ...]:
    """Return arguments of the same sizes as the given ones, whose texts and elements of lists are random."""
    return tuple(_refilled(type_, one, chance) if _has_parts(type_) else one for type_, one in zip(types, given))


def _has_parts(type_: AnyType) -> bool:
    """Return whether values of a type have contents beside their sizes. An integer argument is a size itself."""
    return type_ == Primitive("string") or isinstance(type_, (ListType, RecordType, TupleType))


def _refilled(type_: AnyType, given: Any, chance: random.Random) -> Any:
    match type_:
        case Primitive("string"):
            return "".join(map(chr, chance.choices(range(32, 127), k=len(given))))
        case Primitive():
            return value(type_, chance.getrandbits(64), 0)
        case ListType() if type_ == BYTES:
            return chance.randbytes(len(given))
        case ListType(element):
            return [_refilled(element, one, chance) for one in given]
        case TupleType(elements):
            return tuple(_refilled(element, one, chance) for element, one in zip(elements, given))
        case RecordType(fields):
            return {name: _refilled(field, given[name], chance) for name, field in fields}
        case _:
            return given
