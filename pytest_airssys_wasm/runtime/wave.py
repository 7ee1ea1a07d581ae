"""The text of values and calls in WAVE, the notation for values of the Component Model, for messages about an
execution.

The functions neither raise errors nor run for long, whatever the value: writing ends when the budget of characters and
steps is spent, and a value that does not fit its type is marked (`<… "x">`). See https://docs.rs/wasm-wave for the
notation. WAVE does not define a notation for resources, which are written as `<resource name>`. Control characters and
bidirectional overrides are always escaped.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant, field_name
from pytest_airssys_wasm.runtime.wave_text import BoundedText, Spent
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

    from pytest_airssys_wasm.runtime.wit.types import WitType

    AnyType = WitType | str
    """A WIT type, or the name of a core value type."""

_MOST_CHARACTERS = 2_000
"""The default maximum number of characters of a value or a call."""
_MOST_FLAGS = 1_000
_MOST_BITS = 256
"""The maximum number of bits of an int without a known type that is written in full."""
_DEEPEST = 64
"""The maximum nesting of a value that is written, because a list may contain itself."""
_INTEGERS = {
    f"{sign}{bits}": range(0 if sign == "u" else -(2 ** (bits - 1)), 2 ** (bits - 1) if sign == "s" else 2**bits)
    for bits in (8, 16, 32, 64)
    for sign in "siu"  # core integers (i32) have no sign: both ranges are accepted
}
_NEVER_RESOURCES = (type(None), bool, int, float, str, bytes, list, tuple, dict)


def write_value(value: object, type_: AnyType, *, most_characters: int = _MOST_CHARACTERS) -> str:
    """Return a Python value in WAVE: `{id: 1, tags: ["a"]}`.

    `type_` is its WIT type, or the name of a core value type (`"i32"`). The text has at most `most_characters`
    characters, and ends with `…` if it was cut. This function does not raise errors.
    """
    return _written(most_characters, lambda out: _value(out, value, type_, 0))


def write_call(
    function: str, args: Sequence[object], types: Sequence[AnyType], *, most_characters: int = _MOST_CHARACTERS
) -> str:
    """Return a call in WAVE: `transform("hello")`, `demo:shop/stock@1.0.0#find(3, some("x"))`.

    `types` are those of the parameters, as `Component.parameter_types` gives them. The text has at most
    `most_characters` characters, and ends with `…` if it was cut. This function does not raise errors.
    """

    def write(out: BoundedText) -> None:
        out.name(function)
        _several(out, "(", zip_longest(args, types[: len(args)]), ")", -1)

    return _written(most_characters, write)


def _written(most_characters: int, write: Callable[[BoundedText], None]) -> str:
    out = BoundedText(most_characters)
    try:
        write(out)
    except Exception:  # noqa: BLE001 the failure that is reported matters more than why this cannot be shown
        return out.cut()
    return out.whole()


class _Unfit(Exception):
    """The internal error for a value that does not fit its type."""


def _require(holds: object) -> None:
    if not holds:
        raise _Unfit


def _value(out: BoundedText, value: Any, type_: AnyType | None, depth: int) -> None:
    if depth > _DEEPEST:
        out.put("…")
        return
    mark = out.mark()
    try:
        _write_typed(out, value, type_, depth)
    except Spent:
        raise
    except Exception:  # noqa: BLE001 it does not fit, or its methods raise
        out.rewind(mark)
        out.put("<… ")
        _write_untyped(out, value, depth)
        out.put(">")


def _write_typed(out: BoundedText, value: Any, type_: AnyType | None, depth: int) -> None:
    match type_:
        case str():
            _scalar(out, value, type_, is_core=True)
        case Primitive(name):
            _scalar(out, value, name, is_core=False)
        case ListType(element):
            elements = _elements(value, element, out.left)
            _several(out, "[", ((one, element) for one in elements), "]", depth)
        case TupleType(types):
            _require(isinstance(value, (tuple, list)) and len(value) == len(types))
            _several(out, "(", zip(value, types), ")", depth)
        case RecordType():
            _record(out, value, type_, depth)
        case VariantType(cases):
            _require(isinstance(value, Variant))
            _case(out, value.case, cases, value.payload, depth)
        case EnumType(names):
            _case(out, value, [(name, None) for name in names], None, depth)
        case FlagsType():
            _flags(out, value, type_)
        case OptionType():
            _option(out, value, type_, depth)
        case ResultType(ok, err):
            _require(isinstance(value, (Ok, Err)))
            is_ok = isinstance(value, Ok)
            out.put("ok" if is_ok else "err")
            _payload(out, value.value if is_ok else value.error, ok if is_ok else err, depth)
        case OwnType(resource) | BorrowType(resource):
            _require(type(value) not in _NEVER_RESOURCES)
            out.put("<resource ")
            out.name(resource.name)
            out.put(">")
        case FutureType() | StreamType() | None:  # types without values, and a value where none should be
            raise _Unfit
        case _:
            assert_never(type_)


def _scalar(out: BoundedText, value: Any, name: str, *, is_core: bool) -> None:
    if name == "bool":
        _require(isinstance(value, bool))
        out.put("true" if value else "false")
    elif name in _INTEGERS:
        _require(_is_int(value) and int.__index__(value) in _INTEGERS[name])
        out.put(int.__repr__(value))
    elif name in ("f32", "f64"):
        _require(_is_int(value) or isinstance(value, float))
        _require(_held(name, value) == value or isinstance(value, float) or is_core)
        out.put(int.__repr__(value) if _is_int(value) else float.__repr__(value))
    else:
        _require(isinstance(value, str) and name in ("string", "char"))
        head = str.__getitem__(value, slice(out.left + 1))
        _require(name == "string" or str.__len__(value) == 1)
        _require(not any("\ud800" <= character <= "\udfff" for character in head))
        out.quoted(head, "'" if name == "char" else '"')


def _held(name: str, value: float) -> Any:
    """Return a number rounded to a float of this type. Raises `OverflowError` for a number that is too large."""
    slot = struct.Struct("<f" if name == "f32" else "<d")
    return slot.unpack(slot.pack(value))[0]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _several(
    out: BoundedText, opening: str, pairs: Iterable[tuple[Any, AnyType | None]], closing: str, depth: int
) -> None:
    out.put(opening)
    for index, (value, type_) in enumerate(pairs):
        out.put(", " if index else "")
        _value(out, value, type_, depth + 1)
    out.put(closing)


def _elements(value: Any, element: WitType, most: int) -> Iterable[Any]:
    """Return the elements of a list. Of a long list only as many elements are copied as can be written."""
    if isinstance(value, memoryview):
        is_bytes = value.format in ("B", "c")
        _require(is_bytes or element != Primitive("u8"))
        return bytes(value[:most]) if is_bytes else value
    _require(isinstance(value, (Sequence, bytearray, array)) and not isinstance(value, (str, Mapping)))
    return value  # type: ignore[no-any-return] # a sequence, as was required


def _record(out: BoundedText, value: Any, type_: RecordType, depth: int) -> None:
    given = value.as_dict() if isinstance(value, Record) else value
    out.step(3 * len(type_.fields))
    if isinstance(given, Mapping):
        known = {spelling for name, _ in type_.fields for spelling in _spellings(name)}
        _require(known.issuperset(islice(given, len(known) + 1)))
    lead = "{"
    for name, field_type in type_.fields:
        field = _field(given, name)
        if field is not None or not isinstance(field_type, OptionType):  # `none` is left out, as by WAVE's own writer
            out.put(lead)
            out.name(name)
            out.put(": ")
            _value(out, field, field_type, depth + 1)
            lead = ", "
    out.put("{:}" if lead == "{" else "}")


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value[next(spelling for spelling in _spellings(name) if spelling in value)]
    return getattr(value, field_name(name))


@lru_cache(maxsize=4_096)
def _spellings(name: str) -> tuple[str, ...]:
    return name, field_name(name), name.replace("-", "_")


def _case(out: BoundedText, case: Any, cases: Iterable[tuple[str, WitType | None]], payload: Any, depth: int) -> None:
    types = dict(cases)
    out.step(len(types))
    _require(isinstance(case, str) and case in types)
    out.label(case)
    _payload(out, payload, types[case], depth)


def _payload(out: BoundedText, value: Any, type_: WitType | None, depth: int) -> None:
    if type_ is not None or value is not None:
        _several(out, "(", [(value, type_)], ")", depth)


def _flags(out: BoundedText, value: Any, type_: FlagsType) -> None:
    _require(isinstance(value, Iterable) and not isinstance(value, (str, Mapping)))
    given = set(islice(value, _MOST_FLAGS))
    out.step(len(type_.names))
    _require(given.issubset(type_.names))
    out.put("{")
    for index, name in enumerate(name for name in type_.names if name in given):
        out.put(", " if index else "")
        out.name(name)
    out.put("}")


def _option(out: BoundedText, value: Any, type_: OptionType, depth: int) -> None:
    if value is None:
        out.put("none")
        return
    nests = isinstance(type_.payload, OptionType)
    _require(not nests or isinstance(value, Some))
    _several(out, "some(", [(value.value if nests else value, type_.payload)], ")", depth)


def _write_untyped(out: BoundedText, value: Any, depth: int = 0) -> None:
    """Append `value` in a notation similar to WAVE, without calling its `__repr__`. For unknown classes only the name
    is written.

    Raises no error except `Spent`.
    """
    mark = out.mark()
    try:
        _write_builtin(out, value, depth)
    except Spent:
        raise
    except Exception:  # noqa: BLE001 a subclass of a builtin type may raise anything
        out.rewind(mark)
        out.name(type.__dict__["__name__"].__get__(type(value)))


def _write_builtin(out: BoundedText, value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        out.put("…")
        return
    match value:
        case None:
            out.put("none")
        case bool():
            out.put("true" if value else "false")
        case int():
            bits = int.bit_length(value)
            out.put(int.__repr__(value) if bits <= _MOST_BITS else f"int of {bits} bits")
        case float():
            out.put(float.__repr__(value))
        case str():
            out.quoted(value, '"')
        case Variant():
            out.label(value.case)
            if value.payload is not None:
                _untyped_several(out, "(", [value.payload], ")", depth)
        case Some():
            _untyped_several(out, "some(", [value.value], ")", depth)
        case Ok():
            _untyped_several(out, "ok(", [value.value], ")", depth)
        case Err():
            _untyped_several(out, "err(", [value.error], ")", depth)
        case Record():
            _untyped_fields(out, value.as_dict(), depth)
        case dict():
            _untyped_fields(out, value, depth)
        case tuple():
            _untyped_several(out, "(", value, ")", depth)
        case set() | frozenset():
            _untyped_several(out, "{", value, "}", depth)
        case list() | bytes() | bytearray() | array():
            _untyped_several(out, "[", value, "]", depth)
        case _:
            raise TypeError


def _untyped_several(out: BoundedText, opening: str, values: Iterable[Any], closing: str, depth: int) -> None:
    out.put(opening)
    for index, value in enumerate(values):
        out.put(", " if index else "")
        _write_untyped(out, value, depth + 1)
    out.put(closing)


def _untyped_fields(out: BoundedText, fields: dict[Any, Any], depth: int) -> None:
    out.put("{")
    for index, (name, value) in enumerate(dict.items(fields)):
        out.put(", " if index else "")
        if isinstance(name, str):
            out.name(name)
        else:
            _write_untyped(out, name, depth + 1)
        out.put(": ")
        _write_untyped(out, value, depth + 1)
    out.put("}")
