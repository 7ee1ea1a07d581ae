"""The components of the Component Model: their worlds, and the converters of their exports."""

from __future__ import annotations

from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.plain_layout import plain_layout
from pytest_airssys_wasm.runtime.convert.transfer import fixed_size
from pytest_airssys_wasm.runtime.guest.class_names import by_class_name
from pytest_airssys_wasm.runtime.guest.component import Component, Items, UnknownExport, check_argument_count
from pytest_airssys_wasm.runtime.guest.wasi_provided import unprovided
from pytest_airssys_wasm.runtime.host.unmet_imports import is_wasi, unmet_wit_imports
from pytest_airssys_wasm.runtime.lift.exported import lifted_export
from pytest_airssys_wasm.runtime.lift.layout import signature_of
from pytest_airssys_wasm.runtime.lift.names import CALL, POST_RETURN, REALLOC, function_name, instance_name
from pytest_airssys_wasm.runtime.wit.reader import read_world
from pytest_airssys_wasm.runtime.wit.types import (
    FunctionType,
    ListType,
    Primitive,
    ResourceType,
    children,
    value_types,
    without_python_value,
)
from pytest_airssys_wasm.runtime.wit.world import Opaque, World, flatten, functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_airssys_wasm.runtime.convert.plain_layout import PlainLayout
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.host.unmet_imports import UnmetImport
    from pytest_airssys_wasm.runtime.lift.exported import LiftedExport
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
    from pytest_airssys_wasm.runtime.wit.types import WitType
    from pytest_airssys_wasm.runtime.wit.world import Item


class WitExport(Struct, frozen=True):
    """An exported function that can be called, with its converters."""

    index: Any
    """The index of the export in wasmtime."""
    type: FunctionType
    lower: tuple[Any, ...]
    """The converters of the parameters."""
    lift: Any
    """The converter of the result; `None` for a function without a result."""
    fixed_bytes: int
    """The bytes charged for each call, besides the content of its lists and strings."""
    texts: int | None
    """The greatest number of strings in the result; `None` if it contains lists, so that there is no limit."""
    plain: PlainLayout | None
    """The layout of its C values, if all of them are numbers and bools."""
    takes_lists: bool
    """Whether there are lists in the parameters."""


class WitComponent(Component):
    """A Component Model component."""

    kind = "component"

    def __init__(self, **known: Any) -> None:
        super().__init__(**known)
        self._exports: dict[str, WitExport] = {}
        self._prefixes: dict[ResourceType, str] = {}
        self._lifted: dict[str, LiftedExport | None] = {}

    @cached_property
    def world(self) -> World:
        """The world of the component: its imports and exports. Its `str()` is WIT text."""
        return read_world(self.raw, self.engine, hidden=instance_name(self.digest))

    @cached_property
    def exports(self) -> Items:
        # Without a reference to the component, which would be part of a cycle then.
        exports = self.world.exports
        return Items(exports, lambda: str(World(exports=exports)))

    @cached_property
    def imports(self) -> Items:
        imports = self.world.imports
        return Items(imports, lambda: str(World(imports=imports)))

    @cached_property
    def _functions(self) -> dict[str, FunctionType]:
        return functions(self.exports)

    @cached_property
    def uses_resources(self) -> bool:
        """Whether the component imports or exports a resource."""
        levels = (self.imports, self.exports)
        return any(isinstance(item, ResourceType) for level in levels for _, _, item in flatten(level))

    def function_names(self) -> Mapping[str, str]:
        return self._function_texts

    @cached_property
    def _function_texts(self) -> Mapping[str, str]:
        return MappingProxyType({name: str(function) for name, function in self._functions.items()})

    def parameter_types(self, function: str) -> tuple[WitType, ...]:
        if function not in self._functions:
            raise UnknownExport.among(self, function, self._functions)
        return tuple(type_ for _, type_ in self._functions[function].params)

    def parameter_names(self, function: str) -> tuple[str, ...]:
        if function not in self._functions:
            raise UnknownExport.among(self, function, self._functions)
        return tuple(name for name, _ in self._functions[function].params)

    def result_types(self, function: str) -> tuple[WitType, ...]:
        if function not in self._functions:
            raise UnknownExport.among(self, function, self._functions)
        result = self._functions[function].result
        return () if result is None else (result,)

    @cached_property
    def resources(self) -> dict[str, dict[str, tuple[str, ...]]]:
        names: dict[str, list[str]] = {}
        for full in self._functions:
            interface, name = self.place_of(full)
            names.setdefault(interface, []).append(name)
        return {interface: by_class_name(inner) for interface, inner in names.items()}

    def prefix_of(self, resource: ResourceType) -> str:
        """Return the prefix of the names of this exported resource's functions: `iface#`, or an empty string."""
        # Asked for each handle that is dropped, of which there may be thousands.
        prefix = self._prefixes.get(resource)
        if prefix is None:
            place = _place_of(self.exports, resource)
            prefix = self._prefixes[resource] = f"{place[0]}#" if place and place[0] else ""
        return prefix

    def import_of(self, resource: ResourceType) -> tuple[str, str] | None:
        """Return the interface and the name under which this resource is imported."""
        return _place_of(self.imports, resource)

    @cached_property
    def own_imports(self) -> Mapping[str, Item]:
        """The imports that are not those of WASI."""
        return {name: item for name, item in self.imports.items() if not is_wasi(name)}

    def unmet_imports(self, host: HostFunctions | None, wasi: Wasi | None) -> Iterator[UnmetImport]:
        if wasi is not None and not self._unprovided_wasi:
            return unmet_wit_imports(self.own_imports, host, {})  # of WASI there are hundreds
        return unmet_wit_imports(self.imports, host, self._unprovided_wasi if wasi is not None else None)

    def needed_from_host(self) -> Iterator[tuple[str, str]]:
        for interface, name, item in flatten(self.imports):
            if isinstance(item, (FunctionType, ResourceType, Opaque)):
                yield interface, name

    @cached_property
    def _unprovided_wasi(self) -> Mapping[tuple[str, str], str]:
        return unprovided(self.engine, self.imports)

    @cached_property
    def calls_out(self) -> bool:
        return any(isinstance(item, (FunctionType, ResourceType, Opaque)) for _, _, item in flatten(self.imports))

    def text_results(self, function: str) -> int | None:
        found = self._exports.get(function)
        return 0 if found is None else found.texts

    @cached_property
    def _lifts(self) -> Any:
        """The index of the instance of scalar lifts in wasmtime; `None` if the compiled component has none."""
        return None if self.uses_resources else self.raw.get_export_index(instance_name(self.digest))

    def lifted(self, function: str) -> LiftedExport | None:
        """Return the scalar lift of an exported function; `None` if there is none."""
        if function not in self._lifted:
            self._lifted[function] = self._find_lifted(function)
        return self._lifted[function]

    def _find_lifted(self, function: str) -> LiftedExport | None:
        type_ = self._functions[function]
        signature = signature_of([param for _, param in type_.params], type_.result)
        if signature is None or self._lifts is None:
            return None
        found = {
            role: self.raw.get_export_index(function_name(role, function), self._lifts)
            for role in (CALL, REALLOC, POST_RETURN)
        }
        if found[CALL] is None:
            return None
        return lifted_export(signature, {role: index for role, index in found.items() if index is not None})

    def check_call(self, function: str, count: int) -> WitExport:
        found = self._exports.get(function) or self._find(function)
        if len(found.lower) != count:
            check_argument_count(function, [f"{name}: {type_}" for name, type_ in found.type.params], count)
        return found

    def _find(self, function: str) -> WitExport:
        type_ = self._functions.get(function)
        if type_ is None:
            raise UnknownExport.among(self, function, self._functions)
        odd = without_python_value(type_)
        if odd is not None:
            raise TypeError(f"{printable(function)}: values of type {odd} have no Python value")
        index = None
        for part in function.split("#"):  # the interfaces around it, and the function
            index = self.raw.get_export_index(part, index)
        found = WitExport(
            index=index,
            type=type_,
            lower=tuple(compile_lower(param) for _, param in type_.params),
            lift=None if type_.result is None else compile_lift(type_.result),
            fixed_bytes=sum(map(fixed_size, value_types(type_))),
            texts=0 if type_.result is None else _texts(type_.result),
            plain=plain_layout(type_),
            takes_lists=any(_texts(param) is None for _, param in type_.params),
        )
        self._exports[function] = found
        return found


@lru_cache(maxsize=4_096)
def _texts(type_: WitType) -> int | None:
    """Return the greatest number of strings in a value of this type; `None` if it has lists."""
    if isinstance(type_, ListType):
        return None
    counts = [_texts(part) for part in children(type_)]
    if any(count is None for count in counts):
        return None
    return sum(count for count in counts if count) + (type_ == Primitive("string"))


def _place_of(level: Mapping[str, Item], resource: ResourceType) -> tuple[str, str] | None:
    return next(((interface, name) for interface, name, item in flatten(level) if item == resource), None)
