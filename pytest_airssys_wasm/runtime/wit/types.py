"""WIT types of values and functions, as plain data. `str()` of each is WIT text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Spelled:
    __slots__ = ()

    def __str__(self) -> str:
        from pytest_airssys_wasm.runtime.wit.text import spell

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
        from pytest_airssys_wasm.runtime.wit.text import identifier

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


@dataclass(frozen=True, slots=True)
class FunctionType:
    """`func(name: type) -> result`."""

    params: tuple[tuple[str, WitType], ...]
    result: WitType | None
    is_async: bool = False

    def __str__(self) -> str:
        from pytest_airssys_wasm.runtime.wit.text import spell_function

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


def value_types(function: FunctionType) -> Iterator[WitType]:
    """Yield the types of a function's parameters and of its result."""
    yield from (type_ for _, type_ in function.params)
    if function.result is not None:
        yield function.result


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
