"""Values and calls in WAVE, the text notation of WebAssembly values: for messages about what has happened.

Nothing here raises or runs long, whatever the value: writing ends where its budget of characters does, and a value
that does not fit its type is marked (`<… "x">`). See https://docs.rs/wasm-wave for the notation; resources, for
which it has none, are `<resource name>`. Control characters and bidi overrides are always escaped.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant, field_name
from pytest_airssys_wasm.runtime.wave.wave_text import Spent, Text
from pytest_airssys_wasm.runtime.wave.wave_unfit import DEEPEST, write_unfit
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
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.wit.types import WitType

    AnyType = WitType | str

MOST_CHARACTERS = 2_000
"""Of a value or a call, where the caller says nothing else."""
_MOST_FLAGS = 1_000
_INTEGERS = {
    f"{sign}{bits}": range(0 if sign == "u" else -(2 ** (bits - 1)), 2 ** (bits - 1) if sign == "s" else 2**bits)
    for bits in (8, 16, 32, 64)
    for sign in "siu"  # core integers (i32) have no sign: both ranges are accepted
}
_NEVER_RESOURCES = (type(None), bool, int, float, str, bytes, list, tuple, dict)


def write_value(value: object, type_: AnyType, *, most_characters: int = MOST_CHARACTERS) -> str:
    """A Python value as WAVE writes it: `{id: 1, tags: ["a"]}`.

    `type_` is its WIT type, or the name of a core value type (`"i32"`). The text has at most `most_characters`
    characters, and ends with `…` where it was cut. Never raises.
    """
    return _written(most_characters, lambda out: _value(out, value, type_, 0))


def write_call(
    function: str, args: Sequence[object], types: Sequence[AnyType], *, most_characters: int = MOST_CHARACTERS
) -> str:
    """A call as WAVE writes it: `transform("hello")`, `demo:shop/stock@1.0.0#find(3, some("x"))`.

    `types` are those of the parameters, as `Component.parameter_types` gives them. Bounded as in `write_value`.
    Never raises.
    """

    def write(out: Text) -> None:
        out.name(function)
        _several(out, "(", zip_longest(args, types[: len(args)]), ")", -1)

    return _written(most_characters, write)


def _written(most_characters: int, write: Callable[[Text], None]) -> str:
    out = Text(most_characters)
    try:
        write(out)
    except Exception:  # noqa: BLE001 the failure that is reported matters more than why this cannot be shown
        return out.cut()
    return out.whole()


class _Unfit(Exception):
    """The value is none of its type."""


def _require(holds: object) -> None:
    if not holds:
        raise _Unfit


def _value(out: Text, value: Any, type_: Any, depth: int) -> None:
    if depth > DEEPEST:
        out.put("…")
        return
    mark = out.mark()
    try:
        _fitting(out, value, type_, depth)
    except Spent:
        raise
    except Exception:  # noqa: BLE001 unfit, or an object whose methods raise
        out.rewind(mark)
        out.put("<… ")
        write_unfit(out, value, depth)
        out.put(">")


def _fitting(out: Text, value: Any, type_: Any, depth: int) -> None:
    if isinstance(type_, str):
        _scalar(out, value, type_, is_core=True)
    elif isinstance(type_, Primitive):
        _scalar(out, value, type_.name, is_core=False)
    elif isinstance(type_, ListType):
        elements = _elements(value, type_.element, out.left)
        _several(out, "[", ((element, type_.element) for element in elements), "]", depth)
    elif isinstance(type_, TupleType):
        _require(isinstance(value, (tuple, list)) and len(value) == len(type_.elements))
        _several(out, "(", zip(value, type_.elements), ")", depth)
    elif isinstance(type_, RecordType):
        _record(out, value, type_, depth)
    elif isinstance(type_, VariantType):
        _require(isinstance(value, Variant))
        _case(out, value.case, type_.cases, value.payload, depth)
    elif isinstance(type_, EnumType):
        _case(out, value, [(name, None) for name in type_.cases], None, depth)
    elif isinstance(type_, FlagsType):
        _flags(out, value, type_)
    elif isinstance(type_, OptionType):
        _option(out, value, type_, depth)
    elif isinstance(type_, ResultType):
        _require(isinstance(value, (Ok, Err)))
        is_ok = isinstance(value, Ok)
        out.put("ok" if is_ok else "err")
        _payload(out, value.value if is_ok else value.error, type_.ok if is_ok else type_.err, depth)
    else:
        _require(isinstance(type_, (OwnType, BorrowType)) and type(value) not in _NEVER_RESOURCES)
        out.put("<resource ")
        out.name(type_.resource.name)
        out.put(">")


def _scalar(out: Text, value: Any, name: str, *, is_core: bool) -> None:
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
    """What a float of this type makes of a number. Raises for one that is too large."""
    slot = struct.Struct("<f" if name == "f32" else "<d")
    return slot.unpack(slot.pack(value))[0]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _several(out: Text, opening: str, pairs: Iterable[tuple[Any, Any]], closing: str, depth: int) -> None:
    out.put(opening)
    for index, (value, type_) in enumerate(pairs):
        out.put(", " if index else "")
        _value(out, value, type_, depth + 1)
    out.put(closing)


def _elements(value: Any, element: WitType, most: int) -> Iterable[Any]:
    """What a list holds: what is megabytes long is not copied."""
    if isinstance(value, memoryview):
        is_bytes = value.format in ("B", "c")
        _require(is_bytes or element != Primitive("u8"))
        return bytes(value[:most]) if is_bytes else value
    _require(isinstance(value, (Sequence, bytearray, array)) and not isinstance(value, (str, Mapping)))
    return value  # type: ignore[no-any-return] # a sequence, as was required


def _record(out: Text, value: Any, type_: RecordType, depth: int) -> None:
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


def _case(out: Text, case: Any, cases: Iterable[tuple[str, WitType | None]], payload: Any, depth: int) -> None:
    types = dict(cases)
    out.step(len(types))
    _require(isinstance(case, str) and case in types)
    out.label(case)
    _payload(out, payload, types[case], depth)


def _payload(out: Text, value: Any, type_: WitType | None, depth: int) -> None:
    if type_ is not None or value is not None:
        _several(out, "(", [(value, type_)], ")", depth)


def _flags(out: Text, value: Any, type_: FlagsType) -> None:
    _require(isinstance(value, Iterable) and not isinstance(value, (str, Mapping)))
    given = set(islice(value, _MOST_FLAGS))
    out.step(len(type_.names))
    _require(given.issubset(type_.names))
    out.put("{")
    for index, name in enumerate(name for name in type_.names if name in given):
        out.put(", " if index else "")
        out.name(name)
    out.put("}")


def _option(out: Text, value: Any, type_: OptionType, depth: int) -> None:
    if value is None:
        out.put("none")
        return
    nests = isinstance(type_.payload, OptionType)
    _require(not nests or isinstance(value, Some))
    _several(out, "some(", [(value.value if nests else value, type_.payload)], ")", depth)
