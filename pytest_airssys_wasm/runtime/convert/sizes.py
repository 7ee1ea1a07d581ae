"""The cost of moving WIT values: the fixed part of each type, which is known before a value is looked at."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
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
"""The format codes of the fixed-width numbers in `struct`, `array` and `memoryview`."""

_OBJECT_BYTES = 32
"""The least that a Python object takes, so that millions of empty lists are counted too."""
_PRIMITIVE_BYTES = {"s8": 1, "u8": 1, "bool": 1, "s16": 2, "u16": 2, "s64": 8, "u64": 8, "f64": 8, "string": 32}
_OTHER_PRIMITIVE_BYTES = 4


@lru_cache(maxsize=4_096)
def fixed_size(type_: WitType) -> int:
    """Return the bytes charged for a value of a type, besides the elements of its lists and the bytes of its text."""
    match type_:
        case Primitive(name):
            return _PRIMITIVE_BYTES.get(name, _OTHER_PRIMITIVE_BYTES)
        case EnumType() | FlagsType() | ListType() | OwnType() | BorrowType():
            return _OBJECT_BYTES
        case VariantType() | ResultType():
            return _OBJECT_BYTES + max(map(fixed_size, children(type_)), default=0)
        case RecordType() | TupleType() | OptionType() | FutureType() | StreamType():
            return _OBJECT_BYTES + sum(map(fixed_size, children(type_)))
        case _:
            assert_never(type_)
