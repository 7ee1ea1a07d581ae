"""The codecs of WIT types: each checks a value while it converts it to the protocol's JSON, or back from it.

They raise the same errors, and charge the same bytes, as the conversion of the value into a guest does
(`runtime.convert.lowering`), so a call reads the same wherever its guest is. What is decoded is the Python value that
the conversion out of a guest gives. `values` has the conversions of values that are checked elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from struct import Struct
from struct import error as StructError  # noqa: N812 it is a class
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_airssys_wasm.protocol import values, wire
from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
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
    make_record,
)
from pytest_airssys_wasm.runtime.convert.sizes import NUMBERS, fixed_size
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
    from pytest_airssys_wasm.runtime.wit.types import WitType

_BATCH = 4_096
"""The number of elements that are converted between two looks at the clock."""


class Passage(NamedTuple):
    """The account that pays for values on their way, and the conversion of the resources in them."""

    charge: Callable[[int], None]
    """Counts bytes that are about to be moved. Raises `ResourceLimitExceeded` where they are too many."""
    check: Callable[[], None]
    """Raises an error when the execution should end."""
    resource: Callable[[Any, OwnType | BorrowType], Any]
    """Converts a resource to JSON, or back, and raises an error for anything that is not one."""


Convert = Callable[[Any, Passage], Any]


class Codec(NamedTuple):
    """The conversions of one type. Both raise `WrongType` or `WrongValue` for a value that does not fit."""

    encode: Convert
    """Converts a Python value to JSON."""
    decode: Convert
    """Converts JSON to a Python value."""


@lru_cache(maxsize=4_096)
def codec_of(type_: WitType) -> Codec:
    """Return the codec of a type.

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


def _primitive(name: str) -> Codec:
    match name:
        case "string":
            return Codec(_string, _string)
        case "char":
            return Codec(_char, _char)
        case "bool":
            return Codec(_bool, _bool)
        case "f32" | "f64":
            return _float(name)
        case _ if name in NUMBERS:
            return _integer(name)
        case _:
            raise TypeError(f"values of type {name} cannot be passed from Python")


def _bool(value: Any, _passage: Passage) -> bool:
    if not isinstance(value, bool):
        raise WrongType("bool", value)
    return value


def _char(value: Any, _passage: Passage) -> str:
    if not isinstance(value, str):
        raise WrongType("char", value)
    if len(value) != 1 or "\ud800" <= value <= "\udfff":
        raise WrongValue("char (one Unicode scalar value)", value)
    return chr(ord(value))  # not an instance of a subclass


def _string(value: Any, passage: Passage) -> str:
    if not isinstance(value, str):
        raise WrongType("string", value)
    try:
        encoded = str.encode(value)
    except UnicodeEncodeError:
        raise WrongValue("string (without lone surrogates)", value) from None
    passage.charge(len(encoded))
    return value if type(value) is str else encoded.decode()


def _integer(name: str) -> Codec:
    least, most = _range(name)

    def encode(value: Any, _passage: Passage) -> int:
        if type(value) is not int:
            value = _whole(name, value)
        if not least <= value <= most:
            raise WrongValue(name, value)
        return value  # type: ignore[no-any-return]

    return Codec(encode, lambda value, passage: encode(values.scalar(value, name), passage))


def _range(name: str) -> tuple[int, int]:
    bits, is_signed = 8 * Struct(f"<{NUMBERS[name]}").size, name[0] == "s"
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongType(name, value)
    return int(value)


def _float(name: str) -> Codec:
    slot = Struct(f"<{NUMBERS[name]}")

    def check(value: Any) -> float:
        if type(value) is not float:
            value = _real(name, slot, value)
        try:
            (stored,) = slot.unpack(slot.pack(value))
        except OverflowError:
            raise WrongValue(f"{name} (this number is too large)", value) from None
        return stored  # type: ignore[no-any-return]

    return Codec(
        lambda value, _: wire.encode_float(check(value)),
        lambda value, _: check(values.scalar(value, name)),
    )


def _real(name: str, slot: Struct, value: Any) -> float:
    """Return the float of an int that loses nothing by it, or of an instance of a subclass of float."""
    if isinstance(value, float):
        return float(value)
    whole = _whole(name, value)
    try:
        real = float(whole)
        (stored,) = slot.unpack(slot.pack(real))
    except OverflowError:
        stored = None
    if stored != whole:
        raise WrongValue(f"{name} (it cannot hold this int exactly)", value)
    return real


def _list(type_: ListType) -> Codec:
    element = codec_of(type_.element)
    cost = max(1, fixed_size(type_.element))
    name = type_.element.name if isinstance(type_.element, Primitive) else ""
    at_once = _at_once(name)
    is_bytes = name == "u8"
    expected = str(type_) + (" (bytes)" if is_bytes else "")

    def encode(value: Any, passage: Passage) -> Any:
        if isinstance(value, memoryview) and (not is_bytes or value.format not in ("B", "c")):
            if is_bytes:
                raise WrongType(expected, value)
            value = value.tolist()
        if isinstance(value, (str, Mapping)) or not isinstance(value, (Sequence, memoryview, bytearray, array)):
            raise WrongType(expected, value)
        passage.charge(len(value) * cost)
        if is_bytes and isinstance(value, (bytes, bytearray, memoryview)):
            return wire.encode(bytes(value))
        # A copy, whose length cannot change under way.
        value = bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else tuple(value)
        found = at_once(value)
        if found is None:
            found = _each(value, element.encode, passage)
        elif name in ("f32", "f64") and not all(map(isfinite, found)):
            found = [*map(wire.encode_float, found)]
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


def _at_once(name: str) -> Callable[[Sequence[Any]], list[Any] | None]:
    """Return the check of a whole list of a primitive type, which gives `None` where one by one tells more."""
    match name:
        case "bool":
            return lambda items: [*items] if set(map(type, items)) <= {bool} else None
        case "f64":
            return lambda items: [*items] if set(map(type, items)) <= {float} else None
        case "f32":
            return _singles
        case _ if name in NUMBERS:
            least, most = _range(name)

            def integers(items: Sequence[Any]) -> list[Any] | None:
                if not set(map(type, items)) <= {int}:
                    return None
                return [*items] if not items or (least <= min(items) and max(items) <= most) else None

            return integers
        case _:
            return lambda items: None


def _singles(items: Sequence[Any]) -> list[Any] | None:
    if not set(map(type, items)) <= {float}:
        return None
    slots = Struct(f"<{len(items)}f")
    try:
        return [*slots.unpack(slots.pack(*items))]
    except (OverflowError, StructError):
        return None


def _record(type_: RecordType) -> Codec:
    fields = [(name, field_name(name), codec_of(field)) for name, field in type_.fields]
    names = {name for name, _ in type_.fields}
    known = names | {field_name(name) for name in names} | {name.replace("-", "_") for name in names}
    expected = f"record {{{', '.join(name for name, _ in type_.fields)}}}"

    def encode(value: Any, passage: Passage) -> dict[str, Any]:
        if isinstance(value, Record):
            value = value.as_dict()
        is_mapping = isinstance(value, Mapping)
        if is_mapping and not value.keys() <= known:
            raise WrongType(f"{expected} (unknown: {_unknown(value, known)})", value)
        found = {}
        for name, attribute, codec in fields:
            field = _field(value, name, attribute, is_mapping, expected)
            try:
                found[name] = codec.encode(field, passage)
            except Mismatch as error:
                raise error.at(f".{attribute}")
        return found

    def decode(value: Any, passage: Passage) -> Record:
        if not isinstance(value, dict):
            raise WrongType(f"{expected} (missing: {fields[0][0]})", value)
        if not value.keys() <= names:
            raise WrongType(f"{expected} (unknown: {_unknown(value, names)})", values.decode(value, type_))
        found = {}
        for name, attribute, codec in fields:
            if name not in value:
                raise WrongType(f"{expected} (missing: {name})", values.decode(value, type_))
            try:
                found[attribute] = codec.decode(value[name], passage)
            except Mismatch as error:
                raise error.at(f".{attribute}")
        return make_record(found)

    return Codec(encode, decode)


def _unknown(value: Mapping[Any, Any], known: set[str]) -> str:
    return ", ".join(sorted(map(str, value.keys() - known)))


def _field(value: Any, name: str, attribute: str, is_mapping: bool, expected: str) -> Any:
    if is_mapping:
        for key in (name, attribute, name.replace("-", "_")):
            if key in value:
                return value[key]
    else:
        try:
            return getattr(value, attribute)
        except AttributeError:
            pass
    raise WrongType(f"{expected} (missing: {name})", value)


def _tuple(type_: TupleType) -> Codec:
    codecs = [codec_of(element) for element in type_.elements]

    def elements(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (tuple, list)):
            raise WrongType(str(type_), value)
        found = tuple(value)
        if len(found) != len(codecs):
            raise WrongValue(f"{type_} ({len(codecs)} elements)", found)
        return found

    def encode(value: Any, passage: Passage) -> list[Any]:
        return [
            _within(f"[{index}]", codec.encode, one, passage)
            for index, (codec, one) in enumerate(zip(codecs, elements(value)))
        ]

    def decode(value: Any, passage: Passage) -> tuple[Any, ...]:
        return tuple(
            [
                _within(f"[{index}]", codec.decode, one, passage)
                for index, (codec, one) in enumerate(zip(codecs, elements(value)))
            ]
        )

    return Codec(encode, decode)


def _variant(type_: VariantType) -> Codec:
    cases = {name: (name, None if payload is None else codec_of(payload)) for name, payload in type_.cases}
    expected = f"variant of {', '.join(cases)}"

    def encode(value: Any, passage: Passage) -> dict[str, Any]:
        if not isinstance(value, Variant):
            raise WrongType(f"Variant ({expected})", value)
        if not isinstance(value.case, str) or value.case not in cases:
            raise WrongValue(expected, value)
        name, codec = cases[value.case]
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
    if value is not None:
        raise WrongValue("no payload", value).at(step)
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
        if not isinstance(value, str):
            raise WrongType(expected, value)
        if value not in cases:
            raise WrongValue(expected, value)
        return cases[value]

    return Codec(check, check)


def _flags(type_: FlagsType) -> Codec:
    names = {name: name for name in type_.names}
    expected = f"flags, a set of {', '.join(names)}"

    def encode(value: Any, _passage: Passage) -> list[str]:
        if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
            raise WrongType(expected, value)
        given = list(value)
        if not all(isinstance(name, str) for name in given):
            raise WrongType(expected, value)
        chosen = sorted(set(given))
        if not names.keys() >= set(chosen):
            raise WrongValue(expected, value)
        return [names[name] for name in chosen]

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
