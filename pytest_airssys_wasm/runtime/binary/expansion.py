"""The cost of instantiating a guest for the compiler and the host, counted in its binary before it is compiled.

A component of a kilobyte can instantiate components that instantiate others, thirty levels deep: wasmtime writes out
every one of a billion instances, and the process ends when there is no memory left. And each instance takes memory for
its globals, functions and tables that no limit of wasmtime counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader, as_invalid_component
from pytest_airssys_wasm.runtime.binary.component_reader import (
    COMPONENT,
    COMPONENT_MAGIC,
    CORE_MODULE,
    INSTANCE,
    CanonicalFunctions,
    ComponentDefinition,
    ComponentInstance,
    CoreInstance,
    Definition,
    Export,
    ExportAlias,
    Import,
    ModuleDefinition,
    NamedItem,
    OuterAlias,
    TypeDefinitions,
    Unknown,
    read_component,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_DEFINITIONS = 100_000
"""The maximum number of definitions in nested instances. Real components were observed to have up to 4,700."""

_INSTANCE_BYTES = 512
"""The approximate bytes that an empty instance takes."""
_ITEM_BYTES = {2: 32, 3: 32, 4: 32, 5: 32, 6: 16, 9: 16, 11: 16, 13: 32}
"""The bytes that an instance takes for each import, function, table, memory, global, segment and tag, by the number of
the section. The sizes are those of wasmtime, rounded up, because it needs a function reference only for some functions.
"""
_CANONICAL_BYTES = 64
_CANONICAL_WEIGHT = 100
"""The number of definitions for which a canonical function counts: between two components it becomes an adapter, which
takes the compiler up to 10 ms.
"""


class Expansion(Struct, frozen=True, kw_only=True):
    """The sizes of an instantiated guest."""

    nested_definitions: int
    """The number of definitions in all instances of nested components. Counting ends above `MOST_DEFINITIONS`,
    and at components that are nested deeper than can be read.
    """
    instance_bytes: int
    """The bytes that the core instances take for globals, functions, tables and similar items, excluding memories and
    the elements of tables.
    """


def expand(binary: bytes) -> Expansion:
    """Return the expansion of a module or a component. Raises `InvalidComponent` for malformed sections."""
    data = memoryview(binary)
    with as_invalid_component("binary"):
        if data[:8] != COMPONENT_MAGIC:
            return Expansion(nested_definitions=0, instance_bytes=_instance_bytes(data))
        expander = _Expander()
        expander.run(read_component(data))
        return Expansion(nested_definitions=expander.nested, instance_bytes=expander.instance_bytes)


def _instance_bytes(module: memoryview) -> int:
    """Return the bytes that one instance of a module takes, from the counts at the beginning of its sections."""
    found = _INSTANCE_BYTES
    for section, body in Reader(module[8:]).sections():
        if section in _ITEM_BYTES:
            found += body.number(32) * _ITEM_BYTES[section]
    return found


_Value: TypeAlias = "int | _Nested | dict[bytes, _Value] | None"
"""An item: a core module, as the bytes of an instance; a component; an instance, as its exports by name; or `None`."""


class _Nested:
    """A component as a value: its definitions, and the frames of the components around it."""

    def __init__(self, definitions: tuple[Definition, ...], outer: tuple[_Frame, ...]) -> None:
        self.definitions = definitions
        self.outer = outer


class _Frame:
    """A component during its instantiation, with the items that were defined in it so far."""

    def __init__(self, nested: _Nested, arguments: Mapping[bytes, _Value]) -> None:
        self.left: Iterator[Definition] = iter(nested.definitions)
        self.scopes = (self, *nested.outer)
        self.arguments = arguments
        self.exports: dict[bytes, _Value] = {}
        self._spaces: dict[int, list[_Value]] = {CORE_MODULE: [], COMPONENT: [], INSTANCE: []}

    def define(self, sort: int, value: _Value) -> None:
        if sort in self._spaces:
            self._spaces[sort].append(value)

    def at(self, sort: int, index: int) -> _Value:
        space = self._spaces.get(sort)
        if space is None:
            return None
        if index >= len(space):
            raise Malformed(f"no item of the sort 0x{sort:02x} has the index {index}")
        return space[index]

    def named(self, items: tuple[NamedItem, ...]) -> dict[bytes, _Value]:
        return {item.name: self.at(item.sort, item.index) for item in items}


class _Expander:
    """The instantiation of a component, in which the definitions that wasmtime would write out are only counted.

    It keeps a stack of its own, because a component may be nested as deep as its binary is long.
    """

    def __init__(self) -> None:
        self.nested = 0
        self.instance_bytes = 0
        self._modules: dict[int, int] = {}

    def run(self, definitions: tuple[Definition, ...]) -> None:
        stack = [_Frame(_Nested(definitions, ()), {})]
        while stack and self.nested <= MOST_DEFINITIONS:
            frame = stack[-1]
            definition = next(frame.left, None)
            if definition is None:
                stack.pop()
                if stack:
                    stack[-1].define(INSTANCE, frame.exports)
                continue
            made = self._define(frame, definition)
            if len(stack) > 1:
                self.nested += _count(definition)
            if made is not None:
                stack.append(made)

    def _define(self, frame: _Frame, definition: Definition) -> _Frame | None:
        """Execute a definition. Return the frame of the component that it instantiates, or `None`."""
        match definition:
            case ModuleDefinition():
                frame.define(CORE_MODULE, self._module(definition))
            case ComponentDefinition(definitions):
                if definitions is None:
                    self.nested = MOST_DEFINITIONS + 1  # wasmtime reads it, however deep it is
                else:
                    frame.define(COMPONENT, _Nested(definitions, frame.scopes))
            case CoreInstance(module):
                taken = None if module is None else frame.at(CORE_MODULE, module)
                self.instance_bytes += taken if isinstance(taken, int) else 0
            case ComponentInstance(None, items):
                frame.define(INSTANCE, frame.named(items))
            case ComponentInstance(index, items):
                assert index is not None
                component = frame.at(COMPONENT, index)
                if isinstance(component, _Nested):
                    return _Frame(component, frame.named(items))
                frame.define(INSTANCE, None)
            case OuterAlias(sort, levels, index):
                if levels >= len(frame.scopes):
                    raise Malformed(f"no component is {levels} levels further out")
                frame.define(sort, frame.scopes[levels].at(sort, index))
            case ExportAlias(sort, index, name, is_core):
                instance = None if is_core else frame.at(INSTANCE, index)
                frame.define(sort, instance.get(name) if isinstance(instance, dict) else None)
            case Import(name, sort):
                frame.define(sort, frame.arguments.get(name))
            case Export(item):
                value = frame.at(item.sort, item.index)
                frame.exports[item.name] = value
                frame.define(item.sort, value)
            case CanonicalFunctions(number):
                self.instance_bytes += number * _CANONICAL_BYTES
            case TypeDefinitions() | Unknown():
                pass
            case _:
                assert_never(definition)
        return None

    def _module(self, definition: ModuleDefinition) -> int:
        found = self._modules.get(id(definition))
        if found is None:
            found = self._modules[id(definition)] = _instance_bytes(definition.data)
        return found


def _count(definition: Definition) -> int:
    match definition:
        case TypeDefinitions(number):
            return number
        case CanonicalFunctions(number):
            return number * _CANONICAL_WEIGHT
        case CoreInstance(_, arguments):
            return 1 + arguments
        case ComponentInstance(_, items):
            return 1 + len(items)
    return 1
