"""The search for the smallest arguments that still show a fault.

Hypothesis shrinks as far as its choices allow: an example that came from a list of edges or from the constants of a
guest has no smaller neighbours there, and a variation is not an example of Hypothesis at all. This search works on the
values by their types.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.runtime.wit.types import WitType

_FIRST_CHARACTERS = "a0 "
"""The simplest characters. The others follow in the order of their code points."""
_EDGES = ("\x7f", "\x80", "\ud7ff", "\ue000", "\uffff", "\U00010000")
"""The first and last characters of ranges of code points."""
_LOWEST = (-(2**7), -(2**15), -(2**31), -(2**63))
"""The lowest numbers of the signed types, whose negations do not fit into the type."""
_INTEGRAL = 2.0**53


def minimise(
    args: tuple[Any, ...],
    types: Sequence[WitType | str],
    fails: Callable[[tuple[Any, ...]], bool],
    is_over: Callable[[], bool],
) -> tuple[Any, ...]:
    """Return arguments for which `fails` is true, and for no simpler neighbour; or the best ones when `is_over`."""
    type_ = TupleType(tuple(Primitive(one) if isinstance(one, str) else one for one in types))
    progress = True
    while progress:
        progress = False
        for simpler in neighbours(args, type_):
            if is_over():
                return args
            if fails(simpler):
                args, progress = simpler, True
                break
    return args


def neighbours(value: Any, type_: WitType) -> Iterator[Any]:
    """Yield simpler values of a type: first those that take most away. Handles of resources have none."""
    match type_:
        case Primitive("bool"):
            if value:
                yield False
        case Primitive("char"):
            yield from _characters(value)
        case Primitive("string"):
            yield from map("".join, _sequences([*value], _characters))
        case Primitive("f32" | "f64"):
            yield from _floats(value)
        case Primitive():
            yield from _integers(value)
        case ListType(Primitive("u8")):
            yield from map(bytes, _sequences([*value], _integers))
        case ListType(element):
            yield from _sequences([*value], lambda one: neighbours(one, element))
        case TupleType(elements):
            yield from map(tuple, _parts([*value], elements))
        case RecordType(fields):
            names = [name for name, _ in fields]
            for parts in _parts([value[name] for name in names], [field for _, field in fields]):
                yield dict(zip(names, parts))
        case VariantType(cases):
            yield from _cases(value, cases)
        case EnumType(names):
            yield from names[: names.index(value)]
        case FlagsType():
            if value:
                yield frozenset()
            yield from (value - {name} for name in sorted(value) if len(value) > 1)
        case OptionType(payload):
            yield from _options(value, payload)
        case ResultType(ok, err):
            yield from _results(value, ok, err)


def _integers(value: int) -> Iterator[int]:
    if value < 0:
        yield -value - 1 if value in _LOWEST else -value
    change = value
    while change:
        yield value - change
        change = int(change / 2) if abs(change) < _INTEGRAL else (abs(change) // 2) * (1 if change > 0 else -1)


def _floats(value: float) -> Iterator[float]:
    if math.isnan(value):
        yield from (0.0, 1.0)
        if str(value.hex()) != "nan" or math.copysign(1, value) < 0:
            yield math.nan
        return
    if value < 0 or (value == 0 and math.copysign(1, value) < 0):
        yield -value
    if value == 0:
        return
    if math.isinf(value):
        yield from (0.0, 1.0, 1e30)
        return
    yield from (one for one in (0.0, 1.0) if abs(one) < abs(value))
    whole = float(int(value))
    if whole != value:
        yield whole
    elif abs(value) <= _INTEGRAL:
        yield from map(float, _integers(int(value)))
    else:
        yield from (value / 2, math.copysign(_INTEGRAL, value))


def _rank(character: str) -> int:
    at = _FIRST_CHARACTERS.find(character)
    return ord(character) + len(_FIRST_CHARACTERS) if at < 0 else at


def _characters(value: str) -> Iterator[str]:
    rank = _rank(value)
    yield from _FIRST_CHARACTERS[:rank]
    if rank < len(_FIRST_CHARACTERS):
        return
    # The ends of ranges, because halving the distance between code points skips them.
    yield from (one for one in _EDGES if len(_FIRST_CHARACTERS) <= _rank(one) < rank)
    for code in _integers(ord(value)):
        if not 0xD800 <= code < 0xE000 and _rank(chr(code)) >= len(_FIRST_CHARACTERS):
            yield chr(code)


def _sequences(elements: list[Any], simpler: Callable[[Any], Iterator[Any]]) -> Iterator[list[Any]]:
    size = len(elements)
    while size:
        for start in range(0, len(elements) - size + 1, size):
            yield elements[:start] + elements[start + size :]
        size //= 2
    for index, element in enumerate(elements):
        for one in simpler(element):
            yield [*elements[:index], one, *elements[index + 1 :]]


def _parts(parts: list[Any], types: Sequence[WitType]) -> Iterator[list[Any]]:
    for index, type_ in enumerate(types):
        for one in neighbours(parts[index], type_):
            yield [*parts[:index], one, *parts[index + 1 :]]


def _cases(value: Variant, cases: Sequence[tuple[str, WitType | None]]) -> Iterator[Variant]:
    for name, payload in cases:
        if name == value.case:
            if payload is not None:
                yield from (Variant(name, one) for one in neighbours(value.payload, payload))
            return
        first = simplest(payload)
        if first is not None:
            yield Variant(name, first[0])


def _options(value: Any, payload: WitType) -> Iterator[Any]:
    if value is None:
        return
    yield None
    if isinstance(payload, OptionType):
        yield from map(Some, neighbours(value.value, payload))
    else:
        yield from neighbours(value, payload)


def _results(value: Ok | Err, ok: WitType | None, err: WitType | None) -> Iterator[Ok | Err]:
    match value:
        case Ok(inner):
            yield from (() if ok is None else map(Ok, neighbours(inner, ok)))
        case Err(inner):
            first = simplest(ok)
            if first is not None:
                yield Ok(first[0])
            yield from (() if err is None else map(Err, neighbours(inner, err)))


def simplest(type_: WitType | None) -> tuple[Any] | None:
    """Return the simplest value of a type in a tuple; `None` for a type of which only the guest can make values."""
    match type_:
        case None | OptionType():
            return (None,)
        case Primitive(name):
            plain: dict[str, Any] = {"bool": False, "char": "a", "string": "", "f32": 0.0, "f64": 0.0}
            return (plain.get(name, 0),)
        case ListType(element):
            return (b"" if element == Primitive("u8") else [],)
        case FlagsType():
            return (frozenset(),)
        case EnumType(names):
            return (names[0],)
        case TupleType(elements):
            parts = [simplest(one) for one in elements]
            return None if None in parts else (tuple(one[0] for one in parts if one),)
        case RecordType(fields):
            found = {name: simplest(field) for name, field in fields}
            return None if None in found.values() else ({name: one[0] for name, one in found.items() if one},)
        case VariantType(((name, payload), *_)):
            inner = simplest(payload)
            return None if inner is None else (Variant(name, inner[0]),)
        case ResultType(ok, _):
            inner = simplest(ok)
            return None if inner is None else (Ok(inner[0]),)
    return None
