"""The rows of numbers that values in the memory of a guest consist of, for `struct`."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.lift.layout import DISCRIMINANT_BYTES, cases_of, layout_of, offsets_of
from pytest_airssys_wasm.runtime.wit.types import FlagsType, ListType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_airssys_wasm.runtime.wit.types import WitType

    RowCodes = Mapping[str, str]
    """The format codes of numbers, bools and chars, by the names of their types."""

_FLAGS = {1: "B", 2: "H", 4: "I"}


def row_struct(type_: WitType, codes: RowCodes) -> Struct:
    """Return the `struct` of a value of this type.

    A text or list is an offset or pointer, and a length. A type with cases is the number of a case and, if one of them
    has a payload, the bytes behind it.
    """
    text, at = "<", 0
    for offset, size, code in _leaves(type_, 0, codes):
        text += f"{offset - at}x{code}"
        at = offset + size
    return Struct(f"{text}{layout_of(type_).size - at}x")


def _leaves(type_: WitType, offset: int, codes: RowCodes) -> Iterator[tuple[int, int, str]]:
    """Yield the offsets, sizes and format codes of the numbers of a type."""
    size = layout_of(type_).size
    match type_:
        case Primitive("string") | ListType():
            yield offset, size, "II"
        case Primitive(name):
            yield offset, size, codes[name]
        case FlagsType():
            yield offset, size, _FLAGS[size]
        case RecordType(fields):
            yield from _of_parts([part for _, part in fields], offset, codes)
        case TupleType(elements):
            yield from _of_parts(elements, offset, codes)
        case _:
            cases = cases_of(type_)
            assert cases is not None
            yield offset, DISCRIMINANT_BYTES, "B"
            if any(payload is not None for payload in cases.payloads):
                yield offset + cases.offset, size - cases.offset, f"{size - cases.offset}s"


def _of_parts(parts: Sequence[WitType], offset: int, codes: RowCodes) -> Iterator[tuple[int, int, str]]:
    for part, at in zip(parts, offsets_of(parts)):
        yield from _leaves(part, offset + at, codes)
