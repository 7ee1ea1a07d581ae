"""The reader of the world of a compiled component, which uses wasmtime's component types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wasmtime import component as wc

from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.stores import address
from pytest_airssys_wasm.runtime.errors import InvalidComponent
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    EnumType,
    FlagsType,
    FunctionType,
    FutureType,
    ListType,
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResourceType,
    ResultType,
    StreamType,
    TupleType,
    VariantType,
    WitType,
)
from pytest_airssys_wasm.runtime.wit.world import InterfaceType, Item, Opaque, World

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_TYPES = 100_000
"""The maximum number of parts in all types. Types may share parts, so that a small binary can describe an enormous
tree; real worlds have a few thousand parts.
"""
_MOST_NAMES = 5_000
"""The maximum number of names of imports, exports and items of interfaces. wasmtime searches linearly for each name, so
that 50,000 names take a minute.
"""
_MOST_RESOURCES = 1_000
"""The maximum number of resources. wasmtime can only compare two resources at a time."""

_PRIMITIVES = {
    name: Primitive(name.lower())
    for name in ("Bool", "S8", "U8", "S16", "U16", "S32", "U32", "S64", "U64", "F32", "F64", "Char", "String")
} | {"ErrorContext": Primitive("error-context")}


def read_world(component: Any, engine: Any, *, hidden: str | None = None) -> World:
    """Return the imports and exports of a `wasmtime.component.Component`, but for the export `hidden`.

    Raises `InvalidComponent` if the component has too many types, or types that are too large.
    """
    is_hidden = hidden is not None and component.get_export_index(hidden) is not None
    reader = _Reader(engine, _MOST_NAMES + is_hidden)
    type_ = component.type
    imports, exports = reader.imports(type_), reader.exports(type_, abi.component_type_export_count)
    if hidden is not None:
        exports.pop(hidden, None)
    return World(
        {name: reader.item(one, name) for name, one in imports.items()},
        {name: reader.item(one, name) for name, one in exports.items()},
    )


class _Reader:
    def __init__(self, engine: Any, most_names: int) -> None:
        self._engine = engine
        self._resources: list[tuple[Any, ResourceType]] = []
        self._left = _MOST_TYPES
        self._names_left = most_names

    def imports(self, type_: Any) -> dict[str, Any]:
        """Return the types of a component's imports, by name."""
        self._take_names(abi.component_type_import_count(address(type_), address(self._engine)))
        return {name: extern.ty for name, extern in type_.imports(self._engine).items()}

    def exports(self, type_: Any, count: Callable[[int, int], int]) -> dict[str, Any]:
        """Return the types of the exports of a component or an instance, by name."""
        self._take_names(count(address(type_), address(self._engine)))
        return {name: extern.ty for name, extern in type_.exports(self._engine).items()}

    def _take_names(self, count: int) -> None:
        self._names_left -= count
        if self._names_left < 0:
            raise InvalidComponent(f"the component has more than {_MOST_NAMES:,} imports and exports")

    def item(self, type_: Any, name: str) -> Item:
        match type_:
            case wc.FuncType():
                return self._function(type_)
            case wc.ComponentInstanceType():
                return self._interface(type_)
            case wc.ResourceType():
                return self._resource(type_, name)
            case wc.ModuleType():
                return Opaque("core module")
            case wc.ComponentType():
                return Opaque("component")
            case _:
                return self._value(type_)

    def _interface(self, type_: Any) -> InterfaceType:
        known = self.exports(type_, abi.component_instance_type_export_count)
        # Resources first: their names are needed to spell the functions.
        for name, one in known.items():
            if isinstance(one, wc.ResourceType):
                self._resource(one, name)
        return InterfaceType({name: self.item(one, name) for name, one in known.items()})

    def _function(self, type_: Any) -> FunctionType:
        params = tuple((name, self._value(param)) for name, param in type_.params)
        result = type_.result
        return FunctionType(params, None if result is None else self._value(result))

    def _resource(self, type_: Any, name: str) -> ResourceType:
        for known, resource in self._resources:
            if known == type_:
                return resource
        if len(self._resources) == _MOST_RESOURCES:
            raise InvalidComponent(f"the component has more than {_MOST_RESOURCES:,} resources")
        resource = ResourceType(name, len(self._resources))
        self._resources.append((type_, resource))
        return resource

    def _value(self, type_: Any) -> WitType:
        self._left -= 1
        if self._left < 0:
            raise InvalidComponent(f"the component's types have more than {_MOST_TYPES:,} parts")
        kind = type(type_).__name__
        if kind in _PRIMITIVES:
            return _PRIMITIVES[kind]
        match type_:
            case wc.ListType():
                return ListType(self._value(type_.element))
            case wc.RecordType():
                return RecordType(tuple((name, self._value(field)) for name, field in type_.fields))
            case wc.TupleType():
                return TupleType(tuple(self._value(element) for element in type_.elements))
            case wc.VariantType():
                return VariantType(tuple((name, self._maybe(payload)) for name, payload in type_.cases))
            case wc.EnumType():
                return EnumType(tuple(type_.names))
            case wc.FlagsType():
                return FlagsType(tuple(type_.names))
            case wc.OptionType():
                return OptionType(self._value(type_.payload))
            case wc.ResultType():
                return ResultType(self._maybe(type_.ok), self._maybe(type_.err))
            case wc.OwnType():
                return OwnType(self._resource(type_.ty, "resource"))
            case wc.BorrowType():
                return BorrowType(self._resource(type_.ty, "resource"))
            # The payload of these may be absent, which wasmtime-py's reader does not know: it is left out.
            case wc.FutureType():
                return FutureType(None)
            case wc.StreamType():
                return StreamType(None)
            case _:
                raise InvalidComponent(f"the component has a type that is not known: {kind}")

    def _maybe(self, type_: Any) -> WitType | None:
        return None if type_ is None else self._value(type_)
