"""WIT types as WIT text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    EnumType,
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
    from collections.abc import Mapping

    from pytest_airssys_wasm.runtime.wit.types import FlagsType, FunctionType, WitType

Names = Union["Mapping[WitType, str]", "dict[WitType, str]"]
"""Names that an interface gives to types."""


def spell(type_: WitType, names: Names | None = None) -> str:
    """A type as WIT text: by its name in `names`, else written out."""
    if names and type_ in names:
        return names[type_]
    if isinstance(type_, Primitive):
        return type_.name
    if isinstance(type_, (OwnType, BorrowType)):
        return str(type_.resource) if isinstance(type_, OwnType) else f"borrow<{type_.resource}>"
    if isinstance(type_, ListType):
        return f"list<{spell(type_.element, names)}>"
    if isinstance(type_, TupleType):
        return f"tuple<{', '.join(spell(element, names) for element in type_.elements)}>"
    if isinstance(type_, OptionType):
        return f"option<{spell(type_.payload, names)}>"
    if isinstance(type_, ResultType):
        ok = spell(type_.ok, names) if type_.ok else "_"
        if type_.err:
            return f"result<{ok}, {spell(type_.err, names)}>"
        return f"result<{ok}>" if type_.ok else "result"
    if isinstance(type_, (FutureType, StreamType)):
        name = "future" if isinstance(type_, FutureType) else "stream"
        return f"{name}<{spell(type_.payload, names)}>" if type_.payload else name
    keyword, members = definition(type_, names)
    return f"{keyword} {{ {', '.join(members)} }}"


def definition(
    type_: RecordType | VariantType | EnumType | FlagsType, names: Names | None = None
) -> tuple[str, list[str]]:
    """The keyword and the members of a type that WIT defines by name."""
    if isinstance(type_, RecordType):
        return "record", [f"{identifier(name)}: {spell(field, names)}" for name, field in type_.fields]
    if isinstance(type_, VariantType):
        return "variant", [
            identifier(name) + (f"({spell(payload, names)})" if payload else "") for name, payload in type_.cases
        ]
    if isinstance(type_, EnumType):
        return "enum", [*map(identifier, type_.cases)]
    return "flags", [*map(identifier, type_.names)]


def spell_function(function: FunctionType, names: Names | None = None) -> str:
    """A function's type as WIT text."""
    params = ", ".join(f"{identifier(name)}: {spell(type_, names)}" for name, type_ in function.params)
    result = f" -> {spell(function.result, names)}" if function.result else ""
    return f"{'async ' if function.is_async else ''}func({params}){result}"


_KEYWORDS = frozenset(
    [
        "as",
        "async",
        "bool",
        "borrow",
        "char",
        "constructor",
        "enum",
        "export",
        "f32",
        "f64",
        "flags",
        "from",
        "func",
        "future",
        "import",
        "include",
        "interface",
        "list",
        "map",
        "option",
        "own",
        "package",
        "record",
        "resource",
        "result",
        "s16",
        "s32",
        "s64",
        "s8",
        "static",
        "stream",
        "string",
        "tuple",
        "type",
        "u16",
        "u32",
        "u64",
        "u8",
        "use",
        "variant",
        "with",
        "world",
        "_",
    ]
)


def identifier(name: str) -> str:
    """A name as WIT text writes it: keywords take a `%`."""
    return "%" + name if name in _KEYWORDS else name
