"""The reader of the definitions in a component by which modules and components are instantiated.

Validation is left to wasmtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPONENT_MAGIC = b"\0asm\x0d\0\x01\0"
DEEPEST = 100
"""The maximum nesting of components that is read."""
_CORE = 0x100
CORE_MODULE = _CORE | 0x11
COMPONENT = 0x04
INSTANCE = 0x05


class ModuleDefinition(Struct, frozen=True):
    """A core module that is defined inside a component."""

    data: memoryview


class ComponentDefinition(Struct, frozen=True):
    """A component that is defined inside another component."""

    definitions: tuple[Definition, ...] | None
    """The definitions in the component; `None` if it is nested too deeply to be read."""


class CoreInstance(Struct, frozen=True):
    """A core instance."""

    module: int | None
    """The index of the module of the instance; `None` if the instance consists of exports of others."""
    arguments: int


class NamedItem(Struct, frozen=True):
    """A named argument or export, with its sort and its index in the index space of that sort."""

    name: bytes
    sort: int
    index: int


class ComponentInstance(Struct, frozen=True):
    """An instance of a component, or an instance that consists of other items."""

    component: int | None
    """The index of the component of the instance; `None` if the instance consists of `items`."""
    items: tuple[NamedItem, ...]
    """The arguments of the instantiation, or the exports of the instance."""


class OuterAlias(Struct, frozen=True):
    """An item of an enclosing component."""

    sort: int
    levels: int
    index: int


class ExportAlias(Struct, frozen=True):
    """An export of an instance."""

    sort: int
    instance: int
    name: bytes
    is_core: bool
    """Whether the instance is a core instance."""


class Import(Struct, frozen=True):
    """An import of the component."""

    name: bytes
    sort: int


class Export(Struct, frozen=True):
    """An export of the component, which is also a new item."""

    item: NamedItem


class TypeDefinitions(Struct, frozen=True):
    """A number of types."""

    number: int


class CanonicalFunctions(Struct, frozen=True):
    """A number of functions that lift and lower, or that are built in."""

    number: int


class Unknown(Struct, frozen=True):
    """The rest of a component, in an encoding that is newer than this reader."""


Definition: TypeAlias = (
    "ModuleDefinition | ComponentDefinition | CoreInstance | ComponentInstance | OuterAlias | ExportAlias | Import "
    "| Export | TypeDefinitions | CanonicalFunctions | Unknown"
)


class _NotKnown(Exception):
    """The internal error for an encoding that is newer than this reader."""


def read_component(data: memoryview, depth: int = 1) -> tuple[Definition, ...]:
    """Return the definitions of a component in their order, those of nested components included.

    Raises `Malformed` or `IndexError` for sections that are malformed.
    """
    if data[:8] != COMPONENT_MAGIC:
        raise Malformed("a nested component does not begin like a component")
    found: list[Definition] = []
    try:
        for section, body in Reader(data[8:]).sections():
            if section == 1:
                found.append(ModuleDefinition(body.data))
            elif section == 4:
                nested = read_component(body.data, depth + 1) if depth < DEEPEST else None
                found.append(ComponentDefinition(nested))
            elif section in (3, 7):
                found.append(TypeDefinitions(body.number(32)))
            elif section == 8:
                found.append(CanonicalFunctions(body.number(32)))
            elif section in _READERS:
                found.extend(_READERS[section](body))
    except _NotKnown:
        found.append(Unknown())
    return tuple(found)


def _core_instances(body: Reader) -> Iterator[Definition]:
    for _ in body.each():
        module = None if _choice(body, 2) else body.number(32)
        arguments = 0
        for _ in body.each():
            _text(body)
            body.byte()
            body.number(32)
            arguments += 1
        yield CoreInstance(module, arguments)


def _instances(body: Reader) -> Iterator[Definition]:
    for _ in body.each():
        component = None if _choice(body, 2) else body.number(32)
        name = _name if component is None else _text
        yield ComponentInstance(
            component, tuple(NamedItem(name(body), _sort(body), body.number(32)) for _ in body.each())
        )


def _aliases(body: Reader) -> Iterator[Definition]:
    for _ in body.each():
        sort, target = _sort(body), _choice(body, 3)
        if target == 2:
            yield OuterAlias(sort, body.number(32), body.number(32))
        else:
            yield ExportAlias(sort, body.number(32), _text(body), is_core=target == 1)


def _imports(body: Reader) -> Iterator[Definition]:
    for _ in body.each():
        yield Import(_name(body), _type_sort(body))


def _exports(body: Reader) -> Iterator[Definition]:
    for _ in body.each():
        item = NamedItem(_name(body), _sort(body), body.number(32))
        if _choice(body, 2):
            _type_sort(body)
        yield Export(item)


_READERS = {2: _core_instances, 5: _instances, 6: _aliases, 10: _imports, 11: _exports}


def _choice(body: Reader, count: int) -> int:
    choice = body.byte()
    if choice >= count:
        raise _NotKnown
    return choice


def _sort(body: Reader) -> int:
    sort = body.byte()
    return _CORE | body.byte() if sort == 0 else sort


def _text(body: Reader) -> bytes:
    return bytes(body.take(body.number(32)))


def _name(body: Reader) -> bytes:
    _choice(body, 2)
    return _text(body)


def _type_sort(body: Reader) -> int:
    """Skip the type of an import or export, and return its sort."""
    sort = _sort(body)
    if sort == 0x02:  # a value, which no runtime supports
        raise _NotKnown
    if sort != 0x03 or not _choice(body, 2):  # of the bounds of types, `sub resource` names no type
        body.number(32)
    return sort
