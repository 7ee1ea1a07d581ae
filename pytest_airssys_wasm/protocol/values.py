"""Values of this package's mapping in the protocol's encoding, by their types."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
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


def _as_it_is(value: Any, _type: Any) -> Any:
    return value


def encode(value: Any, rest: Callable[[Any], Any] = wire.encode) -> Any:
    """A Python value as JSON can carry it; `rest` encodes what holds no other values."""
    if isinstance(value, Ok):
        return {"ok": encode(value.value, rest)}
    if isinstance(value, Err):
        return {"err": encode(value.error, rest)}
    if isinstance(value, Some):
        return {"some": encode(value.value, rest)}
    if isinstance(value, Variant):
        return {"case": value.case, "value": encode(value.payload, rest)}
    if isinstance(value, Record):
        value = value.as_dict()
    if isinstance(value, dict):
        # A record as well: `decode` makes a mapping of one.
        return {name.rstrip("_").replace("_", "-"): encode(item, rest) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item, rest) for item in value]
    return rest(value)


def decode(value: Any, type_: Any, resource: Callable[[Any, Any], Any] = _as_it_is) -> Any:
    """The Python value of this type (a WIT type, or the name of a core one) that JSON carried.

    What does not fit is returned as it is: the conversion into the guest names the place. `resource` decodes handles.
    """
    if isinstance(type_, (str, Primitive)):
        return _scalar(value, str(type_))
    if isinstance(type_, ListType):
        return _list(value, type_, resource)
    if isinstance(type_, TupleType) and isinstance(value, list) and len(value) == len(type_.elements):
        return tuple(decode(item, element, resource) for item, element in zip(value, type_.elements))
    if isinstance(type_, RecordType) and isinstance(value, dict):
        types = dict(type_.fields)
        return {name: decode(item, types[name], resource) if name in types else item for name, item in value.items()}
    if isinstance(type_, VariantType) and isinstance(value, dict) and value.get("case") in dict(type_.cases):
        payload = dict(type_.cases)[value["case"]]
        return Variant(value["case"], None if payload is None else decode(value.get("value"), payload, resource))
    if isinstance(type_, OptionType):
        return _option(value, type_, resource)
    if isinstance(type_, ResultType) and isinstance(value, dict):
        if "ok" in value:
            return Ok(None if type_.ok is None else decode(value["ok"], type_.ok, resource))
        if "err" in value:
            return Err(None if type_.err is None else decode(value["err"], type_.err, resource))
    if isinstance(type_, FlagsType) and isinstance(value, list):
        return frozenset(value)
    if isinstance(type_, (OwnType, BorrowType)):
        return resource(value, type_)
    return value


def _scalar(value: Any, name: str) -> Any:
    number = wire.number(value)
    if name in ("f32", "f64"):
        if isinstance(value, str) and value in ("nan", "inf", "-inf"):
            return float(value)
        return value if number is None else float(number)
    if name not in ("string", "char", "bool") and isinstance(number, int):
        return number
    return value


def _list(value: Any, type_: ListType, resource: Callable[[Any, Any], Any]) -> Any:
    if isinstance(value, dict) and isinstance(value.get("bytes"), str):
        try:
            return base64.b64decode(value["bytes"], validate=True)
        except binascii.Error:
            return value
    if not isinstance(value, list):
        return value
    if str(type_.element) == "u8" and all(type(item) is int and 0 <= item < 256 for item in value):
        return bytes(value)
    return [decode(item, type_.element, resource) for item in value]


def _option(value: Any, type_: OptionType, resource: Callable[[Any, Any], Any]) -> Any:
    if value is None:
        return None
    if isinstance(type_.payload, OptionType) and isinstance(value, dict) and value.keys() == {"some"}:
        return Some(decode(value["some"], type_.payload, resource))
    return decode(value, type_.payload, resource)
