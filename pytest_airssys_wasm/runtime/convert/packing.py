"""Lists of primitives as one array of machine numbers, without a loop in Python."""

from __future__ import annotations

from array import array
from struct import Struct
from struct import error as StructError  # noqa: N812 it is a class
from typing import Any


def pack(name: str, code: str, values: Any) -> Any | None:
    """All of `values` as one array, or `None` where one does not fit: going through them finds which."""
    if isinstance(values, bytes) and name == "u8":
        return memoryview(values)
    kinds = set(map(type, values))
    wanted: set[type] = {bool} if name == "bool" else {str} if name == "char" else {int}
    if name in ("f32", "f64"):
        wanted = {int, float}
    if not kinds <= wanted:
        return None
    try:
        if name == "char":
            codes = array(code, map(ord, values))
            return None if any(0xD800 <= one <= 0xDFFF for one in set(codes)) else codes
        # `array` would make an infinity of a number that is too large for f32; `struct` refuses it.
        packed = array(code, Struct(f"<{len(values)}f").pack(*values) if name == "f32" else values)
    except (OverflowError, StructError, TypeError, ValueError):
        return None
    # Python compares ints with floats exactly; a NaN among them only fails to be told here.
    return packed if int not in kinds or name[0] != "f" or tuple(packed) == values else None
