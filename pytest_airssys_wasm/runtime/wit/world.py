"""Worlds and interfaces: the imports and exports of a component, as plain data. The `str()` of a world is WIT text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    DefinedType,
    EnumType,
    FlagsType,
    FunctionType,
    OwnType,
    RecordType,
    ResourceType,
    ResultType,
    VariantType,
    WitType,
    children,
    definition,
    identifier,
    spell,
    spell_function,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Opaque(Struct, frozen=True):
    """An item that is not described further: a core module or a component."""

    kind: str

    def __str__(self) -> str:
        return self.kind


class InterfaceType(Struct, frozen=True):
    """The functions and types of an interface, by name, in the order of the binary.

    Methods are functions named `[constructor]counter`, `[method]counter.add`, `[static]counter.make`.
    """

    items: Mapping[str, Item] = field(default_factory=dict)


Item = FunctionType | InterfaceType | ResourceType | Opaque | WitType
"""The item that a name denotes in a world or an interface."""


class World(Struct, frozen=True):
    """The imports and exports of a component, by name, in the order of the binary."""

    imports: Mapping[str, Item] = field(default_factory=dict)
    exports: Mapping[str, Item] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(_world(self)) + "\n"


def flatten(level: Mapping[str, Item], interface: str = "") -> Iterator[tuple[str, str, Item]]:
    """Yield `(interface, name, item)` for all imports or exports of a world; `interface` is `""` at the root.

    The interface of an instance inside an interface is `interface#instance`.
    """
    for name, item in level.items():
        if isinstance(item, InterfaceType):
            yield from flatten(item.items, full_name(interface, name))
        else:
            yield interface, name, item


def full_name(interface: str, name: str) -> str:
    """Return the full name of a function of an interface (empty for the root), by which the function is called or
    registered.
    """
    return f"{interface}#{name}" if interface else name


def functions(level: Mapping[str, Item]) -> dict[str, FunctionType]:
    """Return the types of all functions by their full names: `name`, or `interface#name`."""
    return {
        full_name(interface, name): item for interface, name, item in flatten(level) if isinstance(item, FunctionType)
    }


# The first place of each resource and each type that WIT defines by name: its interface ("" for the world), its name.
_Homes = dict["ResourceType | WitType", tuple[str, str]]

_INTERFACE_NAME = r"[^<>=/]+:[^<>=/]+/[^<>=/]+"


def _world(world: World) -> Iterator[str]:
    both = {**world.imports, **world.exports}
    # An interface may be imported and exported; it is one interface, of which each side shows what it uses.
    interfaces = {
        name: InterfaceType({**_items(world.imports.get(name)), **_items(world.exports.get(name))})
        for name, item in both.items()
        if isinstance(item, InterfaceType) and re.fullmatch(_INTERFACE_NAME, name)
    }
    homes: _Homes = {}
    for level in (world.imports, world.exports):
        for interface, name, item in flatten(level):
            if isinstance(item, (ResourceType, DefinedType)) and (interface in interfaces or not interface):
                homes.setdefault(item, (interface, name))
    own = {name: item for name, item in both.items() if not isinstance(item, InterfaceType)}
    yield from ("package root:component;", "", "world root {")
    uses, names = _names("", own, homes)
    yield from (f"  {line}" for line in uses)
    yield from _definitions("", own, homes, names, "  ")
    for direction, level in (("import", world.imports), ("export", world.exports)):
        for name, item in level.items():
            match item:
                case InterfaceType() if name in interfaces:
                    yield f"  {direction} {name};"
                case InterfaceType():
                    yield f"  {direction} {identifier(name)}: interface {{"
                    yield from _interface(name, item, homes, "    ")
                    yield "  }"
                case FunctionType():
                    yield f"  {direction} {identifier(name)}: {spell_function(item, names)};"
                case Opaque():
                    yield f"  // {direction} {name}: {item}"
                case _:
                    pass  # types and resources, which are defined above
    yield "}"
    packages: dict[str, list[str]] = {}
    for full, inner in interfaces.items():
        package, name = _package(full)
        lines = packages.setdefault(package, [])
        lines += [f"  interface {identifier(name)} {{", *_interface(full, inner, homes, "    "), "  }"]
    for package, lines in packages.items():
        yield from ("", f"package {package} {{", *lines, "}")


def _items(item: Item | None) -> Mapping[str, Item]:
    return item.items if isinstance(item, InterfaceType) else {}


def _interface(interface: str, inner: InterfaceType, homes: _Homes, indent: str) -> Iterator[str]:
    uses, names = _names(interface, inner.items, homes)
    yield from (indent + line for line in uses)
    yield from _definitions(interface, inner.items, homes, names, indent)
    for name, item in inner.items.items():
        match item:
            case FunctionType() if not name.startswith("["):
                yield f"{indent}{identifier(name)}: {spell_function(item, names)};"
            case InterfaceType():
                yield f"{indent}// {name}: interface"
            case Opaque():
                yield f"{indent}// {name}: {item}"
            case _:
                pass  # types and resources with their methods, which are defined above


def _names(interface: str, items: Mapping[str, Item], homes: _Homes) -> tuple[list[str], dict[WitType, str]]:
    """Return the `use` lines of an interface (or of the world, for `""`), and the names of its types."""
    uses = [
        (homes[item], name)
        for name, item in items.items()
        if isinstance(item, ResourceType) and homes.get(item, (interface,))[0] not in (interface, "")
    ]
    names: dict[WitType, str] = {}
    for name, item in items.items():
        if isinstance(item, DefinedType):
            names.setdefault(item, identifier(name))
        elif isinstance(item, ResourceType) and name != item.name:
            names[OwnType(item)] = identifier(name)
            names[BorrowType(item)] = f"borrow<{identifier(name)}>"
    for type_ in _mentioned(items):
        home, name = homes.get(type_, ("", ""))
        if type_ not in names and home not in (interface, "") and name not in items:
            names[type_] = identifier(name)
            uses.append(((home, name), name))
    return [
        f"use {_seen_from(interface, home)}.{{{identifier(name)}{'' if name == key else f' as {identifier(key)}'}}};"
        for (home, name), key in uses
    ], names


def _package(interface: str) -> tuple[str, str]:
    """Return the package of an interface, `ns:package@version`, and its name within the package."""
    package, _, rest = interface.partition("/")
    name, at, version = rest.partition("@")
    return package + at + version, name


def _seen_from(interface: str, home: str) -> str:
    """Return the name of an interface in the `use` statement of another one: the short name if both are in the same
    package.
    """
    package, name = _package(home)
    return identifier(name) if package == _package(interface)[0] else home


def _mentioned(items: Mapping[str, Item]) -> Iterator[WitType]:
    """Yield every type in these items that has to be defined by a name, the outermost first."""
    waiting: list[WitType] = []
    for item in items.values():
        match item:
            case FunctionType(params, result):
                waiting += [*(type_ for _, type_ in params), *([result] if result else [])]
            case InterfaceType() | ResourceType() | Opaque():
                pass
            case _:
                waiting.append(item)
    while waiting:
        type_ = waiting.pop(0)
        if isinstance(type_, DefinedType):
            yield type_
        waiting.extend(children(type_))


def _definitions(
    interface: str, items: Mapping[str, Item], homes: _Homes, names: dict[WitType, str], indent: str
) -> Iterator[str]:
    for name, item in items.items():
        match item:
            case ResourceType():
                if homes.get(item, (interface,))[0] in (interface, ""):
                    yield from _resource(name, items, names, indent)
            case RecordType() | VariantType() | EnumType() | FlagsType() if names[item] == identifier(name):
                keyword, members = definition(item, names)
                yield f"{indent}{keyword} {identifier(name)} {{ {', '.join(members)} }}"
            case FunctionType() | InterfaceType() | Opaque():
                pass
            case _:
                yield f"{indent}type {identifier(name)} = {spell(item, names)};"


def _resource(name: str, items: Mapping[str, Item], names: dict[WitType, str], indent: str) -> Iterator[str]:
    lines = []
    for full, item in items.items():
        role, _, rest = full.partition("]")
        resource, _, method = rest.partition(".")
        if not isinstance(item, FunctionType) or resource != name or not role.startswith("["):
            continue
        if role == "[constructor":
            # WIT leaves out the result of a constructor, unless the constructor can fail.
            result = item.result if isinstance(item.result, ResultType) else None
            text = spell_function(FunctionType(item.params, result), names).removeprefix("func")
            lines.append(f"{indent}  constructor{text};")
        elif role == "[static":
            lines.append(f"{indent}  {identifier(method)}: static {spell_function(item, names)};")
        else:
            own = FunctionType(item.params[1:], item.result, item.is_async)
            lines.append(f"{indent}  {identifier(method)}: {spell_function(own, names)};")
    if lines:
        yield f"{indent}resource {identifier(name)} {{"
        yield from lines
        yield f"{indent}}}"
    else:
        yield f"{indent}resource {identifier(name)};"
