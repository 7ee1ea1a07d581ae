"""WIT types of values and functions, as plain data. `str()` of each is WIT text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class _Spelled:
    __slots__ = ()

    def __str__(self) -> str:
        return spell(self)  # type: ignore[arg-type] # only the classes of WitType derive from this


@dataclass(frozen=True, slots=True)
class Primitive(_Spelled):
    """`bool`, `s8` … `u64`, `f32`, `f64`, `char`, `string` or `error-context`."""

    name: str


@dataclass(frozen=True, slots=True)
class ListType(_Spelled):
    """`list<element>`."""

    element: WitType


@dataclass(frozen=True, slots=True)
class TupleType(_Spelled):
    """`tuple<elements>`."""

    elements: tuple[WitType, ...]


@dataclass(frozen=True, slots=True)
class RecordType(_Spelled):
    """`record { name: type }`."""

    fields: tuple[tuple[str, WitType], ...]


@dataclass(frozen=True, slots=True)
class VariantType(_Spelled):
    """`variant { case, case(payload) }`."""

    cases: tuple[tuple[str, WitType | None], ...]


@dataclass(frozen=True, slots=True)
class EnumType(_Spelled):
    """`enum { case }`."""

    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlagsType(_Spelled):
    """`flags { name }`."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptionType(_Spelled):
    """`option<payload>`."""

    payload: WitType


@dataclass(frozen=True, slots=True)
class ResultType(_Spelled):
    """`result<ok, err>`; `None` where that side has no payload."""

    ok: WitType | None
    err: WitType | None


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource type. Two of one name are told apart by their number within the world."""

    name: str
    number: int = 0

    def __str__(self) -> str:
        return identifier(self.name)


@dataclass(frozen=True, slots=True)
class OwnType(_Spelled):
    """An owned handle of a resource."""

    resource: Resource


@dataclass(frozen=True, slots=True)
class BorrowType(_Spelled):
    """A handle of a resource, lent for the duration of a call."""

    resource: Resource


@dataclass(frozen=True, slots=True)
class FutureType(_Spelled):
    """`future<payload>`. Has no Python value."""

    payload: WitType | None


@dataclass(frozen=True, slots=True)
class StreamType(_Spelled):
    """`stream<payload>`. Has no Python value."""

    payload: WitType | None


WitType = (
    Primitive
    | ListType
    | TupleType
    | RecordType
    | VariantType
    | EnumType
    | FlagsType
    | OptionType
    | ResultType
    | OwnType
    | BorrowType
    | FutureType
    | StreamType
)
"""The type of a value."""

Names = Union["Mapping[WitType, str]", "dict[WitType, str]"]
"""Names that an interface gives to types."""


@dataclass(frozen=True, slots=True)
class FunctionType:
    """`func(name: type) -> result`."""

    params: tuple[tuple[str, WitType], ...]
    result: WitType | None
    is_async: bool = False

    def __str__(self) -> str:
        return spell_function(self)


def children(type_: WitType) -> Iterator[WitType]:
    """The types that a type is directly made of."""
    if isinstance(type_, ListType):
        yield type_.element
    elif isinstance(type_, TupleType):
        yield from type_.elements
    elif isinstance(type_, RecordType):
        yield from (field_type for _, field_type in type_.fields)
    elif isinstance(type_, VariantType):
        yield from (payload for _, payload in type_.cases if payload is not None)
    elif isinstance(type_, ResultType):
        yield from (payload for payload in (type_.ok, type_.err) if payload is not None)
    elif isinstance(type_, (OptionType, FutureType, StreamType)) and type_.payload is not None:
        yield type_.payload


def without_python_value(function: FunctionType) -> WitType | None:
    """The first future, stream or error-context in a function's type, or `None`.

    Such a function must be neither called nor served: wasmtime's C API aborts the process when it meets one.
    """
    seen: set[int] = set()
    waiting = [*([function.result] if function.result else []), *(type_ for _, type_ in reversed(function.params))]
    while waiting:
        type_ = waiting.pop()
        if isinstance(type_, (FutureType, StreamType)) or type_ == Primitive("error-context"):
            return type_
        if id(type_) not in seen:
            seen.add(id(type_))
            waiting.extend(reversed([*children(type_)]))
    return None


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
