"""Worlds and interfaces: what a component imports and exports. `str()` of a world is WIT text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.wit import (
    EnumType,
    FlagsType,
    FunctionType,
    RecordType,
    Resource,
    VariantType,
    WitType,
    definition,
    identifier,
    spell,
    spell_function,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that cannot be described further: a core module, a component, or a type beyond this reader."""

    kind: str

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class Interface:
    """What an instance imports or exports, by name, in the order of the binary.

    Methods are functions named `[constructor]counter`, `[method]counter.add`, `[static]counter.make`.
    """

    items: Mapping[str, Item] = field(default_factory=dict)


Item = FunctionType | Interface | Resource | Opaque | WitType
"""What a name in a world or an interface stands for."""


@dataclass(frozen=True, slots=True)
class World:
    """All that a component imports and exports, by name, in the order of the binary."""

    imports: Mapping[str, Item] = field(default_factory=dict)
    exports: Mapping[str, Item] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = ["package root:component;", "", "world root {"]
        for direction, level in (("import", self.imports), ("export", self.exports)):
            names = _names(level)
            for name, item in level.items():
                if isinstance(item, Interface) and ":" in name:
                    lines.append(f"  {direction} {name};")
                elif isinstance(item, Interface):
                    lines += [f"  {direction} {name}: interface {{", *_body(item.items, "    "), "  }"]
                elif isinstance(item, FunctionType):
                    lines.append(f"  {direction} {identifier(name)}: {spell_function(item, names)};")
                elif direction == "import":
                    lines += _body({name: item}, "  ")
        lines.append("}")
        for name, interface in {**self.imports, **self.exports}.items():
            if isinstance(interface, Interface) and ":" in name:
                package, _, rest = name.partition("/")
                short, _, version = rest.partition("@")
                lines += ["", f"package {package}{'@' + version if version else ''} {{", f"  interface {short} {{"]
                lines += [*_body(interface.items, "    "), "  }", "}"]
        return "\n".join(lines) + "\n"


def flatten(level: Mapping[str, Item]) -> Iterator[tuple[str, str, Item]]:
    """`(interface or "", name, item)` of everything in a world's imports or exports."""
    for name, item in level.items():
        if isinstance(item, Interface):
            yield from ((name, inner, inner_item) for inner, inner_item in item.items.items())
        else:
            yield "", name, item


def functions(level: Mapping[str, Item]) -> dict[str, FunctionType]:
    """Every function by its full name: `name`, or `interface#name`."""
    return {
        (f"{interface}#{name}" if interface else name): item
        for interface, name, item in flatten(level)
        if isinstance(item, FunctionType)
    }


def _names(items: Mapping[str, Item]) -> dict[WitType, str]:
    return {
        item: identifier(name)
        for name, item in items.items()
        if isinstance(item, (RecordType, VariantType, EnumType, FlagsType))
    }


def _body(items: Mapping[str, Item], indent: str) -> Iterator[str]:
    names = _names(items)
    for name, item in items.items():
        if isinstance(item, FunctionType):
            if not name.startswith("["):
                yield f"{indent}{identifier(name)}: {spell_function(item, names)};"
        elif isinstance(item, Resource):
            yield from _resource(name, items, names, indent)
        elif isinstance(item, (RecordType, VariantType, EnumType, FlagsType)):
            keyword, members = definition(item, {k: v for k, v in names.items() if k != item})
            yield f"{indent}{keyword} {identifier(name)} {{ {', '.join(members)} }}"
        elif isinstance(item, (Interface, Opaque)):
            yield f"{indent}// {name}: {item}"
        else:
            yield f"{indent}type {identifier(name)} = {spell(item, names)};"


def _resource(name: str, items: Mapping[str, Item], names: dict[WitType, str], indent: str) -> Iterator[str]:
    lines = []
    for full, item in items.items():
        role, _, rest = full.partition("]")
        resource, _, method = rest.partition(".")
        if not isinstance(item, FunctionType) or resource != name or not role.startswith("["):
            continue
        text = spell_function(item, names)
        if role == "[constructor":
            lines.append(f"{indent}  constructor{text.removeprefix('func').partition(' -> ')[0]};")
        elif role == "[static":
            lines.append(f"{indent}  {identifier(method)}: static {text};")
        else:
            own = FunctionType(item.params[1:], item.result, item.is_async)
            lines.append(f"{indent}  {identifier(method)}: {spell_function(own, names)};")
    if lines:
        yield f"{indent}resource {identifier(name)} {{"
        yield from lines
        yield f"{indent}}}"
    else:
        yield f"{indent}resource {identifier(name)};"
