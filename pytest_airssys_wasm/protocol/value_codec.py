"""The codecs of WIT types, which check values while they convert them to the protocol's JSON, or back.

Encoding raises the same errors and charges the same bytes as lowering the value into a guest
(`runtime.convert.lowering`), so that a call behaves the same in this process and in another. Decoding returns the same
Python value as lifting it out of a guest. The module `values` has the conversions of values that are checked elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol import values, wire
from pytest_airssys_wasm.protocol.primitive_codec import Codec, Convert, Passage, check_at_once, primitive_codec
from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.values import (
    Err,
    Mismatch,
    Ok,
    Record,
    Some,
    Variant,
    WrongType,
    field_name,
    make_record,
)
from pytest_airssys_wasm.runtime.convert.accepted import (
    check_enum,
    check_flags,
    check_list,
    check_no_payload,
    check_tuple,
    check_variant,
    record_checker,
    unknown_keys,
)
from pytest_airssys_wasm.runtime.convert.transfer import fixed_size
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
    from collections.abc import Iterable

    from pytest_airssys_wasm.runtime.wit.types import WitType

_BATCH = 4_096
"""The number of elements that are converted between two checks of the clock."""


@lru_cache(maxsize=4_096)
def codec_of(type_: WitType) -> Codec:
    """Return the codec of a type.

    Raises `TypeError` for a type that has no Python value (futures, streams, error contexts).
    """
    match type_:
        case Primitive(name):
            return primitive_codec(name)
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


def _list(type_: ListType) -> Codec:
    element = codec_of(type_.element)
    cost = max(1, fixed_size(type_.element))
    name = type_.element.name if isinstance(type_.element, Primitive) else ""
    at_once = check_at_once(name)
    is_bytes = name == "u8"
    expected = str(type_) + (" (bytes)" if is_bytes else "")

    def encode(value: Any, passage: Passage) -> Any:
        elements = check_list(value, str(type_), is_bytes, lambda count: passage.charge(count * cost))
        if is_bytes and isinstance(elements, bytes):
            return wire.encode(elements)
        found = at_once(elements)
        if found is None:
            found = _each(elements, element.encode, passage)
        elif name in ("f32", "f64") and not all(map(isfinite, found)):
            found = [*map(wire.encode_exact_float, found)]
        return wire.encode(bytes(found)) if is_bytes else found

    def decode(value: Any, passage: Passage) -> Any:
        if is_bytes and isinstance(value, dict) and isinstance(value.get("bytes"), str):
            try:
                value = base64.b64decode(value["bytes"], validate=True)
            except binascii.Error:
                raise WrongType(expected, value) from None
            passage.charge(len(value))
            return value
        if not isinstance(value, list):
            raise WrongType(expected, value)
        passage.charge(len(value) * cost)
        found = at_once(value)
        if found is None:
            found = _each(value, element.decode, passage)
        return bytes(found) if is_bytes else found

    return Codec(encode, decode)


def _each(items: Iterable[Any], convert: Convert, passage: Passage) -> list[Any]:
    converted = []
    for index, item in enumerate(items):
        if index % _BATCH == 0:
            passage.check()
        try:
            converted.append(convert(item, passage))
        except Mismatch as error:
            raise error.at(f"[{index}]")
    return converted


def _record(type_: RecordType) -> Codec:
    check = record_checker(type_)
    fields = [(name, field_name(name), codec_of(field)) for name, field in type_.fields]
    names = {name for name, _ in type_.fields}
    expected = f"record {{{', '.join(name for name, _ in type_.fields)}}}"

    def encode(value: Any, passage: Passage) -> dict[str, Any]:
        return {
            name: _within(f".{attribute}", codec.encode, field, passage)
            for field, (name, attribute, codec) in zip(check(value), fields)
        }

    def decode(value: Any, passage: Passage) -> Record:
        if not isinstance(value, dict):
            raise WrongType(f"{expected} (missing: {fields[0][0]})", value)
        if not value.keys() <= names:
            raise WrongType(f"{expected} (unknown: {unknown_keys(value, names)})", values.decode(value, type_))
        found = {}
        for name, attribute, codec in fields:
            if name not in value:
                raise WrongType(f"{expected} (missing: {name})", values.decode(value, type_))
            found[attribute] = _within(f".{attribute}", codec.decode, value[name], passage)
        return make_record(found)

    return Codec(encode, decode)


def _tuple(type_: TupleType) -> Codec:
    codecs = [codec_of(element) for element in type_.elements]

    def encode(value: Any, passage: Passage) -> list[Any]:
        return [
            _within(f"[{index}]", codec.encode, one, passage)
            for index, (codec, one) in enumerate(zip(codecs, check_tuple(value, type_)))
        ]

    def decode(value: Any, passage: Passage) -> tuple[Any, ...]:
        return tuple(
            [
                _within(f"[{index}]", codec.decode, one, passage)
                for index, (codec, one) in enumerate(zip(codecs, check_tuple(value, type_)))
            ]
        )

    return Codec(encode, decode)


def _variant(type_: VariantType) -> Codec:
    cases = {name: (name, None if payload is None else codec_of(payload)) for name, payload in type_.cases}
    expected = f"variant of {', '.join(cases)}"

    def encode(value: Any, passage: Passage) -> dict[str, Any]:
        name, codec = check_variant(value, cases, expected)
        return {"case": name, "value": _encoded_payload(value.payload, codec, f".{name}", passage)}

    def decode(value: Any, passage: Passage) -> Variant:
        case = value.get("case") if isinstance(value, dict) else None
        if not isinstance(case, str) or case not in cases:
            raise WrongType(f"Variant ({expected})", value)
        name, codec = cases[case]
        return Variant(name, _decoded_payload(value.get("value"), codec, f".{name}", passage))

    return Codec(encode, decode)


def _encoded_payload(value: Any, codec: Codec | None, step: str, passage: Passage) -> Any:
    if codec is not None:
        return _within(step, codec.encode, value, passage)
    check_no_payload(value, step)
    return None


def _decoded_payload(value: Any, codec: Codec | None, step: str, passage: Passage) -> Any:
    return None if codec is None else _within(step, codec.decode, value, passage)


def _within(step: str, convert: Convert, value: Any, passage: Passage) -> Any:
    try:
        return convert(value, passage)
    except Mismatch as error:
        raise error.at(step)


def _enum(type_: EnumType) -> Codec:
    cases = {name: name for name in type_.cases}
    expected = f"enum, one of {', '.join(cases)}"

    def check(value: Any, _passage: Passage) -> str:
        return check_enum(value, cases, expected)

    return Codec(check, check)


def _flags(type_: FlagsType) -> Codec:
    names = {name: name for name in type_.names}
    expected = f"flags, a set of {', '.join(names)}"

    def encode(value: Any, _passage: Passage) -> list[str]:
        return check_flags(value, names, expected)

    def decode(value: Any, passage: Passage) -> frozenset[str]:
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            value = frozenset(value)
        return frozenset(encode(value, passage))

    return Codec(encode, decode)


def _option(type_: OptionType) -> Codec:
    payload = codec_of(type_.payload)
    nests = isinstance(type_.payload, OptionType)
    expected = f"None or Some(…) for {type_}"

    def encode(value: Any, passage: Passage) -> Any:
        if value is None:
            return None
        if not nests:
            return payload.encode(value, passage)
        if not isinstance(value, Some):
            raise WrongType(expected, value)
        return {"some": payload.encode(value.value, passage)}

    def decode(value: Any, passage: Passage) -> Any:
        if value is None:
            return None
        if not nests:
            return payload.decode(value, passage)
        if not isinstance(value, dict) or value.keys() != {"some"}:
            raise WrongType(expected, values.decode(value, type_))
        return Some(payload.decode(value["some"], passage))

    return Codec(encode, decode)


def _result(type_: ResultType) -> Codec:
    ok = None if type_.ok is None else codec_of(type_.ok)
    err = None if type_.err is None else codec_of(type_.err)
    expected = f"Ok(…) or Err(…) for {type_}"

    def encode(value: Any, passage: Passage) -> dict[str, Any]:
        match value:
            case Ok(payload):
                return {"ok": _encoded_payload(payload, ok, ".ok", passage)}
            case Err(payload):
                return {"err": _encoded_payload(payload, err, ".err", passage)}
        raise WrongType(expected, value)

    def decode(value: Any, passage: Passage) -> Ok | Err:
        match value:
            case {"ok": payload}:
                return Ok(_decoded_payload(payload, ok, ".ok", passage))
            case {"err": payload}:
                return Err(_decoded_payload(payload, err, ".err", passage))
        raise WrongType(expected, value)

    return Codec(encode, decode)


def _resource(type_: OwnType | BorrowType) -> Codec:
    def convert(value: Any, passage: Passage) -> Any:
        return passage.resource(value, type_)

    return Codec(convert, convert)
