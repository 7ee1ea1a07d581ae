"""The core values of numbers, bools, chars and flags, as their bits."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.floats import f32_bits
from pytest_airssys_wasm.runtime.convert.accepted import (
    check_bool,
    check_char,
    check_flags,
    check_float,
    check_integer,
)
from pytest_airssys_wasm.runtime.wit.types import FlagsType, Primitive

if TYPE_CHECKING:
    from collections.abc import Callable

    Bits = Callable[[Any], int]
    """A function that returns the core value of a Python value as an unsigned number."""

_F32, _U32, _F64, _U64 = Struct("<f"), Struct("<I"), Struct("<d"), Struct("<Q")


def compile_bits(type_: Primitive | FlagsType) -> Bits:
    """Return the function for a type, which raises `TypeError`, `ValueError` or `OverflowError` for other values.

    Smaller integers are extended to 32 bits as the Canonical ABI does (`lower_flat`).
    """
    match type_:
        case FlagsType(names):
            return compile_flags(names)
        case Primitive("bool"):
            return check_bool
        case Primitive("char"):
            return check_char
        case Primitive("f32"):
            return _f32
        case Primitive("f64"):
            return _f64
        case Primitive(name):
            return _integer(name, int(name[1:]), is_signed=name[0] == "s")
    raise TypeError


def _integer(name: str, width: int, *, is_signed: bool) -> Bits:
    least = -(1 << width - 1) if is_signed else 0
    end, mask = least + (1 << width), (1 << max(32, width)) - 1

    def bits(value: Any) -> int:
        if type(value) is not int:
            value = check_integer(name, value)
        if least <= value < end:
            return int(value & mask)
        raise ValueError

    return bits


def _f32(value: Any) -> int:
    if type(value) is not float:
        value = check_float("f32", value)
    return f32_bits(value) if value != value else int(_U32.unpack(_F32.pack(value))[0])


def _f64(value: Any) -> int:
    if type(value) is not float:
        value = check_float("f64", value)
    return int(_U64.unpack(_F64.pack(value))[0])


def compile_flags(names: tuple[str, ...]) -> Bits:
    """Return the function for a set of flags.

    It refuses iterables that may be empty when the call is made the general way instead.
    """
    bits = {name: 1 << number for number, name in enumerate(names)}

    def sum_of(value: Any) -> int:
        if type(value) not in (set, frozenset, list, tuple):
            raise TypeError
        return sum(check_flags(value, bits, ""))

    return sum_of
