"""Python values to WIT: converters into component values in C memory, built once per type.

What they allocate belongs to the transfer account and lives as long as it. A value that does not fit raises
`WrongType` or `WrongValue`, whose path is built on the way out, so that success pays nothing for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from ctypes import addressof, c_char
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any

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
from pytest_airssys_wasm.runtime.lowering_scalars import lower_scalar
from pytest_airssys_wasm.runtime.packing import pack
from pytest_airssys_wasm.runtime.sizes import NUMBERS, fixed_size
from pytest_airssys_wasm.runtime.values import (
    Err,
    Mismatch,
    Ok,
    Record,
    Some,
    Variant,
    WrongType,
    WrongValue,
    field_name,
)
from pytest_airssys_wasm.runtime.wit import (
    BorrowType,
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResultType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.transfer import Transfer
    from pytest_airssys_wasm.runtime.wit import WitType

    Lower = Callable[[Any, int, Transfer], None]

_BATCH = 4_096


@lru_cache(maxsize=4_096)
def compile_lower(type_: WitType) -> Lower:
    """The converter of this type: `(Python value, address to write the value to, transfer)`.

    Raises `TypeError` for types that have no Python value (futures, streams, error contexts).
    """
    if isinstance(type_, Primitive):
        return lower_scalar(type_.name)
    if isinstance(type_, ListType):
        return _list(type_)
    if isinstance(type_, RecordType):
        return _record(type_)
    if isinstance(type_, TupleType):
        return _tuple(type_)
    if isinstance(type_, VariantType):
        return _variant(type_)
    if isinstance(type_, EnumType):
        return _enum(type_)
    if isinstance(type_, FlagsType):
        return _flags(type_)
    if isinstance(type_, OptionType):
        return _option(type_)
    if isinstance(type_, ResultType):
        return _result(type_)
    if isinstance(type_, (OwnType, BorrowType)):
        return _resource(type_)
    raise TypeError(f"values of type {type_} cannot be passed from Python")


def _list(type_: ListType) -> Lower:
    element = type_.element
    cost, lower = max(1, fixed_size(element)), compile_lower(element)
    name = element.name if isinstance(element, Primitive) else ""
    code = {"char": "I", "bool": "B"}.get(name) or NUMBERS.get(name)
    is_bytes = name == "u8"

    def lower_list(value: Any, address: int, transfer: Transfer) -> None:
        if isinstance(value, memoryview) and (not is_bytes or value.format not in ("B", "c")):
            if is_bytes:
                raise WrongType("list<u8> (bytes)", value)
            value = value.tolist()
        if isinstance(value, (str, Mapping)) or not isinstance(value, (Sequence, memoryview, bytearray, array)):
            raise WrongType(str(type_) + (" (bytes)" if is_bytes else ""), value)
        transfer.charge(len(value) * cost)
        # A copy, for its length must not change under way: there is memory for so many, and all of it is read.
        value = bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else tuple(value)
        count = len(value)
        data = transfer.allocate(VAL_BYTES * count)
        packed = pack(name, code, value) if code is not None and count else None
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
            _each(value, data, lower, transfer)
        VECTOR.pack_into(MEMORY, address, KINDS["list"], count, data)

    return lower_list


def _each(values: Iterable[Any], data: int, lower: Lower, transfer: Transfer) -> None:
    for index, value in enumerate(values):
        if index % _BATCH == 0:
            transfer.check()
        try:
            lower(value, data + index * VAL_BYTES, transfer)
        except Mismatch as error:
            raise error.at(f"[{index}]")


def _record(type_: RecordType) -> Lower:
    fields = [
        (name, field_name(name), _constant(name), index * RECORD_ENTRY_BYTES, compile_lower(field))
        for index, (name, field) in enumerate(type_.fields)
    ]
    size_bytes, kind = RECORD_ENTRY_BYTES * len(fields), KINDS["record"]
    known = {name for one in fields for name in one[:2]} | {name.replace("-", "_") for name, *_ in fields}
    shown = f"record {{{', '.join(name for name, *_ in fields)}}}"

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if isinstance(value, Record):
            value = value.as_dict()
        is_mapping = isinstance(value, Mapping)
        if is_mapping and not value.keys() <= known:
            unknown = ", ".join(sorted(map(str, value.keys() - known)))
            raise WrongType(f"{shown} without the unknown {unknown}", value)
        data = transfer.allocate(size_bytes)
        for name, attribute, (text, length), offset, lower_field in fields:
            field = _field(value, name, attribute, is_mapping, shown)
            NAME.pack_into(MEMORY, data + offset, length, addressof(text))
            try:
                lower_field(field, data + offset + RECORD_ENTRY_VALUE, transfer)
            except Mismatch as error:
                raise error.at(f".{attribute}")
        VECTOR.pack_into(MEMORY, address, kind, len(fields), data)

    return lower


def _field(value: Any, name: str, attribute: str, is_mapping: bool, shown: str) -> Any:
    if is_mapping:
        for key in (name, attribute, name.replace("-", "_")):
            if key in value:
                return value[key]
    else:
        try:
            return getattr(value, attribute)
        except AttributeError:
            pass
    raise WrongType(f"{shown}: field {name} is missing", value)


def _tuple(type_: TupleType) -> Lower:
    elements = [compile_lower(element) for element in type_.elements]

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if not isinstance(value, (tuple, list)):
            raise WrongType(str(type_), value)
        value = tuple(value)
        if len(value) != len(elements):
            raise WrongValue(f"{type_} ({len(elements)} elements)", value)
        data = transfer.allocate(VAL_BYTES * len(elements))
        for index, (lower_one, element) in enumerate(zip(elements, value)):
            try:
                lower_one(element, data + index * VAL_BYTES, transfer)
            except Mismatch as error:
                raise error.at(f"[{index}]")
        VECTOR.pack_into(MEMORY, address, KINDS["tuple"], len(elements), data)

    return lower


def _variant(type_: VariantType) -> Lower:
    cases = {
        name: (_constant(name), None if payload is None else compile_lower(payload)) for name, payload in type_.cases
    }
    shown = f"variant of {', '.join(cases)}"

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if not isinstance(value, Variant):
            raise WrongType(f"Variant ({shown})", value)
        if not isinstance(value.case, str) or value.case not in cases:
            raise WrongValue(shown, value)
        (text, length), lower_payload = cases[value.case]
        payload = _payload(value.payload, lower_payload, f".{value.case}", transfer)
        NAMED.pack_into(MEMORY, address, KINDS["variant"], length, addressof(text), payload)

    return lower


def _payload(value: Any, lower: Lower | None, step: str, transfer: Transfer) -> int:
    """The address of the lowered payload, or 0 where there is none to be."""
    if lower is None:
        if value is not None:
            raise WrongValue("no payload", value).at(step)
        return 0
    address = transfer.allocate(VAL_BYTES)
    try:
        lower(value, address, transfer)
    except Mismatch as error:
        raise error.at(step)
    return address


def _enum(type_: EnumType) -> Lower:
    cases = {name: _constant(name) for name in type_.cases}
    shown = f"enum, one of {', '.join(cases)}"

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if not isinstance(value, str):
            raise WrongType(shown, value)
        if value not in cases:
            raise WrongValue(shown, value)
        text, length = cases[value]
        VECTOR.pack_into(MEMORY, address, KINDS["enum"], length, addressof(text))

    return lower


def _flags(type_: FlagsType) -> Lower:
    names = {name: _constant(name) for name in type_.names}
    shown = f"flags, a set of {', '.join(names)}"

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
            raise WrongType(shown, value)
        given = list(value)
        if not all(isinstance(name, str) for name in given):
            raise WrongType(shown, value)
        chosen = sorted(set(given))
        if not names.keys() >= set(chosen):
            raise WrongValue(shown, value)
        data = transfer.allocate(NAME_BYTES * len(chosen))
        for index, name in enumerate(chosen):
            text, length = names[name]
            NAME.pack_into(MEMORY, data + index * NAME_BYTES, length, addressof(text))
        VECTOR.pack_into(MEMORY, address, KINDS["flags"], len(chosen), data)

    return lower


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


def _constant(name: str) -> tuple[Any, int]:
    """A name in C memory that lives as long as the converter that holds it, and its length."""
    encoded = name.encode()
    return (c_char * max(1, len(encoded))).from_buffer_copy(encoded or b"\0"), len(encoded)
