"""The lifting of many records or tuples at once, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.floats import f32_of
from pytest_airssys_wasm.runtime.base.values import field_name, make_record
from pytest_airssys_wasm.runtime.capi.vals import BYTES
from pytest_airssys_wasm.runtime.convert.transfer import NUMBERS
from pytest_airssys_wasm.runtime.wit.types import EnumType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.lift.rows import RowCodes
    from pytest_airssys_wasm.runtime.wit.types import WitType

    Column = tuple[Any, ...]
    """The numbers at one place of all rows."""
    Build = Callable[[Iterator[Column], "_Texts | None"], Iterable[Any]]
    """A function that makes the values of a type from as many columns as it needs."""

ROW_CODES: RowCodes = {**NUMBERS, "bool": "B", "char": "I", "f32": "I"}
"""The format codes of numbers, bools and chars in results."""
MAKERS: dict[str, Callable[[int], Any]] = {"bool": bool, "char": chr, "f32": f32_of}
"""The functions that make Python values of some of them."""
_MOST_TEXT_BYTES = 2**20


class _Texts(Struct, frozen=True):
    """The texts of some rows, which lie together in the copies and are ASCII."""

    text: str
    offset: int
    """The offset of the text from the address of the copies."""


def compile_columns(type_: WitType) -> Callable[[list[Column], int, Transfer], Iterable[Any] | None] | None:
    """Return the function that makes the values of many rows; `None` for types that have to be lifted row by row.

    It takes the rows, the address of the copies, and the transfer account. It returns `None` for rows with texts that
    have to be lifted one by one.
    """
    places: list[int] = []
    build = _column(type_, places, [0])
    if build is None:
        return None

    def build_columns(rows: list[Column], copies: int, transfer: Transfer) -> Iterable[Any] | None:
        columns = [*zip(*rows)]
        if not places:
            return build(iter(columns), None)
        first, last = places[0], places[-1]
        start, end = columns[first][0], columns[last][-1] + columns[last + 1][-1]
        size = sum(sum(columns[place + 1]) for place in places)
        if end - start > _MOST_TEXT_BYTES or not transfer.allows(size):
            return None
        content = bytes(BYTES[copies + start : copies + end])
        if not content.isascii():
            return None
        transfer.charge(size)
        return build(iter(columns), _Texts(content.decode("ascii"), start))

    return build_columns


def _column(type_: WitType, places: list[int], width: list[int]) -> Build | None:
    """Return the function for a type. `places` becomes the columns of texts, and `width` the number of columns."""
    match type_:
        case Primitive("string"):
            places.append(width[0])
            width[0] += 2
            return _texts
        case Primitive(name):
            width[0] += 1
            make = MAKERS.get(name)
            if make is None:
                return lambda columns, texts: next(columns)
            return lambda columns, texts: map(make, next(columns))
        case EnumType(names):
            width[0] += 1
            return lambda columns, texts: [names[number] for number in next(columns)]
        case RecordType(fields):
            attributes = [field_name(name) for name, _ in fields]
            together = _parts([part for _, part in fields], places, width)
            if together is None:
                return None
            return lambda columns, texts: [make_record(dict(zip(attributes, row))) for row in together(columns, texts)]
        case TupleType(elements):
            return _parts([*elements], places, width)
        case _:
            return None


def _texts(columns: Iterator[Column], texts: _Texts | None) -> list[str]:
    assert texts is not None
    text, start = texts.text, texts.offset
    return [text[at - start : at - start + size] for at, size in zip(next(columns), next(columns))]


def _parts(parts: list[WitType], places: list[int], width: list[int]) -> Build | None:
    builds = [_column(part, places, width) for part in parts]
    known = [build for build in builds if build is not None]
    if len(known) < len(builds):
        return None
    return lambda columns, texts: zip(*[build(columns, texts) for build in known])
