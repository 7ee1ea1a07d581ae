"""WIT types as plain data: of values, functions, interfaces and worlds. `str()` of each is WIT text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Names = Mapping["WitType", str]


@dataclass(frozen=True, slots=True)
class Primitive:
    """`bool`, `s8` … `u64`, `f32`, `f64`, `char`, `string` or `error-context`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListType:
    """`list<element>`."""

    element: WitType

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class TupleType:
    """`tuple<elements>`."""

    elements: tuple[WitType, ...]

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class RecordType:
    """`record { name: type }`."""

    fields: tuple[tuple[str, WitType], ...]

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class VariantType:
    """`variant { case, case(payload) }`."""

    cases: tuple[tuple[str, WitType | None], ...]

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class EnumType:
    """`enum { case }`."""

    cases: tuple[str, ...]

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class FlagsType:
    """`flags { name }`."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class OptionType:
    """`option<payload>`."""

    payload: WitType

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class ResultType:
    """`result<ok, err>`; `None` where that side has no payload."""

    ok: WitType | None
    err: WitType | None

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource type. Two of one name are told apart by their number within the world."""

    name: str
    number: int = 0

    def __str__(self) -> str:
        return identifier(self.name)


@dataclass(frozen=True, slots=True)
class OwnType:
    """An owned handle of a resource."""

    resource: Resource

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class BorrowType:
    """A handle of a resource, lent for the duration of a call."""

    resource: Resource

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class FutureType:
    """`future<payload>`. Has no Python value."""

    payload: WitType | None

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True, slots=True)
class StreamType:
    """`stream<payload>`. Has no Python value."""

    payload: WitType | None

    def __str__(self) -> str:
        return spell(self)


WitType = Union[
    Primitive,
    ListType,
    TupleType,
    RecordType,
    VariantType,
    EnumType,
    FlagsType,
    OptionType,
    ResultType,
    OwnType,
    BorrowType,
    FutureType,
    StreamType,
]
"""The type of a value."""


@dataclass(frozen=True, slots=True)
class FunctionType:
    """`func(name: type) -> result`."""

    params: tuple[tuple[str, WitType], ...]
    result: WitType | None
    is_async: bool = False

    def __str__(self) -> str:
        return spell_function(self)


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that cannot be described further: a `core module` or a `component`."""

    kind: str

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class Interface:
    """What an instance imports or exports, by name, in the order of the binary.

    Methods are functions named `[constructor]counter`, `[method]counter.add`, `[static]counter.make`.
    """

    items: Mapping[str, Item] = field(default_factory=dict)

    @property
    def functions(self) -> dict[str, FunctionType]:
        """The functions among the items, methods included."""
        return {name: item for name, item in self.items.items() if isinstance(item, FunctionType)}


Item = Union[FunctionType, Interface, Resource, Opaque, WitType]
"""What a name in a world or an interface stands for."""


@dataclass(frozen=True, slots=True)
class World:
    """All that a component imports and exports, by name, in the order of the binary."""

    imports: Mapping[str, Item] = field(default_factory=dict)
    exports: Mapping[str, Item] = field(default_factory=dict)

    def __str__(self) -> str:
        from pytest_airssys_wasm.runtime.wit_text import world_text

        return world_text(self)


def children(type_: WitType) -> Iterator[WitType]:
    """The types that a type is directly made of."""
    if isinstance(type_, (ListType,)):
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
