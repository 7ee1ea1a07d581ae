"""The lifting of results that the guard has copied out of the memory of a guest.

Values are made and charged as `convert.lifting` does, from the layout of the Canonical ABI instead of C values.
"""

from __future__ import annotations

from itertools import islice
from math import isnan
from struct import Struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.floats import f32_of
from pytest_airssys_wasm.runtime.base.values import field_name, make_record
from pytest_airssys_wasm.runtime.capi.vals import BYTES, MEMORY
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift, lift_text
from pytest_airssys_wasm.runtime.convert.transfer import NUMBERS, fixed_size
from pytest_airssys_wasm.runtime.lift.layout import layout_of, offsets_of
from pytest_airssys_wasm.runtime.wit.types import ListType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.lift.layout import Layout, Signature
    from pytest_airssys_wasm.runtime.wit.types import WitType

    Lift = Callable[[int, int, Transfer], Any]
    """A converter: `(address of the copy, address of the results, transfer) -> Python value`."""

_ADDRESS = Struct("<Q")
_COPY = Struct("<QQ")
_BATCH = 4_096


def compile_result(signature: Signature) -> Callable[[int, Transfer], Any] | None:
    """Return the converter of a result at an address; `None` for a function without one."""
    result = signature.result
    if result is None:
        return None
    if signature.is_scalar:
        return compile_lift(result)
    lift = _lift(result, 0, _Copies())

    def lift_copied(results: int, transfer: Transfer) -> Any:
        (copy,) = _ADDRESS.unpack_from(MEMORY, results)
        return lift(copy, results, transfer)

    return lift_copied


class _Copies:
    """The places of the addresses of copies, behind that of the result itself."""

    def __init__(self) -> None:
        self._next = _ADDRESS.size

    def take(self) -> int:
        """Return the offset of the address of the next copy."""
        self._next += _COPY.size
        return self._next - _COPY.size


def _lift(type_: WitType, offset: int, copies: _Copies) -> Lift:
    match type_:
        case Primitive("string"):
            return _text(copies.take())
        case Primitive(name):
            return _number(name, offset)
        case ListType(element):
            return _list(element, copies.take())
        case RecordType(fields):
            offsets = offsets_of([part for _, part in fields])
            named = [(field_name(name), _lift(part, offset + at, copies)) for (name, part), at in zip(fields, offsets)]
            return lambda copy, results, transfer: make_record(
                {name: lift(copy, results, transfer) for name, lift in named}
            )
        case TupleType(elements):
            lifts = [_lift(part, offset + at, copies) for part, at in zip(elements, offsets_of(elements))]
            return lambda copy, results, transfer: tuple([lift(copy, results, transfer) for lift in lifts])
        case _:
            raise TypeError


def _text(place: int) -> Lift:
    def lift(_copy: int, results: int, transfer: Transfer) -> str:
        data, size = _COPY.unpack_from(MEMORY, results + place)
        return lift_text(data, size, transfer)

    return lift


def _number(name: str, offset: int) -> Lift:
    read = Struct(f"<{_CODES[name]}").unpack_from
    make = _MAKERS.get(name)
    if make is None:
        return lambda copy, results, transfer: read(MEMORY, copy + offset)[0]
    return lambda copy, results, transfer: make(read(MEMORY, copy + offset)[0])


_CODES = {**NUMBERS, "bool": "B", "char": "I", "f32": "I"}
_MAKERS: dict[str, Callable[[int], Any]] = {"bool": bool, "char": chr, "f32": f32_of}


def _list(element: WitType, place: int) -> Lift:
    cost = max(1, fixed_size(element))
    lift_all = _numbers(element.name) if isinstance(element, Primitive) else _rows(element)

    def lift(_copy: int, results: int, transfer: Transfer) -> Any:
        data, count = _COPY.unpack_from(MEMORY, results + place)
        transfer.charge(count * cost)
        return lift_all(data, count, transfer)

    return lift


def _numbers(name: str) -> Callable[[int, int, Transfer], Any]:
    """Return the converter of whole lists of numbers, bools or chars."""
    if name == "u8":
        return lambda data, count, transfer: bytes(BYTES[data : data + count])
    if name == "bool":
        return lambda data, count, transfer: list(map(bool, BYTES[data : data + count]))
    code = "I" if name == "char" else NUMBERS[name]
    width = Struct(f"<{code}").size

    def numbers(data: int, count: int, _transfer: Transfer) -> list[Any]:
        view: Any = BYTES[data : data + width * count].cast(code)  # type: ignore[call-overload]  # a format code
        values: list[Any] = view.tolist()
        if name == "f32" and isnan(sum(values)):  # of NaNs each sum is one; `tolist` has made signalling ones quiet
            return [f32_of(one) for one in view.cast("B").cast("I").tolist()]
        return values

    if name == "char":
        return lambda data, count, transfer: list(map(chr, numbers(data, count, transfer)))
    return numbers


def _rows(element: WitType) -> Callable[[int, int, Transfer], list[Any]]:
    """Return the converter of whole lists of records or tuples."""
    layout = layout_of(element)
    row, build = Struct(_row_format(layout)), _builder(element)

    def rows(data: int, count: int, transfer: Transfer) -> list[Any]:
        values: list[Any] = []
        found = row.iter_unpack(BYTES[data : data + layout.size * count])
        for _ in range(0, count, _BATCH):
            transfer.check()
            values += [build(iter(numbers)) for numbers in islice(found, _BATCH)]
        return values

    return rows


def _row_format(layout: Layout) -> str:
    text, at = "<", 0
    for offset, leaf in layout.leaves:
        assert isinstance(leaf, Primitive)
        text += f"{offset - at}x{_CODES[leaf.name]}"
        at = offset + layout_of(leaf).size
    return f"{text}{layout.size - at}x"


def _builder(type_: WitType) -> Callable[[Iterator[Any]], Any]:
    """Return the function that makes a value of the next of its numbers."""
    match type_:
        case Primitive(name):
            make = _MAKERS.get(name)
            return next if make is None else lambda numbers: make(next(numbers))
        case RecordType(fields):
            named = [(field_name(name), _builder(part)) for name, part in fields]
            return lambda numbers: make_record({name: build(numbers) for name, build in named})
        case TupleType(elements):
            builds = [_builder(part) for part in elements]
            return lambda numbers: tuple([build(numbers) for build in builds])
        case _:
            raise TypeError
