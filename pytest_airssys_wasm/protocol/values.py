"""The conversions between Python values and the protocol's JSON for values that are checked elsewhere.

Results of the runtime are not checked, and a call checks its arguments when it lowers them. The module `value_codec`
has the conversions with checks.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.runtime.base.floats import read_nan
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
    from collections.abc import Callable, Mapping


def _as_it_is(value: Any, _type: Any) -> Any:
    return value


def encode(value: Any, rest: Callable[[Any], Any] = wire.encode) -> Any:
    """Return a Python value as a JSON value; `rest` encodes scalars and resources."""
    match value:
        case Ok(payload):
            return {"ok": encode(payload, rest)}
        case Err(payload):
            return {"err": encode(payload, rest)}
        case Some(payload):
            return {"some": encode(payload, rest)}
        case Variant(case, payload):
            return {"case": case, "value": encode(payload, rest)}
        case Record():
            return _encode_fields(value.as_dict(), rest)
        case dict():  # a record as well: `decode` makes a mapping of one
            return _encode_fields(value, rest)
        case list() | tuple():
            return [encode(item, rest) for item in value]
    return rest(value)


def _encode_fields(fields: Mapping[str, Any], rest: Callable[[Any], Any]) -> dict[str, Any]:
    return {name.rstrip("_").replace("_", "-"): encode(item, rest) for name, item in fields.items()}


def decode(value: Any, type_: Any, resource: Callable[[Any, Any], Any] = _as_it_is) -> Any:
    """Return the Python value of this type (a WIT type, or the name of a core type) from JSON.

    A part that does not fit is returned unchanged: lowering it into the guest raises an error with its path. `resource`
    decodes handles.
    """
    match type_, value:
        case ((str() | Primitive()), _):
            return scalar(value, str(type_))
        case ListType(), _:
            return _list(value, type_, resource)
        case TupleType(elements), list() if len(value) == len(elements):
            return tuple(decode(item, element, resource) for item, element in zip(value, elements))
        case RecordType(fields), dict():
            types = dict(fields)
            return {
                name: decode(item, types[name], resource) if name in types else item for name, item in value.items()
            }
        case VariantType(cases), {"case": str(case)} if case in dict(cases):
            payload = dict(cases)[case]
            return Variant(case, None if payload is None else decode(value.get("value"), payload, resource))
        case OptionType(), _:
            return _option(value, type_, resource)
        case ResultType(ok), {"ok": payload}:
            return Ok(None if ok is None else decode(payload, ok, resource))
        case ResultType(_, err), {"err": payload}:
            return Err(None if err is None else decode(payload, err, resource))
        case FlagsType(), list() if all(isinstance(name, str) for name in value):
            return frozenset(value)
        case ((OwnType() | BorrowType()), _):
            return resource(value, type_)
    return value


def scalar(value: Any, name: str) -> Any:
    """Return the Python value of this primitive or core type from JSON, or the JSON value itself if it does not fit."""
    if name in ("string", "char", "bool"):
        return value
    number = wire.number(value)
    if name in ("f32", "f64"):
        if isinstance(value, str):
            nan = read_nan(value)
            if nan is not None or value in ("inf", "-inf"):
                return float(value) if nan is None else nan
        return value if number is None else float(number)
    return number if isinstance(number, int) else value


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
