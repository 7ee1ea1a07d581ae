"""The code of a guest that stores the core values of its arguments as a value in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.lift.layout import NUMBER_BYTES, cases_of, layout_of, offsets_of
from pytest_airssys_wasm.runtime.wit.types import FlagsType, ListType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.wit.types import WitType

_WIDTHS = {1: "8", 2: "16"}
_CONVERTED = {
    ("i64", "i32"): "(i32.wrap_i64 {})",
    ("i32", "f32"): "(f32.reinterpret_i32 {})",
    ("i64", "f32"): "(f32.reinterpret_i32 (i32.wrap_i64 {}))",
    ("i64", "f64"): "(f64.reinterpret_i64 {})",
}
"""The code that makes a core value of one that it was joined into."""


def stored(type_: WitType, place: int) -> str:
    """Return the code that stores the parameters, which are a value of this type, at a place in memory."""
    return "\n      ".join(_stored(type_, place, list(enumerate(layout_of(type_).flat))))


def _stored(type_: WitType, place: int, given: list[tuple[int, str]]) -> list[str]:
    """Return the code for the parameters with these numbers and core types."""
    match type_:
        case Primitive("string") | ListType():
            return [_store("i32", "", place, given[0]), _store("i32", "", place + 4, given[1])]
        case Primitive(name):
            return [_store(layout_of(type_).flat[0], _WIDTHS.get(NUMBER_BYTES[name], ""), place, given[0])]
        case FlagsType():
            return [_store("i32", _WIDTHS.get(layout_of(type_).size, ""), place, given[0])]
        case RecordType(fields):
            return _of_parts([part for _, part in fields], place, given)
        case TupleType(elements):
            return _of_parts([*elements], place, given)
    cases = cases_of(type_)
    assert cases is not None
    code = [_store("i32", "8", place, given[0])]
    for number, payload in enumerate(cases.payloads):
        if payload is not None:
            inner = " ".join(_stored(payload, place + cases.offset, given[1:]))
            number_of_case = _value("i32", given[0])
            code.append(f"(if (i32.eq {number_of_case} (i32.const {number})) (then {inner}))")
    return code


def _of_parts(parts: list[WitType], place: int, given: list[tuple[int, str]]) -> list[str]:
    code = []
    for part, offset in zip(parts, offsets_of(parts)):
        code += _stored(part, place + offset, given)
        given = given[len(layout_of(part).flat) :]
    return code


def _store(core_type: str, width: str, place: int, given: tuple[int, str]) -> str:
    return f"({core_type}.store{width} (i32.const {place}) {_value(core_type, given)})"


def _value(core_type: str, given: tuple[int, str]) -> str:
    number, joined = given
    return _CONVERTED.get((joined, core_type), "{}").format(f"(local.get {number})")
