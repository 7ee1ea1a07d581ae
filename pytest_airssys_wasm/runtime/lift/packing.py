"""The packing of lists in the arguments: their elements as they will be in the memory of the guest, with the lengths of
the texts and lists in them, and behind the elements the contents of those (`guard_block` in `native/guard.h`).
"""

from __future__ import annotations

from array import array
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.convert.accepted import (
    check_char,
    check_list,
    check_string,
    check_tuple,
    record_checker,
)
from pytest_airssys_wasm.runtime.convert.lowering import pack_numbers
from pytest_airssys_wasm.runtime.convert.transfer import NUMBERS, fixed_size
from pytest_airssys_wasm.runtime.lift.chosen import compile_choice
from pytest_airssys_wasm.runtime.lift.layout import cases_of, layout_of
from pytest_airssys_wasm.runtime.lift.numbers import compile_flags
from pytest_airssys_wasm.runtime.lift.rows import row_struct
from pytest_airssys_wasm.runtime.lift.splitting import compile_splitter
from pytest_airssys_wasm.runtime.wit.types import FlagsType, ListType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.wit.types import WitType

    Packed = bytes | array[Any]
    Pack = Callable[[Any, Transfer], tuple[int, Packed]]
    """A function that returns the number of elements of a list, and all of its content."""
    Flatten = Callable[[Any, list[Any], list[Packed], Transfer], None]
    """A function that appends the numbers of a value for `struct` to a list, and the contents of its texts and lists to
    another.
    """

MOST_BYTES = 2**31 - 1
"""The bytes of the greatest text or list. wasmtime refuses what has no place in a memory in words of its own."""
_PAIR_BYTES = 8
_BATCH = 4_096
"""The number of elements that are packed between two checks of the clock."""
_CODES = {**NUMBERS, "bool": "?", "char": "I"}


def compile_packer(type_: ListType) -> Pack:
    """Return the function that packs a list.

    It raises some error for a value that has to go the general way.
    """
    element = type_.element
    size, cost, expected = layout_of(element).size, max(1, fixed_size(element)), str(type_)
    pack, is_bytes = _packer(element), element == Primitive("u8")

    def pack_list(value: Any, transfer: Transfer) -> tuple[int, Packed]:
        elements = check_list(value, expected, is_bytes, lambda count: transfer.charge(count * cost))
        count = len(elements)
        if count * size > MOST_BYTES:
            raise OverflowError
        return count, pack(elements, transfer) if count else b""

    return pack_list


def _packer(element: WitType) -> Callable[[Any, Transfer], Packed]:
    """Return the function that packs elements, of which there is at least one."""
    if element == Primitive("string"):
        return _pack_texts
    if isinstance(element, Primitive):
        return partial(_pack_numbers, element.name, {**_CODES, "bool": "B"}[element.name])
    flatten, pack_row = _flattener(element), row_struct(element, _CODES).pack
    split = compile_splitter(element)

    def pack_rows(elements: Any, transfer: Transfer) -> bytes:
        rows: list[bytes] = []
        contents: list[Packed] = []
        for start in range(0, len(elements), _BATCH):
            transfer.check()
            batch = elements[start : start + _BATCH]
            if split is not None:
                columns = split(batch, contents, transfer)
                rows += [pack_row(*numbers) for numbers in zip(*columns)]
                continue
            for one in batch:
                numbers: list[Any] = []
                flatten(one, numbers, contents, transfer)
                rows.append(pack_row(*numbers))
        return b"".join(chain(rows, contents))

    return pack_rows


def _pack_texts(elements: Any, transfer: Transfer) -> bytes:
    encoded: list[bytes] = []
    for start in range(0, len(elements), _BATCH):
        transfer.check()
        for one in elements[start : start + _BATCH]:
            text = check_string(one)
            transfer.charge(len(text))
            encoded.append(text)
    lengths = array("I", bytes(_PAIR_BYTES * len(encoded)))
    lengths[1::2] = array("I", map(len, encoded))
    return b"".join((lengths.tobytes(), *encoded))


def _pack_numbers(name: str, code: str, elements: Any, _transfer: Transfer) -> Packed:
    if name == "u8" and isinstance(elements, bytes):
        return elements
    packed: Packed | None = pack_numbers(name, code, elements)
    if packed is None:
        raise TypeError
    return packed


def _flattener(type_: WitType) -> Flatten:
    match type_:
        case Primitive("string"):
            return _flatten_text
        case ListType():
            return _list(compile_packer(type_))
        case Primitive(name):
            return _number(name, float if name in ("f32", "f64") else bool if name == "bool" else int)
        case FlagsType(names):
            return _flags(names)
        case RecordType(fields):
            return _parts(record_checker(type_), [_flattener(part) for _, part in fields])
        case TupleType(elements):
            return _parts(partial(check_tuple, type_=type_), [_flattener(part) for part in elements])
        case _:
            return _cases(type_)


def _flatten_text(value: Any, numbers: list[Any], contents: list[Packed], transfer: Transfer) -> None:
    encoded = check_string(value)
    transfer.charge(len(encoded))
    numbers += (0, len(encoded))
    contents.append(encoded)


def _list(pack: Pack) -> Flatten:
    def flatten(value: Any, numbers: list[Any], contents: list[Packed], transfer: Transfer) -> None:
        count, content = pack(value, transfer)
        numbers += (0, count)
        contents.append(content)

    return flatten


def _number(name: str, class_: type) -> Flatten:
    def flatten(value: Any, numbers: list[Any], _contents: list[Packed], _transfer: Transfer) -> None:
        if name == "char":
            value = check_char(value)
        # `struct` makes a signalling NaN quiet.
        if type(value) is not class_ or (name == "f32" and value != value):
            raise TypeError
        numbers.append(value)

    return flatten


def _flags(names: tuple[str, ...]) -> Flatten:
    bits = compile_flags(names)
    return lambda value, numbers, contents, transfer: numbers.append(bits(value))


def _parts(check: Callable[[Any], Sequence[Any]], flattens: list[Flatten]) -> Flatten:
    def flatten(value: Any, numbers: list[Any], contents: list[Packed], transfer: Transfer) -> None:
        for flatten_part, part in zip(flattens, check(value)):
            flatten_part(part, numbers, contents, transfer)

    return flatten


def _cases(type_: WitType) -> Flatten:
    cases, choose = cases_of(type_), compile_choice(type_)
    assert cases is not None
    inside = [
        None if payload is None else (_flattener(payload), row_struct(payload, _CODES)) for payload in cases.payloads
    ]
    has_payloads = any(inside)

    def flatten(value: Any, numbers: list[Any], contents: list[Packed], transfer: Transfer) -> None:
        number, payload = choose(value)
        numbers.append(number)
        found = inside[number]
        if found is not None:
            flatten_payload, row = found
            inner: list[Any] = []
            flatten_payload(payload, inner, contents, transfer)
            numbers.append(row.pack(*inner))
        elif has_payloads:
            numbers.append(b"")

    return flatten
