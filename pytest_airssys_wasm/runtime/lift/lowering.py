"""The lowering of arguments for a scalar lift: C values, and blocks that the guard copies into the guest.

Values are accepted, checked and charged as `convert.lowering` does. Whatever does not fit at once raises any error:
then the call is made the general way, which accepts it after all, or tells what is wrong and where.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES
from pytest_airssys_wasm.runtime.capi.guard import BLOCK_BYTES, NO_RESULT, POINTER, SCALAR, WRITE_BLOCK
from pytest_airssys_wasm.runtime.capi.vals import BYTES, KINDS, MEMORY
from pytest_airssys_wasm.runtime.convert.accepted import (
    check_char,
    check_list,
    check_string,
    check_tuple,
    record_checker,
)
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower, pack_numbers
from pytest_airssys_wasm.runtime.convert.transfer import NUMBERS, fixed_size
from pytest_airssys_wasm.runtime.lift.layout import layout_of
from pytest_airssys_wasm.runtime.wit.types import ListType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.lift.layout import Signature
    from pytest_airssys_wasm.runtime.wit.types import WitType

    Write = Callable[[Any, int, Transfer], None]
    """A converter: `(Python value, address of all arguments, transfer)`."""

_U32 = Struct("<B31x").pack(KINDS["u32"])
_LONG_TEXT = 16 * 1024
"""The number of characters from which ASCII text is not copied before the guard copies it."""
_MOST_BLOCK_BYTES = 2**31 - 1
_CODES = {**NUMBERS, "bool": "?", "char": "I"}
_BATCH = 4_096
"""The number of records or tuples that are packed between two checks of the clock."""


def compile_arguments(signature: Signature) -> Callable[[Sequence[Any], Transfer], tuple[int, int]]:
    """Return the function that lowers the arguments, and returns the addresses of the arguments and of the results.

    Raises some error for arguments that have to go the general way.
    """
    places = _Places(signature)
    writes = [_write(param, places) for param in signature.params]
    count, clear = len(writes), (_U32 * places.values)
    clear_bytes, results_at = len(clear), VAL_BYTES * places.values + BLOCK_BYTES * places.blocks
    size_bytes = results_at + result_bytes(signature)

    def lower(args: Sequence[Any], transfer: Transfer) -> tuple[int, int]:
        if len(args) != count:
            raise TypeError
        area = transfer.allocate(size_bytes)
        BYTES[area : area + clear_bytes] = clear
        for write, value in zip(writes, args):
            write(value, area, transfer)
        return area, area + results_at

    return lower


def result_kind(signature: Signature) -> int:
    """Return the kind of the scalar lift's result: one of those of the guard."""
    if signature.result is None:
        return NO_RESULT
    return SCALAR if signature.is_scalar else POINTER


def result_bytes(signature: Signature) -> int:
    """Return the size of the memory for a result: of a C value, or of the addresses of copies."""
    if signature.result is None or not signature.is_pointer:
        return VAL_BYTES
    return 8 + 16 * len(layout_of(signature.result).leaves)


class _Places:
    """The places of the arguments: C values first, then blocks."""

    def __init__(self, signature: Signature) -> None:
        self._slot = self._block = 0
        flat = [layout_of(leaf).flat_count for leaf in signature.leaves]
        self.values = sum(flat)
        self.blocks = sum(count == 2 for count in flat)

    def slot(self) -> int:
        """Return the number of the next C value."""
        self._slot += 1
        return self._slot - 1

    def block(self) -> tuple[int, int]:
        """Return the number of the next C value, of which a block takes two, and the offset of the next block."""
        slot, offset = self._slot, VAL_BYTES * self.values + BLOCK_BYTES * self._block
        self._slot += 2
        self._block += 1
        return slot, offset


def _write(type_: WitType, places: _Places) -> Write:
    match type_:
        case Primitive("string"):
            return _text(*places.block())
        case Primitive():
            lower, offset = compile_lower(type_), VAL_BYTES * places.slot()
            return lambda value, area, transfer: lower(value, area + offset, transfer)
        case ListType(element):
            return _list(type_, element, *places.block())
        case RecordType(fields):
            return _parts(record_checker(type_), [_write(part, places) for _, part in fields])
        case TupleType(elements):
            return _parts(partial(check_tuple, type_=type_), [_write(part, places) for part in elements])
        case _:
            raise TypeError


def _parts(check: Callable[[Any], Sequence[Any]], writes: list[Write]) -> Write:
    def write(value: Any, area: int, transfer: Transfer) -> None:
        for write_part, part in zip(writes, check(value)):
            write_part(part, area, transfer)

    return write


def _text(slot: int, offset: int) -> Write:
    def write(value: Any, area: int, transfer: Transfer) -> None:
        if type(value) is str and len(value) >= _LONG_TEXT and value.isascii():
            size = len(value)
            transfer.charge(size)
            data = transfer.borrow(value)
        else:
            encoded = check_string(value)
            size = len(encoded)
            transfer.charge(size)
            data = transfer.hold(encoded)
        _check_size(size)
        WRITE_BLOCK(MEMORY, area + offset, data, size, size, slot, 1)

    return write


def _check_size(size_bytes: int) -> None:
    """Raise an error for what has no place in a memory, which wasmtime refuses in words of its own."""
    if size_bytes > _MOST_BLOCK_BYTES:
        raise OverflowError


def _list(type_: ListType, element: WitType, slot: int, offset: int) -> Write:
    layout, cost, expected = layout_of(element), max(1, fixed_size(element)), str(type_)
    pack = _packer(element)

    def write(value: Any, area: int, transfer: Transfer) -> None:
        def charge(count: int) -> None:
            transfer.charge(count * cost)

        elements = check_list(value, expected, is_bytes, charge)
        count = len(elements)
        data = 0
        _check_size(count * layout.size)
        if count:
            data = transfer.hold(pack(elements, transfer))
        WRITE_BLOCK(MEMORY, area + offset, data, count * layout.size, count, slot, layout.alignment)

    is_bytes = element == Primitive("u8")
    return write


def _packer(element: WitType) -> Callable[[Any, Transfer], Any]:
    """Return the function that packs elements into one array or `bytes`."""
    if isinstance(element, Primitive):
        name, code = element.name, {**NUMBERS, "bool": "B", "char": "I"}[element.name]

        def pack(elements: Any, _transfer: Transfer) -> Any:
            if name == "u8" and isinstance(elements, bytes):
                return elements
            packed = pack_numbers(name, code, elements)
            if packed is None:
                raise TypeError
            return packed

        return pack
    flatten = _flattener(element)
    row = Struct(
        "<" + "".join(_CODES[leaf.name] for _, leaf in layout_of(element).leaves if isinstance(leaf, Primitive))
    )

    def pack_rows(elements: Any, transfer: Transfer) -> bytes:
        packed = []
        for start in range(0, len(elements), _BATCH):
            transfer.check()
            packed += [row.pack(*flatten(one)) for one in elements[start : start + _BATCH]]
        return b"".join(packed)

    return pack_rows


def _flattener(type_: WitType) -> Callable[[Any], Iterator[Any]]:
    """Return the function that yields the numbers of a record or tuple for `struct`."""
    match type_:
        case Primitive(name):
            return partial(_number, name, float if name in ("f32", "f64") else bool if name == "bool" else int)
        case RecordType(fields):
            check: Callable[[Any], Sequence[Any]] = record_checker(type_)
            parts = [_flattener(part) for _, part in fields]
        case TupleType(elements):
            check, parts = partial(check_tuple, type_=type_), [_flattener(part) for part in elements]
        case _:
            raise TypeError
    return lambda value: chain.from_iterable(flatten(part) for flatten, part in zip(parts, check(value)))


def _number(name: str, class_: type, value: Any) -> Iterator[Any]:
    if name == "char":
        value = check_char(value)
    # `struct` makes a signalling NaN quiet.
    if type(value) is not class_ or (name == "f32" and value != value):
        raise TypeError
    return iter((value,))
