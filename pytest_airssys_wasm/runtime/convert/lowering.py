"""Python values to WIT: converters into component values in C memory, built once per type.

What they allocate belongs to the transfer account and lives as long as it. A value that does not fit raises
`WrongType` or `WrongValue`, whose path is built on the way out, so that success pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import addressof
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import (
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
from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES
from pytest_airssys_wasm.runtime.capi.vals import (
    KINDS,
    MEMORY,
    NAME,
    NAMED,
    POINTER,
    RECORD_ENTRY_BYTES,
    RECORD_ENTRY_VALUE,
    TAGGED,
    VECTOR,
)
from pytest_airssys_wasm.runtime.convert.lowering_lists import lower_list
from pytest_airssys_wasm.runtime.convert.lowering_names import constant, lower_enum, lower_flags
from pytest_airssys_wasm.runtime.convert.lowering_scalars import lower_scalar
from pytest_airssys_wasm.runtime.wit.types import (
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
    from pytest_airssys_wasm.runtime.convert.lowering_scalars import Lower
    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.wit.types import WitType


@lru_cache(maxsize=4_096)
def compile_lower(type_: WitType) -> Lower:
    """The converter of this type: `(Python value, address to write the value to, transfer)`.

    Raises `TypeError` for types that have no Python value (futures, streams, error contexts).
    """
    if isinstance(type_, Primitive):
        return lower_scalar(type_.name)
    if isinstance(type_, ListType):
        return lower_list(type_, compile_lower(type_.element))
    if isinstance(type_, RecordType):
        return _record(type_)
    if isinstance(type_, TupleType):
        return _tuple(type_)
    if isinstance(type_, VariantType):
        return _variant(type_)
    if isinstance(type_, EnumType):
        return lower_enum(type_)
    if isinstance(type_, FlagsType):
        return lower_flags(type_)
    if isinstance(type_, OptionType):
        return _option(type_)
    if isinstance(type_, ResultType):
        return _result(type_)
    if isinstance(type_, (OwnType, BorrowType)):
        return _resource(type_)
    raise TypeError(f"values of type {type_} cannot be passed from Python")


def _record(type_: RecordType) -> Lower:
    fields = [
        (name, field_name(name), constant(name), index * RECORD_ENTRY_BYTES, compile_lower(field))
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
        name: (constant(name), None if payload is None else compile_lower(payload)) for name, payload in type_.cases
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
