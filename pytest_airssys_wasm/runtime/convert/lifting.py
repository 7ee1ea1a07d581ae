"""The lifting of WIT values: converters from component values in C memory to Python, built once per type.

The caller frees the value afterwards. Lists and text, which can be large, are charged to the transfer account before
Python objects are created from them.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from math import isnan
from struct import Struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.floats import f32_of
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant, field_name, make_record
from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES
from pytest_airssys_wasm.runtime.capi.vals import (
    BYTES,
    EMPTY,
    MEMORY,
    NAME,
    NAME_BYTES,
    PAYLOAD,
    RECORD_ENTRY_BYTES,
    RECORD_ENTRY_VALUE,
)
from pytest_airssys_wasm.runtime.convert.transfer import NUMBERS, fixed_size
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
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.wit.types import WitType

    Lift = Callable[[int, Transfer], Any]
    """A converter: `(address of the component value, transfer) -> Python value`."""

_ADDRESS = Struct("<Q")
_TAGGED = Struct("<B7xQ")
_BATCH = 4_096
"""The number of elements that are lifted between two checks of the clock."""


@lru_cache(maxsize=4_096)
def compile_lift(type_: WitType) -> Lift:
    """Return the converter of a type: `(address of the component value, transfer) -> Python value`.

    Raises `TypeError` for a type that has no Python value (futures, streams, error contexts).
    """
    match type_:
        case Primitive(name):
            return _primitive(name)
        case ListType(element):
            return _list(element)
        case RecordType():
            return _record(type_)
        case TupleType():
            return _tuple(type_)
        case VariantType():
            return _variant(type_)
        case EnumType():
            return lambda address, transfer: _text(address + PAYLOAD)
        case FlagsType():
            return _flags
        case OptionType():
            return _option(type_)
        case ResultType():
            return _result(type_)
        case OwnType() | BorrowType():
            return _resource(type_)
        case FutureType() | StreamType():
            raise TypeError(f"values of type {type_} have no Python value")
        case _:
            assert_never(type_)


def _text(address: int) -> str:
    size, data = NAME.unpack_from(MEMORY, address)
    return bytes(BYTES[data : data + size]).decode()


def _primitive(name: str) -> Lift:
    match name:
        case "string":
            return _string
        case "char":
            code = Struct("<I").unpack_from
            return lambda address, transfer: chr(code(MEMORY, address + PAYLOAD)[0])
        case "bool":
            return lambda address, transfer: BYTES[address + PAYLOAD] != 0
        case "f32":
            bits = Struct("<I").unpack_from
            return lambda address, transfer: f32_of(bits(MEMORY, address + PAYLOAD)[0])
        case _ if name in NUMBERS:
            unpack_from = Struct(f"<{NUMBERS[name]}").unpack_from
            return lambda address, transfer: unpack_from(MEMORY, address + PAYLOAD)[0]
        case _:
            raise TypeError(f"values of type {name} have no Python value")


_LONG_TEXT = 16 * 1024
"""The number of bytes from which text is lifted without a copy if it is ASCII, as its beginning is."""
_BEGINNING = 1_024


def _string(address: int, transfer: Transfer) -> str:
    size, data = NAME.unpack_from(MEMORY, address + PAYLOAD)
    return lift_text(data, size, transfer)


def lift_text(data: int, size: int, transfer: Transfer) -> str:
    """Return the text of these many bytes of UTF-8 at an address."""
    transfer.charge(size)
    if size >= _LONG_TEXT and bytes(BYTES[data : data + _BEGINNING]).isascii():
        with suppress(UnicodeDecodeError):
            return str(BYTES[data : data + size], "ascii")
    encoded = bytes(BYTES[data : data + size])
    if not encoded.isascii():
        transfer.charge(3 * size)  # one character outside the BMP makes each one four bytes
    return encoded.decode()


def _list(element: WitType) -> Lift:
    cost = max(1, fixed_size(element))
    bulk = _bulk(element)
    lift = None if bulk else compile_lift(element)

    def lift_list(address: int, transfer: Transfer) -> Any:
        count, data = NAME.unpack_from(MEMORY, address + PAYLOAD)
        transfer.charge(count * cost)
        if bulk is not None:
            return bulk(data, count)
        assert lift is not None
        values: list[Any] = []
        for start in range(0, count, _BATCH):
            transfer.check()
            stop = min(start + _BATCH, count)
            values += [lift(data + index * VAL_BYTES, transfer) for index in range(start, stop)]
        return values

    return lift_list


def _bulk(element: WitType) -> Callable[[int, int], Any] | None:
    """Return the converter of whole lists of `element` without a loop in Python; `None` if there is none.

    The converter takes the address of the elements and their number.
    """
    name = element.name if isinstance(element, Primitive) else ""
    if name == "u8":
        return lambda data, count: bytes(BYTES[data + PAYLOAD : data + VAL_BYTES * count : VAL_BYTES])
    if name == "bool":
        return lambda data, count: list(map(bool, BYTES[data + PAYLOAD : data + VAL_BYTES * count : VAL_BYTES]))
    code = "I" if name == "char" else NUMBERS.get(name)
    if code is None:
        return None
    width = Struct(f"<{code}").size

    def numbers(data: int, count: int) -> list[Any]:
        if not count:
            return []
        view: Any = BYTES[data : data + VAL_BYTES * count].cast(code)  # type: ignore[call-overload]  # a format code
        values: list[Any] = view[PAYLOAD // width :: VAL_BYTES // width].tolist()
        if name == "f32" and isnan(sum(values)):  # of NaNs each sum is one; `tolist` has made signalling ones quiet
            bits: Any = BYTES[data : data + VAL_BYTES * count].cast("I")
            return [f32_of(one) for one in bits[PAYLOAD // width :: VAL_BYTES // width].tolist()]
        return values

    return (lambda data, count: list(map(chr, numbers(data, count)))) if name == "char" else numbers


def _record(type_: RecordType) -> Lift:
    fields = [
        (field_name(name), index * RECORD_ENTRY_BYTES + RECORD_ENTRY_VALUE, compile_lift(field))
        for index, (name, field) in enumerate(type_.fields)
    ]

    def lift(address: int, transfer: Transfer) -> Record:
        _, data = NAME.unpack_from(MEMORY, address + PAYLOAD)
        return make_record({name: lift_field(data + offset, transfer) for name, offset, lift_field in fields})

    return lift


def _tuple(type_: TupleType) -> Lift:
    elements = [(index * VAL_BYTES, compile_lift(element)) for index, element in enumerate(type_.elements)]

    def lift(address: int, transfer: Transfer) -> tuple[Any, ...]:
        _, data = NAME.unpack_from(MEMORY, address + PAYLOAD)
        return tuple([lift_one(data + offset, transfer) for offset, lift_one in elements])

    return lift


def _variant(type_: VariantType) -> Lift:
    cases = {name: None if payload is None else compile_lift(payload) for name, payload in type_.cases}

    def lift(address: int, transfer: Transfer) -> Variant:
        case = _text(address + PAYLOAD)
        lift_payload = cases[case]
        if lift_payload is None:
            return Variant(case)
        (payload,) = _ADDRESS.unpack_from(MEMORY, address + PAYLOAD + NAME_BYTES)
        return Variant(case, lift_payload(payload, transfer))

    return lift


def _flags(address: int, transfer: Transfer) -> frozenset[str]:
    count, data = NAME.unpack_from(MEMORY, address + PAYLOAD)
    return frozenset(_text(data + index * NAME_BYTES) for index in range(count))


def _option(type_: OptionType) -> Lift:
    lift_payload = compile_lift(type_.payload)
    nests = isinstance(type_.payload, OptionType)

    def lift(address: int, transfer: Transfer) -> Any:
        (payload,) = _ADDRESS.unpack_from(MEMORY, address + PAYLOAD)
        if not payload:
            return None
        value = lift_payload(payload, transfer)
        return Some(value) if nests else value

    return lift


def _result(type_: ResultType) -> Lift:
    lift_ok = None if type_.ok is None else compile_lift(type_.ok)
    lift_err = None if type_.err is None else compile_lift(type_.err)

    def lift(address: int, transfer: Transfer) -> Ok | Err:
        is_ok, payload = _TAGGED.unpack_from(MEMORY, address + PAYLOAD)
        lift_payload = lift_ok if is_ok else lift_err
        value = None if lift_payload is None else lift_payload(payload, transfer)
        return Ok(value) if is_ok else Err(value)

    return lift


def _resource(type_: OwnType | BorrowType) -> Lift:
    def lift(address: int, transfer: Transfer) -> object:
        (pointer,) = _ADDRESS.unpack_from(MEMORY, address + PAYLOAD)
        BYTES[address : address + VAL_BYTES] = EMPTY  # the handle is taken over: freeing the value must not free it
        return transfer.lift_resource(pointer, type_)

    return lift
