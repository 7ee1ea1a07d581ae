"""The lowering of Python values: converters to component values in C memory, built once per type.

The memory that they allocate belongs to the transfer account and lives as long as the account. A value that does not
fit raises `WrongType` or `WrongValue`, whose path is built while the error propagates, so that values that fit have no
overhead.
"""

from __future__ import annotations

from array import array
from ctypes import addressof, c_char
from functools import lru_cache
from math import isnan
from struct import Struct
from struct import error as StructError  # noqa: N812 it is a class
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.floats import f32_bits
from pytest_airssys_wasm.runtime.base.values import Err, Mismatch, Ok, Some, WrongType, WrongValue, field_name
from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES
from pytest_airssys_wasm.runtime.capi.vals import (
    BYTES,
    KINDS,
    MEMORY,
    NAME,
    NAME_BYTES,
    NAMED,
    PAYLOAD,
    POINTER,
    RECORD_ENTRY_BYTES,
    RECORD_ENTRY_VALUE,
    TAGGED,
    VECTOR,
)
from pytest_airssys_wasm.runtime.convert.accepted import (
    check_bool,
    check_char,
    check_enum,
    check_flags,
    check_float,
    check_integer,
    check_list,
    check_no_payload,
    check_string,
    check_tuple,
    check_variant,
    record_checker,
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
    from collections.abc import Callable, Iterable

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.wit.types import WitType

    Lower = Callable[[Any, int, Transfer], None]
    """A converter: `(Python value, address to write the component value to, transfer)`."""

_BATCH = 4_096
"""The number of elements that are lowered between two checks of the clock."""


@lru_cache(maxsize=4_096)
def compile_lower(type_: WitType) -> Lower:
    """Return the converter of a type: `(Python value, address to write the component value to, transfer)`.

    Raises `TypeError` for a type that has no Python value (futures, streams, error contexts).
    """
    match type_:
        case Primitive(name):
            return _primitive(name)
        case ListType():
            return _list(type_)
        case RecordType():
            return _record(type_)
        case TupleType():
            return _tuple(type_)
        case VariantType():
            return _variant(type_)
        case EnumType():
            return _enum(type_)
        case FlagsType():
            return _flags(type_)
        case OptionType():
            return _option(type_)
        case ResultType():
            return _result(type_)
        case OwnType() | BorrowType():
            return _resource(type_)
        case FutureType() | StreamType():
            raise TypeError(f"values of type {type_} cannot be passed from Python")
        case _:
            assert_never(type_)


def _primitive(name: str) -> Lower:
    match name:
        case "string":
            return _string
        case "char":
            return _char
        case "bool":
            return _bool
        case "f32" | "f64":
            return _float(name)
        case _ if name in NUMBERS:
            return _integer(name)
        case _:
            raise TypeError(f"values of type {name} cannot be passed from Python")


def _bool(value: Any, address: int, transfer: Transfer) -> None:
    BYTES[address + PAYLOAD] = check_bool(value)
    BYTES[address] = KINDS["bool"]


def _integer(name: str) -> Lower:
    slot, kind = Struct(f"<B7x{NUMBERS[name]}"), KINDS[name]

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if type(value) is not int:
            value = check_integer(name, value)
        try:
            slot.pack_into(MEMORY, address, kind, value)
        except StructError:
            raise WrongValue(name, value) from None

    return lower


def _float(name: str) -> Lower:
    slot, kind = Struct(f"<B7x{NUMBERS[name]}"), KINDS[name]

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if type(value) is not float:
            value = check_float(name, value)
        if value != value and name == "f32":
            _F32_NAN.pack_into(MEMORY, address, kind, f32_bits(value))
            return
        try:
            slot.pack_into(MEMORY, address, kind, value)
        except OverflowError:
            raise WrongValue(f"{name} (this number is too large)", value) from None

    return lower


_CHAR = Struct("<B7xI")
_F32_NAN = Struct("<B7xI")


def _char(value: Any, address: int, transfer: Transfer) -> None:
    _CHAR.pack_into(MEMORY, address, KINDS["char"], check_char(value))


_LONG_TEXT = 16 * 1024
"""The number of characters from which ASCII text is not copied before wasmtime copies it into the guest."""


def _string(value: Any, address: int, transfer: Transfer) -> None:
    if type(value) is str and len(value) >= _LONG_TEXT and value.isascii():
        # Memory for copies is taken from the system and given back at each call, which takes longer than copying.
        transfer.charge(len(value))
        VECTOR.pack_into(MEMORY, address, KINDS["string"], len(value), transfer.borrow(value))
        return
    encoded = check_string(value)
    transfer.charge(len(encoded))
    data = transfer.allocate(len(encoded))
    BYTES[data : data + len(encoded)] = encoded
    VECTOR.pack_into(MEMORY, address, KINDS["string"], len(encoded), data)


def _list(type_: ListType) -> Lower:
    element = type_.element
    lower_element = compile_lower(element)
    cost = max(1, fixed_size(element))
    name = element.name if isinstance(element, Primitive) else ""
    code = {"char": "I", "bool": "B"}.get(name) or NUMBERS.get(name)
    expected = str(type_)

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        # Memory is allocated for so many elements, and all of it is read.
        elements = check_list(value, expected, name == "u8", lambda count: transfer.charge(count * cost))
        count = len(elements)
        data = transfer.allocate(VAL_BYTES * count)
        packed = pack_numbers(name, code, elements) if code is not None and count else None
        if packed is not None:
            assert code is not None
            view, width = BYTES[data : data + VAL_BYTES * count], Struct(f"<{code}").size
            view[::VAL_BYTES] = bytes([KINDS[name]]) * count
            if width == 1:
                view[PAYLOAD::VAL_BYTES] = packed.tobytes()
            else:
                column: Any = view.cast(code)  # type: ignore[call-overload]  # a format code
                column[PAYLOAD // width :: VAL_BYTES // width] = memoryview(packed)
        else:
            _each(elements, data, lower_element, transfer)
        VECTOR.pack_into(MEMORY, address, KINDS["list"], count, data)

    return lower


def _each(values: Iterable[Any], data: int, lower_element: Lower, transfer: Transfer) -> None:
    for index, value in enumerate(values):
        if index % _BATCH == 0:
            transfer.check()
        try:
            lower_element(value, data + index * VAL_BYTES, transfer)
        except Mismatch as error:
            raise error.at(f"[{index}]")


def pack_numbers(name: str, code: str, values: Any) -> Any | None:
    """Return all of `values` as one array, or `None` if a value does not fit and the values must be lowered one by
    one. `name` is the type of the elements: of numbers, bools or chars; `code` is the format of the array.
    """
    if isinstance(values, bytes) and name == "u8":
        return memoryview(values)
    if isinstance(values, bytes):
        values = tuple(values)  # numbers: an array would take them for its own memory
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
        # `array` and `struct` would make a signalling NaN quiet, and of NaNs each sum is one.
        if name == "f32" and isnan(sum(values)):
            return None
        # `array` would make an infinity of a number that is too large for f32; `struct` refuses it.
        packed = array(code, Struct(f"<{len(values)}f").pack(*values) if name == "f32" else values)
    except (OverflowError, StructError, TypeError, ValueError):
        return None
    # Python compares ints with floats exactly. A NaN is equal to nothing, and leaves the list to the loop.
    return packed if int not in kinds or name[0] != "f" or tuple(packed) == values else None


def _record(type_: RecordType) -> Lower:
    check = record_checker(type_)
    fields = [
        (field_name(name), _name_in_memory(name), index * RECORD_ENTRY_BYTES, compile_lower(field))
        for index, (name, field) in enumerate(type_.fields)
    ]
    size_bytes, kind = RECORD_ENTRY_BYTES * len(fields), KINDS["record"]

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        values = check(value)
        data = transfer.allocate(size_bytes)
        for field, (attribute, (text, length), offset, lower_field) in zip(values, fields):
            NAME.pack_into(MEMORY, data + offset, length, addressof(text))
            try:
                lower_field(field, data + offset + RECORD_ENTRY_VALUE, transfer)
            except Mismatch as error:
                raise error.at(f".{attribute}")
        VECTOR.pack_into(MEMORY, address, kind, len(fields), data)

    return lower


def _tuple(type_: TupleType) -> Lower:
    elements = [compile_lower(element) for element in type_.elements]

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        values = check_tuple(value, type_)
        data = transfer.allocate(VAL_BYTES * len(elements))
        for index, (lower_one, element) in enumerate(zip(elements, values)):
            try:
                lower_one(element, data + index * VAL_BYTES, transfer)
            except Mismatch as error:
                raise error.at(f"[{index}]")
        VECTOR.pack_into(MEMORY, address, KINDS["tuple"], len(elements), data)

    return lower


def _variant(type_: VariantType) -> Lower:
    cases = {
        name: (_name_in_memory(name), None if payload is None else compile_lower(payload))
        for name, payload in type_.cases
    }
    expected = f"variant of {', '.join(cases)}"

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        (text, length), lower_payload = check_variant(value, cases, expected)
        payload = _payload(value.payload, lower_payload, f".{value.case}", transfer)
        NAMED.pack_into(MEMORY, address, KINDS["variant"], length, addressof(text), payload)

    return lower


def _payload(value: Any, lower: Lower | None, step: str, transfer: Transfer) -> int:
    """Return the address of the lowered payload, or 0 for a case without one."""
    if lower is None:
        check_no_payload(value, step)
        return 0
    address = transfer.allocate(VAL_BYTES)
    try:
        lower(value, address, transfer)
    except Mismatch as error:
        raise error.at(step)
    return address


def _enum(type_: EnumType) -> Lower:
    cases = {name: _name_in_memory(name) for name in type_.cases}
    expected = f"enum, one of {', '.join(cases)}"

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        text, length = check_enum(value, cases, expected)
        VECTOR.pack_into(MEMORY, address, KINDS["enum"], length, addressof(text))

    return lower


def _flags(type_: FlagsType) -> Lower:
    names = {name: _name_in_memory(name) for name in type_.names}
    expected = f"flags, a set of {', '.join(names)}"

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        chosen = check_flags(value, names, expected)
        data = transfer.allocate(NAME_BYTES * len(chosen))
        for index, (text, length) in enumerate(chosen):
            NAME.pack_into(MEMORY, data + index * NAME_BYTES, length, addressof(text))
        VECTOR.pack_into(MEMORY, address, KINDS["flags"], len(chosen), data)

    return lower


def _name_in_memory(name: str) -> tuple[Any, int]:
    """Return a name in C memory and its length. The memory lives as long as the converter that references it."""
    encoded = name.encode()
    return (c_char * max(1, len(encoded))).from_buffer_copy(encoded or b"\0"), len(encoded)


def _option(type_: OptionType) -> Lower:
    lower_payload = compile_lower(type_.payload)
    nests = isinstance(type_.payload, OptionType)

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        payload = 0
        if value is not None:
            if nests and not isinstance(value, Some):
                raise WrongType(f"None or Some(…) for {type_}", value)
            payload = transfer.allocate(VAL_BYTES)
            lower_payload(value.value if nests else value, payload, transfer)
        POINTER.pack_into(MEMORY, address, KINDS["option"], payload)

    return lower


def _result(type_: ResultType) -> Lower:
    lower_ok = None if type_.ok is None else compile_lower(type_.ok)
    lower_err = None if type_.err is None else compile_lower(type_.err)

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if isinstance(value, Ok):
            payload = _payload(value.value, lower_ok, ".ok", transfer)
        elif isinstance(value, Err):
            payload = _payload(value.error, lower_err, ".err", transfer)
        else:
            raise WrongType(f"Ok(…) or Err(…) for {type_}", value)
        TAGGED.pack_into(MEMORY, address, KINDS["result"], isinstance(value, Ok), payload)

    return lower


def _resource(type_: OwnType | BorrowType) -> Lower:
    def lower(value: Any, address: int, transfer: Transfer) -> None:
        POINTER.pack_into(MEMORY, address, KINDS["resource"], transfer.lower_resource(value, type_))

    return lower
