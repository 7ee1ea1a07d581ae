"""The text of components without code that have imports of another one, to ask wasmtime which of them it provides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
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
    children,
    value_types,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_airssys_wasm.runtime.wit.types import DefinedType, WitType
    from pytest_airssys_wasm.runtime.wit.world import InterfaceType


class NotExpressible(Exception):
    """The error for imports that cannot be written as WebAssembly text."""


def component_importing(level: Mapping[str, InterfaceType], places: frozenset[tuple[str, str]]) -> str:
    """Return WebAssembly text of a component that imports these functions and resources, by interface and name.

    Resources that the functions use are imported too. Raises `NotExpressible`.
    """
    chosen = [level[interface].items[name] for interface, name in places]
    used = {item for item in chosen if isinstance(item, ResourceType)}
    used.update(_resources(type_ for item in chosen if isinstance(item, FunctionType) for type_ in value_types(item)))
    known: set[ResourceType] = set()
    lines = []
    for number, (interface, content) in enumerate(level.items()):
        functions = {
            name: item
            for name, item in content.items.items()
            if (interface, name) in places and isinstance(item, FunctionType)
        }
        resources = {
            name: item for name, item in content.items.items() if isinstance(item, ResourceType) and item in used
        }
        if functions or resources:
            body = "\n    ".join(_Interface(known).lines(resources, functions))
            lines.append(f'(import "{interface}" (instance $i{number}\n    {body}))')
            for name, resource in resources.items():
                if resource not in known:
                    known.add(resource)
                    lines.append(f'(alias export $i{number} "{name}" (type {_outer(resource)}))')
    return "\n  ".join(["(component", *lines]) + ")"


class _Interface:
    """The writer of the type of one imported instance."""

    def __init__(self, known: set[ResourceType]) -> None:
        self._known = known
        self._local: dict[ResourceType, str] = {}
        self._defined: dict[DefinedType, str] = {}
        self._lines: list[str] = []

    def lines(self, resources: Mapping[str, ResourceType], functions: Mapping[str, FunctionType]) -> Iterator[str]:
        for name, resource in resources.items():
            bound = f"(eq {self._resource(resource)})" if resource in self._known else "(sub resource)"
            local = f"$l{len(self._lines)}"
            self._lines.append(f'(export "{name}" (type {local} {bound}))')
            self._local[resource] = local
        for name, function in functions.items():
            params = "".join(f' (param "{param}" {self._type(type_)})' for param, type_ in function.params)
            result = "" if function.result is None else f" (result {self._type(function.result)})"
            self._lines.append(f'(export "{name}" (func{params}{result}))')
        yield from self._lines

    def _resource(self, resource: ResourceType) -> str:
        found = self._local.get(resource)
        if found is None:
            if resource not in self._known:
                raise NotExpressible(f"the resource {resource} comes out of no interface")
            found = self._local[resource] = f"$l{len(self._lines)}"
            self._lines.append(f"(alias outer 1 {_outer(resource)} (type {found}))")
        return found

    def _type(self, type_: WitType) -> str:
        match type_:
            case Primitive(name):
                return name
            case ListType(element):
                return f"(list {self._type(element)})"
            case TupleType(elements):
                return f"(tuple {' '.join(map(self._type, elements))})"
            case OptionType(payload):
                return f"(option {self._type(payload)})"
            case ResultType(ok, err):
                failure = f" (error {self._type(err)})" if err else ""
                return f"(result{f' {self._type(ok)}' if ok else ''}{failure})"
            case OwnType(resource):
                return f"(own {self._resource(resource)})"
            case BorrowType(resource):
                return f"(borrow {self._resource(resource)})"
            case RecordType() | VariantType() | EnumType() | FlagsType():
                return self._definition(type_)
            case FutureType() | StreamType():
                raise NotExpressible(str(type_))
            case _:
                assert_never(type_)

    def _definition(self, type_: DefinedType) -> str:
        """Return the local name of a type that functions can only use by name. wasmtime does not compare such names."""
        found = self._defined.get(type_)
        if found is None:
            match type_:
                case RecordType(fields):
                    text = "record" + "".join(f' (field "{name}" {self._type(field)})' for name, field in fields)
                case VariantType(cases):
                    text = "variant" + "".join(
                        f' (case "{name}"{f" {self._type(payload)}" if payload else ""})' for name, payload in cases
                    )
                case EnumType(names):
                    text = "enum" + "".join(f' "{name}"' for name in names)
                case FlagsType(names):
                    text = "flags" + "".join(f' "{name}"' for name in names)
                case _:
                    assert_never(type_)
            number = len(self._lines)
            found = self._defined[type_] = f"$t{number}"
            self._lines.append(
                f'(type $d{number} ({text})) (export "airssys-t{number}" (type {found} (eq $d{number})))'
            )
        return found


def _outer(resource: ResourceType) -> str:
    return f"$r{resource.number}"


def _resources(types: Iterable[WitType]) -> Iterator[ResourceType]:
    """Yield the resources in these types."""
    waiting, seen = list(types), set()
    while waiting:
        type_ = waiting.pop()
        if type_ in seen:
            continue
        seen.add(type_)
        if isinstance(type_, (OwnType, BorrowType)):
            yield type_.resource
        waiting.extend(children(type_))
