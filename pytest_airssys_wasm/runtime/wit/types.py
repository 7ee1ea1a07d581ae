"""The WIT types of values and functions, as plain data. The `str()` of each type is WIT text.

`spell`, `spell_function` and `definition` write the same text with the names that an interface defines for types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Spelled(Struct, frozen=True):
    def __str__(self) -> str:
        return spell(self)  # type: ignore[arg-type] # only the classes of WitType derive from this


class Primitive(_Spelled, frozen=True):
    """A primitive type, given by its name: `bool`, `s8` … `u64`, `f32`, `f64`, `char`, `string`, `error-context`."""

    name: str


class ListType(_Spelled, frozen=True):
    """The type `list<element>`."""

    element: WitType


class TupleType(_Spelled, frozen=True):
    """The type `tuple<elements>`."""

    elements: tuple[WitType, ...]


class RecordType(_Spelled, frozen=True):
    """The type `record { name: type }`."""

    fields: tuple[tuple[str, WitType], ...]


class VariantType(_Spelled, frozen=True):
    """The type `variant { case, case(payload) }`."""

    cases: tuple[tuple[str, WitType | None], ...]


class EnumType(_Spelled, frozen=True):
    """The type `enum { case }`."""

    cases: tuple[str, ...]


class FlagsType(_Spelled, frozen=True):
    """The type `flags { name }`."""

    names: tuple[str, ...]


class OptionType(_Spelled, frozen=True):
    """The type `option<payload>`."""

    payload: WitType


class ResultType(_Spelled, frozen=True):
    """The type `result<ok, err>`; `ok` or `err` is `None` if that case has no payload."""

    ok: WitType | None
    err: WitType | None


class ResourceType(Struct, frozen=True):
    """A resource, to which handles are passed.

    Resources of the same name are distinguished by their numbers within the world.
    """

    name: str
    number: int = 0

    def __str__(self) -> str:
        return identifier(self.name)


class OwnType(_Spelled, frozen=True):
    """The type `own<resource>` of an owned handle."""

    resource: ResourceType


class BorrowType(_Spelled, frozen=True):
    """The type `borrow<resource>` of a handle that is lent for the duration of a call."""

    resource: ResourceType


class FutureType(_Spelled, frozen=True):
    """The type `future<payload>`, which has no Python value."""

    payload: WitType | None


class StreamType(_Spelled, frozen=True):
    """The type `stream<payload>`, which has no Python value."""

    payload: WitType | None


DefinedType = RecordType | VariantType | EnumType | FlagsType
"""The type of a value that can be used in WIT only by a name, which an interface or a world defines."""

WitType = (
    Primitive
    | ListType
    | TupleType
    | DefinedType
    | OptionType
    | ResultType
    | OwnType
    | BorrowType
    | FutureType
    | StreamType
)
"""The type of a value."""


class FunctionType(Struct, frozen=True):
    """The type `func(name: type) -> result`; `result` is `None` for a function without a result."""

    params: tuple[tuple[str, WitType], ...]
    result: WitType | None
    is_async: bool = False

    def __str__(self) -> str:
        return spell_function(self)


def children(type_: WitType) -> Iterator[WitType]:
    """Yield the direct components of a type."""
    match type_:
        case ListType(element):
            yield element
        case TupleType(elements):
            yield from elements
        case RecordType(fields):
            yield from (field for _, field in fields)
        case VariantType(cases):
            yield from (payload for _, payload in cases if payload is not None)
        case OptionType(payload):
            yield payload
        case ResultType(ok, err):
            yield from (payload for payload in (ok, err) if payload is not None)
        case FutureType(payload) | StreamType(payload):
            if payload is not None:
                yield payload
        case Primitive() | EnumType() | FlagsType() | OwnType() | BorrowType():
            pass
        case _:
            assert_never(type_)


def value_types(function: FunctionType) -> Iterator[WitType]:
    """Yield the types of a function's parameters and of its result."""
    yield from (type_ for _, type_ in function.params)
    if function.result is not None:
        yield function.result


def without_python_value(function: FunctionType) -> WitType | None:
    """Return the first future, stream or error-context in a function's type, or `None`.

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


Names = Mapping[WitType, str]
"""The names that an interface defines for types."""


def spell(type_: WitType, names: Names | None = None) -> str:
    """Return a type as WIT text: its name in `names`, or else its definition."""
    if names and type_ in names:
        return names[type_]
    match type_:
        case Primitive(name):
            return name
        case ListType(element):
            return f"list<{spell(element, names)}>"
        case TupleType(elements):
            return f"tuple<{', '.join(spell(element, names) for element in elements)}>"
        case RecordType() | VariantType() | EnumType() | FlagsType():
            keyword, members = definition(type_, names)
            return f"{keyword} {{ {', '.join(members)} }}"
        case OptionType(payload):
            return f"option<{spell(payload, names)}>"
        case ResultType(ok, err):
            if err:
                return f"result<{spell(ok, names) if ok else '_'}, {spell(err, names)}>"
            return f"result<{spell(ok, names)}>" if ok else "result"
        case OwnType(resource):
            return str(resource)
        case BorrowType(resource):
            return f"borrow<{resource}>"
        case FutureType(payload):
            return f"future<{spell(payload, names)}>" if payload else "future"
        case StreamType(payload):
            return f"stream<{spell(payload, names)}>" if payload else "stream"
        case _:
            assert_never(type_)


def definition(type_: DefinedType, names: Names | None = None) -> tuple[str, list[str]]:
    """Return the keyword and the members of a type that has to be defined by a name."""
    match type_:
        case RecordType(fields):
            return "record", [f"{identifier(name)}: {spell(field, names)}" for name, field in fields]
        case VariantType(cases):
            return "variant", [
                identifier(name) + (f"({spell(payload, names)})" if payload else "") for name, payload in cases
            ]
        case EnumType(cases):
            return "enum", [*map(identifier, cases)]
        case FlagsType(flags):
            return "flags", [*map(identifier, flags)]
        case _:
            assert_never(type_)


def spell_function(function: FunctionType, names: Names | None = None) -> str:
    """Return a function's type as WIT text."""
    params = ", ".join(f"{identifier(name)}: {spell(type_, names)}" for name, type_ in function.params)
    result = f" -> {spell(function.result, names)}" if function.result else ""
    return f"{'async ' if function.is_async else ''}func({params}){result}"


_KEYWORDS = frozenset(
    """
    as async bool borrow char constructor enum export f32 f64 flags from func future import include interface
    list map option own package record resource result s16 s32 s64 s8 static stream string tuple type u16 u32
    u64 u8 use variant with world _
    """.split()  # noqa: SIM905 a list would have one keyword a line
)


def identifier(name: str) -> str:
    """Return a name as WIT text, with a `%` before keywords."""
    return "%" + name if name in _KEYWORDS else name
