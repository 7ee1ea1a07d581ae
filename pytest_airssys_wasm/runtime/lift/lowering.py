"""The lowering of arguments for a scalar lift: C values, and blocks that the guard copies into the guest.

Values are accepted, checked and charged as `convert.lowering` does. Whatever does not fit at once raises any error:
then the call is made the general way, which accepts it after all, or tells what is wrong and where.
"""

from __future__ import annotations

from array import array
from ctypes import addressof
from functools import partial
from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES
from pytest_airssys_wasm.runtime.capi.guard import (
    BLOCK_BYTES,
    CHOICE,
    NO_RESULT,
    POINTER,
    SCALAR,
    WRITE_BLOCK,
)
from pytest_airssys_wasm.runtime.capi.vals import KINDS, MEMORY, PAYLOAD
from pytest_airssys_wasm.runtime.convert.accepted import check_string, check_tuple, record_checker
from pytest_airssys_wasm.runtime.lift.chosen import compile_choice
from pytest_airssys_wasm.runtime.lift.layout import cases_of, layout_of, only_part
from pytest_airssys_wasm.runtime.lift.numbers import compile_bits
from pytest_airssys_wasm.runtime.lift.packing import MOST_BYTES, compile_packer
from pytest_airssys_wasm.runtime.lift.parts import part_of_argument
from pytest_airssys_wasm.runtime.wit.types import FlagsType, ListType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.lift.layout import Signature
    from pytest_airssys_wasm.runtime.wit.types import WitType

    Write = Callable[[Any, int, Transfer], None]
    """A converter: `(Python value, address of all arguments, transfer)`."""

CORE_TYPES = {"i32": "u32", "i64": "u64", "f32": "f32", "f64": "f64"}
"""The types of a scalar lift's parameters, by the core types of the function."""
_LONG_TEXT = 16 * 1024
"""The number of characters from which ASCII text is not copied before the guard copies it."""
_WRITE_BITS = Struct("<Q").pack_into


def compile_arguments(signature: Signature) -> Callable[[Sequence[Any], Transfer], tuple[int, int]]:
    """Return the function that lowers the arguments, and returns the addresses of the arguments and of the results.

    Raises some error for arguments that have to go the general way.
    """
    kinds = [KINDS[CORE_TYPES[type_]] for type_ in signature.flat]
    places = _Places(kinds)
    writes = [_write(param, places) for param in signature.params]
    count, blocks = len(writes), signature.blocks
    # The arguments of cases that are not chosen are 0, and their blocks are not used.
    clear = b"".join(bytes([kind]).ljust(VAL_BYTES, b"\0") for kind in kinds)
    clear += bytes(BLOCK_BYTES * blocks)
    results_at = len(clear)
    clear += bytes(VAL_BYTES)

    def lower(args: Sequence[Any], transfer: Transfer) -> tuple[int, int]:
        if len(args) != count:
            raise TypeError
        area = transfer.hold(array("Q", clear))
        for write, value in zip(writes, args):
            write(value, area, transfer)
        return area, area + results_at

    return lower


def result_kind(signature: Signature) -> int:
    """Return the kind of the scalar lift's result: one of those of the guard."""
    if signature.result is None:
        return NO_RESULT
    if signature.is_pointer:
        return POINTER
    return SCALAR if isinstance(only_part(signature.result), (Primitive, FlagsType)) else CHOICE


class _Places:
    """The places of the arguments: C values first, then blocks."""

    def __init__(self, kinds: Sequence[int]) -> None:
        self.value = self.block = 0
        """The number of the next C value, and of the next block."""
        self.kinds = kinds
        """The kinds of the C values."""

    def take(self) -> int:
        """Return the offset of the payload of the next C value."""
        self.value += 1
        return VAL_BYTES * (self.value - 1) + PAYLOAD

    def take_block(self) -> tuple[int, int]:
        """Return the number of the next C value, of which a block takes two, and the offset of the next block."""
        value, block = self.value, self.block
        self.value += 2
        self.block += 1
        return value, VAL_BYTES * len(self.kinds) + BLOCK_BYTES * block


def _write(type_: WitType, places: _Places) -> Write:
    match type_:
        case Primitive("string"):
            return _text(*places.take_block())
        case ListType():
            return _list(type_, *places.take_block())
        case RecordType(fields):
            return _parts(record_checker(type_), [part for _, part in fields], places)
        case TupleType(elements):
            return _parts(partial(check_tuple, type_=type_), [*elements], places)
        case Primitive() | FlagsType():
            return _bits(compile_bits(type_), places.take())
        case _:
            return _cases(type_, places)


def _bits(bits: Callable[[Any], int], offset: int) -> Write:
    def write(value: Any, area: int, _transfer: Transfer) -> None:
        _WRITE_BITS(MEMORY, area + offset, bits(value))

    return write


def _cases(type_: WitType, places: _Places) -> Write:
    cases, choose = cases_of(type_), compile_choice(type_)
    assert cases is not None
    offset, writes = places.take(), []
    first_value, first_block = places.value, places.block
    for payload in cases.payloads:
        places.value, places.block = first_value, first_block
        writes.append(None if payload is None else _write(payload, places))
    # The cases share their places.
    places.value = first_value - 1 + len(layout_of(type_).flat)
    places.block = first_block + layout_of(type_).blocks

    def write(value: Any, area: int, transfer: Transfer) -> None:
        number, payload = choose(value)
        _WRITE_BITS(MEMORY, area + offset, number)
        write_payload = writes[number]
        if write_payload is not None:
            write_payload(payload, area, transfer)

    return write


def _parts(check: Callable[[Any], Sequence[Any]], parts: list[WitType], places: _Places) -> Write:
    first = places.value
    writes = [_write(part, places) for part in parts]

    def write(value: Any, area: int, transfer: Transfer) -> None:
        for write_part, part in zip(writes, check(value)):
            write_part(part, area, transfer)

    formats = [_FORMATS.get(part.name) if isinstance(part, Primitive) else None for part in parts]
    known = [format_ for format_ in formats if format_ is not None]
    if len(known) < len(formats):
        return write
    # `struct` checks and writes all of them at once, if they are of exactly these classes.
    classes, kinds = tuple(class_ for class_, _ in known), places.kinds[first : places.value]
    pack_into = Struct("<" + "".join(f"B7x{code}" for _, code in known)).pack_into
    offset, flat = VAL_BYTES * first, chain.from_iterable

    def write_all(value: Any, area: int, transfer: Transfer) -> None:
        values = check(value)
        if tuple(map(type, values)) == classes:
            pack_into(MEMORY, area + offset, *flat(zip(kinds, values)))
        else:
            write(value, area, transfer)

    return write_all


_FORMATS = {
    "bool": (bool, "?23x"),
    "u8": (int, "B23x"),
    "u16": (int, "H22x"),
    "s32": (int, "i20x"),
    "u32": (int, "I20x"),
    "s64": (int, "q16x"),
    "u64": (int, "Q16x"),
    "f64": (float, "d16x"),
}
"""The classes of Python values, and the formats of C values behind the kind, for the types that need no extension."""


def _text(slot: int, offset: int) -> Write:
    part = part_of_argument(Primitive("string"))
    part_at = addressof(part)

    def write(value: Any, area: int, transfer: Transfer, _: Any = part) -> None:
        if type(value) is str and len(value) >= _LONG_TEXT and value.isascii():
            size = len(value)
            transfer.charge(size)
            data = transfer.borrow(value)
        else:
            encoded = check_string(value)
            size = len(encoded)
            transfer.charge(size)
            data = transfer.hold(encoded)
        if size > MOST_BYTES:
            raise OverflowError
        WRITE_BLOCK(MEMORY, area + offset, data, part_at, size, slot)

    return write


def _list(type_: ListType, slot: int, offset: int) -> Write:
    pack, part = compile_packer(type_), part_of_argument(type_)
    part_at = addressof(part)

    def write(value: Any, area: int, transfer: Transfer, _: Any = part) -> None:
        count, content = pack(value, transfer)
        WRITE_BLOCK(MEMORY, area + offset, transfer.hold(content) if count else 0, part_at, count, slot)

    return write
