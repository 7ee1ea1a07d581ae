"""Floats with all of their bits. Where `struct` and `array` convert an f32, they make signalling NaNs quiet."""

from __future__ import annotations

import math
import re
from struct import Struct

_F32, _U32 = Struct("<f"), Struct("<I")
_F64, _U64 = Struct("<d"), Struct("<Q")
_SHIFT = 52 - 23
"""The number of bits by which the fraction of an f64 is longer than that of an f32."""
_F32_INFINITY, _F32_FRACTION, _F32_QUIET = 0x7F80_0000, 0x7F_FFFF, 0x40_0000
_F64_INFINITY, _F64_FRACTION, _F64_NAN = 0x7FF0_0000_0000_0000, 0xF_FFFF_FFFF_FFFF, 0x7FF8_0000_0000_0000
_NAN = r"nan:([0-9a-f]{16})"


def f32_bits(value: float) -> int:
    """Return the 32 bits of the nearest f32: for a NaN, its sign and the upper bits of its payload.

    Raises `OverflowError` for a finite number that is too large.
    """
    if value == value:
        return int.from_bytes(_F32.pack(value), "little")
    bits = f64_bits(value)
    fraction = (bits & _F64_FRACTION) >> _SHIFT
    return bits >> 63 << 31 | _F32_INFINITY | (fraction or _F32_QUIET)


def f32_of(bits: int) -> float:
    """Return the float of the 32 bits of an f32; a NaN keeps all of them."""
    if bits & ~(1 << 31) <= _F32_INFINITY:
        (value,) = _F32.unpack(_U32.pack(bits))
        return float(value)
    return f64_of(bits >> 31 << 63 | _F64_INFINITY | (bits & _F32_FRACTION) << _SHIFT)


def f64_bits(value: float) -> int:
    """Return the 64 bits of a float."""
    return int.from_bytes(_F64.pack(value), "little")


def f64_of(bits: int) -> float:
    """Return the float of 64 bits."""
    (value,) = _F64.unpack(_U64.pack(bits))
    return float(value)


def write_nan(value: float) -> str:
    """Return the text of a NaN with all of its bits: `nan` for the canonical one, else `nan:` and 16 digits."""
    bits = f64_bits(value)
    return "nan" if bits == _F64_NAN else f"nan:{bits:016x}"


def read_nan(text: str) -> float | None:
    """Return the NaN that `write_nan` has written; `None` for another text."""
    if text == "nan":
        return f64_of(_F64_NAN)
    match = re.fullmatch(_NAN, text)
    value = None if match is None else f64_of(int(match[1], 16))
    return value if value is not None and math.isnan(value) else None
