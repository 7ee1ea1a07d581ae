"""The placeholder of a type: a value that fits it, written in TOML, for its author to replace."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    Primitive,
    RecordType,
    ResultType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_SCALARS = {
    **dict.fromkeys(("s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "i32", "i64"), "0"),
    **dict.fromkeys(("f32", "f64"), "0.0"),
    "bool": "false",
    "char": '"?"',
    "string": '""',
}
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_MOST_PARTS = 200
"""The most parts of a placeholder. A type may have more of them than memory, although its text is short."""


class NoPlaceholder(Exception):
    """The error for a type whose value cannot be written in TOML, such as a resource, or would be too long."""


def placeholder(type_: Any) -> str:
    """Return a value of this type in TOML: zeros, empty strings and lists, the first of several cases, successes.

    `type_` is a WIT type, or the name of a core value type. Raises `NoPlaceholder`.
    """
    return _Writer().value(type_)


def toml_string(text: str) -> str:
    """Return a text as a TOML string in quotes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class _Writer:
    def __init__(self) -> None:
        self._left = _MOST_PARTS

    def value(self, type_: Any) -> str:
        self._left -= 1
        if self._left < 0:
            raise NoPlaceholder("its values are too long")
        match type_:
            case str(name) | Primitive(name) if name in _SCALARS:
                return _SCALARS[name]
            case ListType() | FlagsType():
                return "[]"
            case OptionType():
                return "{}"
            case TupleType(elements):
                return f"[{', '.join(map(self.value, elements))}]"
            case EnumType(cases):
                return toml_string(cases[0])
            case RecordType(fields):
                return _table((name, self.value(field)) for name, field in fields)
            case VariantType(cases):
                # A case without a payload can be written whatever the others hold.
                name, payload = min(cases, key=lambda case: case[1] is not None)
                value = () if payload is None else (("value", self.value(payload)),)
                return _table((("case", toml_string(name)), *value))
            case ResultType(ok):
                return _table((("ok", "{}" if ok is None else self.value(ok)),))
        raise NoPlaceholder(f"a value of type {type_} cannot be written in TOML")


def _table(items: Iterable[tuple[str, str]]) -> str:
    inner = ", ".join(f"{key if _BARE.fullmatch(key) else toml_string(key)} = {value}" for key, value in items)
    return f"{{ {inner} }}"
