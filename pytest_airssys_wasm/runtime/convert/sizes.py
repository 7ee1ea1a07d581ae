"""What WIT values cost to move: the fixed part of each type, known before a value is looked at."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    ListType,
    Primitive,
    ResultType,
    VariantType,
    children,
)

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.wit.types import WitType

NUMBERS = {
    "s8": "b",
    "u8": "B",
    "s16": "h",
    "u16": "H",
    "s32": "i",
    "u32": "I",
    "s64": "q",
    "u64": "Q",
    "f32": "f",
    "f64": "d",
}
"""Format codes of the fixed-width numbers, as `struct`, `array` and `memoryview` have them."""

_OBJECT_BYTES = 32
"""At least what a Python object takes; so empty lists in millions are counted too."""


@lru_cache(maxsize=4_096)
def fixed_size(type_: WitType) -> int:
    """Bytes charged for a value of this type, besides the elements of its lists and the bytes of its text."""
    if isinstance(type_, Primitive):
        return {"s8": 1, "u8": 1, "bool": 1, "s16": 2, "u16": 2, "s64": 8, "u64": 8, "f64": 8, "string": 32}.get(
            type_.name, 4
        )
    if isinstance(type_, (EnumType, FlagsType)):
        return _OBJECT_BYTES
    inner = [fixed_size(child) for child in children(type_)] if _is_inline(type_) else [0]
    both = max(inner, default=0) if isinstance(type_, (VariantType, ResultType)) else sum(inner)
    return _OBJECT_BYTES + both


def _is_inline(type_: WitType) -> bool:
    return not isinstance(type_, ListType)
