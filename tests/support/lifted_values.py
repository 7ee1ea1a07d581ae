"""Random Python values for the types of `lifted_guests`, and their comparison to the bit."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm import Err, Ok, Record, Some, Variant
from pytest_airssys_wasm.runtime.base.floats import f32_of, f64_of
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
    from collections.abc import Iterable
    from random import Random

    from pytest_airssys_wasm.runtime.wit.types import WitType

_INTEGERS = {f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)} | {
    f"s{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)
}


def random_value(random: Random, type_: WitType, *, is_wrong: bool = False, is_ascii: bool = False) -> Any:
    """Draw a value of a type, or one that is like it."""
    match type_:
        case Primitive("string"):
            if is_wrong:
                return random.choice([b"x", "\ud800", 1, None])
            size = random.choice([0, 1, 5, 30, 17_000 if random.random() < 0.1 else 3])
            alphabets = ["ab\0"] if is_ascii else ["ab", "é\0", "€𝄞"]
            return "".join(random.choice(random.choice(alphabets)) for _ in range(size))
        case Primitive("bool"):
            return 1 if is_wrong else random.random() < 0.5
        case Primitive("char"):
            return random.choice(["ab", "\udc00", 65]) if is_wrong else random.choice("a\0é€𝄞\U0010ffff")
        case Primitive("f32" | "f64" as name):
            if is_wrong:
                return random.choice(["1", True, 1e300 if name == "f32" else 2**70 + 1])
            width = 4 if name == "f32" else 8
            drawn = struct.unpack("<f" if width == 4 else "<d", random.randbytes(width))[0]
            if random.random() < 0.2:
                if width == 4:
                    return f32_of(0x7F800001 | random.getrandbits(22))
                return f64_of(0x7FF0000000000001 | random.getrandbits(50))
            return random.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), 3, drawn])
        case Primitive(name):
            low, high = _INTEGERS[name]
            if is_wrong:
                return random.choice([low - 1, high + 1, True, 1.0, "1"])
            return random.choice([low, high, 0, random.randint(low, high)])
        case ListType(element):
            size = random.choice([0, 1, 2, 7, random.randint(0, 40), 5_000 if random.random() < 0.05 else 4])
            is_ascii = is_ascii or random.random() < 0.5
            values = [random_value(random, element, is_ascii=is_ascii) for _ in range(size)]
            if is_wrong:
                return random.choice([{1: 2}, 1, "ab", [*values, object()]])
            if element == Primitive("u8"):
                return random.choice([bytes, bytearray, list, tuple, lambda some: memoryview(bytes(some))])(values)
            return random.choice([list, tuple])(values)
        case TupleType(elements):
            return tuple(random_value(random, part, is_wrong=is_wrong, is_ascii=is_ascii) for part in elements)
        case RecordType(fields):
            made = {name: random_value(random, part, is_wrong=is_wrong, is_ascii=is_ascii) for name, part in fields}
            return random.choice([dict, Record])(**made) if not is_wrong else random.choice([made, {}, 1])
        case _:
            return _random_choice(random, type_, is_wrong=is_wrong, is_ascii=is_ascii)


def _random_choice(random: Random, type_: WitType, *, is_wrong: bool, is_ascii: bool) -> Any:
    """Draw a value of a type with cases, or of flags."""
    match type_:
        case FlagsType(names):
            chosen = [name for name in names if random.random() < 0.5]
            if is_wrong:
                return random.choice(["a", dict.fromkeys(names, 1), ["x"], [1], 3])
            return random.choice([set, list, tuple, frozenset, _keys])(chosen)
        case EnumType(names):
            return random.choice(["x", 0, None]) if is_wrong else random.choice(names)
        case OptionType(payload):
            if random.random() < 0.4 and not is_wrong:
                return None
            value = random_value(random, payload, is_wrong=is_wrong, is_ascii=is_ascii)
            return (
                Some(value) if isinstance(payload, OptionType) and not (is_wrong and random.random() < 0.5) else value
            )
        case ResultType(ok, err):
            make, payload = random.choice([(Ok, ok), (Err, err)])
            value = _random_payload(random, payload, is_wrong=is_wrong, is_ascii=is_ascii)
            return value if is_wrong and random.random() < 0.3 else make(value)
        case VariantType(cases):
            name, payload = random.choice(cases)
            value = _random_payload(random, payload, is_wrong=is_wrong, is_ascii=is_ascii)
            return random.choice([Variant("x"), Variant(name, value), name]) if is_wrong else Variant(name, value)
        case _:
            raise TypeError


def _keys(names: list[str]) -> Iterable[str]:
    return dict.fromkeys(names).keys()


def _random_payload(random: Random, payload: WitType | None, *, is_wrong: bool, is_ascii: bool) -> Any:
    if payload is None:
        return 1 if is_wrong else None
    return random_value(random, payload, is_wrong=is_wrong, is_ascii=is_ascii)


def exact(value: Any) -> Any:
    """Return a value with the classes of its parts, and the bits of its floats, for comparison."""
    match value:
        case float():
            return ("float", struct.pack("<d", value))
        case list() | tuple():
            return (type(value).__name__, [exact(part) for part in value])
        case Record():
            return ("record", {name: exact(part) for name, part in value.as_dict().items()})
        case Some() | Ok():
            return (type(value).__name__, exact(value.value))
        case Err():
            return ("err", exact(value.error))
        case Variant():
            return ("variant", value.case, exact(value.payload))
        case _:
            return (type(value).__name__, value)
