"""The resources that a guest declares to need, read before any of its code has run, and their comparison with the
limits.

Code is skipped, so that reading large guests takes milliseconds. Validation is left to wasmtime.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, as_invalid_component
from pytest_airssys_wasm.runtime.binary.component_reader import (
    COMPONENT,
    COMPONENT_MAGIC,
    CORE_MODULE,
    ComponentDefinition,
    ComponentInstance,
    CoreInstance,
    Definition,
    Export,
    ExportAlias,
    Import,
    ModuleDefinition,
    OuterAlias,
    Unknown,
    read_component,
)
from pytest_airssys_wasm.runtime.binary.sections import read_contents

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

_LISTED = 64
"""The maximum number of memories and data segments that are listed. A component may instantiate a module any number of
times.
"""
_MODULE = b"\0asm\x01\0\0\0"


class MisplacedData(Struct, frozen=True, kw_only=True):
    """A data segment that does not fit into its memory, so that instantiation will trap."""

    number: int
    """The number of the segment in its module, from 0."""
    end_bytes: int
    """The byte at which the segment would end."""
    memory_bytes: int
    """The initial size of the memory, in bytes."""


class Needs(Struct, frozen=True, kw_only=True):
    """The minimum resources that instantiating a guest takes.

    Those of a component include all of its core instances, also nested ones.
    """

    memory_bytes: int = 0
    """The initial size in bytes of all memories that the guest defines. Imported memories belong to other instances."""
    each_memory_bytes: tuple[int, ...] = ()
    """The initial size in bytes of each memory that the guest defines; at most the first 64."""
    memories: int = 0
    """The number of memories that the guest defines."""
    has_memory64: bool = False
    """Whether any memory has 64-bit addresses."""
    tables: int = 0
    """The number of tables that the guest defines."""
    table_elements: int = 0
    """The initial number of elements of the largest table that the guest defines."""
    instances: int = 0
    """The number of core instances. wasmtime may add instances if components call each other."""
    data_bytes: int = 0
    """The bytes of all data segments, passive ones included."""
    misplaced_data: tuple[MisplacedData, ...] = ()
    """The data segments that do not fit into their memories, at most the first 64."""
    is_complete: bool = True
    """Whether all figures are complete. Otherwise they are lower bounds: the guest imports modules, or has an encoding
    that this reader does not know.
    """


_UNKNOWN_MODULE = Needs(instances=1, is_complete=False)
_UNKNOWN = Needs(is_complete=False)


def read_needs(binary: bytes) -> Needs:
    """Return the needs that a module or a component declares.

    Raises `InvalidComponent` for anything else, and for malformed sections. A binary that is accepted here may still be
    invalid.
    """
    data = memoryview(binary)
    with as_invalid_component("binary"):
        if data[:8] == _MODULE:
            return _module(data)
        if data[:8] == COMPONENT_MAGIC:
            return _Component((), read_component(data)).needs()
        raise Malformed("neither a module nor a component")


class Excess(Struct, frozen=True, kw_only=True):
    """A need that exceeds a limit, so that a guest cannot be instantiated. Its `str()` is a clause for messages."""

    resource: str
    """The name of the limit: `memory`, `memories`, `tables`, `table-elements` or `instances`; `data` for a segment that
    does not fit into its memory.
    """
    needed: int
    """The amount that is needed, in the unit of `limit`."""
    limit: int
    """The limit, in bytes for `memory` and `data`, otherwise as a count."""
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def exceeded(needs: Needs, limits: ResourceLimits) -> tuple[Excess, ...]:
    """Return the needs that exceed the limits. Each of them makes instantiation fail."""
    least = "" if needs.is_complete else "at least "
    found = []

    def check(resource: str, needed: int, limit: int, sentence: str) -> None:
        if needed > limit:
            found.append(Excess(resource=resource, needed=needed, limit=limit, sentence=sentence))

    memories = _count(needs.memories, "memory", "memories")
    check(
        "memory",
        needs.memory_bytes,
        limits.memory,
        f"declares {least}{_size(needs.memory_bytes)} of initial memory ({memories}), "
        f"the limit is {_size(limits.memory)}",
    )
    check("memories", needs.memories, limits.memories, f"declares {least}{memories}, the limit is {limits.memories:,}")
    check(
        "tables",
        needs.tables,
        limits.tables,
        f"declares {least}{_count(needs.tables, 'table', 'tables')}, the limit is {limits.tables:,}",
    )
    check(
        "table-elements",
        needs.table_elements,
        limits.table_elements,
        f"declares a table of {_count(needs.table_elements, 'element', 'elements')}, "
        f"the limit is {limits.table_elements:,}",
    )
    check(
        "instances",
        needs.instances,
        limits.instances,
        f"consists of {least}{_count(needs.instances, 'core instance', 'core instances')}, "
        f"the limit is {limits.instances:,}",
    )
    for data in needs.misplaced_data[:1]:
        check(
            "data",
            data.end_bytes,
            data.memory_bytes,
            f"data segment {data.number} ends at byte {data.end_bytes:,} of a memory that begins with "
            f"{data.memory_bytes:,} bytes: instantiation will trap",
        )
    return tuple(found)


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _size(size_bytes: int) -> str:
    """Return an exact size as text, so that a size and a limit that differ by one byte are shown differently."""
    for unit, unit_bytes in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes and not size_bytes % unit_bytes:
            return f"{size_bytes // unit_bytes:,} {unit}"
    return counted(size_bytes, "byte")


def _together(parts: Iterable[Needs]) -> Needs:
    """Return the sum of the needs of all parts."""
    parts = list(parts)
    return Needs(
        memory_bytes=sum(part.memory_bytes for part in parts),
        each_memory_bytes=tuple(islice(chain.from_iterable(part.each_memory_bytes for part in parts), _LISTED)),
        memories=sum(part.memories for part in parts),
        has_memory64=any(part.has_memory64 for part in parts),
        tables=sum(part.tables for part in parts),
        table_elements=max((part.table_elements for part in parts), default=0),
        instances=sum(part.instances for part in parts),
        data_bytes=sum(part.data_bytes for part in parts),
        misplaced_data=tuple(islice(chain.from_iterable(part.misplaced_data for part in parts), _LISTED)),
        is_complete=all(part.is_complete for part in parts),
    )


def _module(data: memoryview) -> Needs:
    if data[:8] != _MODULE:
        raise Malformed("a component is instantiated as a core module")
    contents = read_contents(data)
    memories = [memory for memory in contents.memories if not memory.is_imported]
    tables = [table for table in contents.tables if not table.is_imported]
    misplaced = []
    for segment in contents.active_data:
        if segment.memory >= len(contents.memories):
            raise Malformed(f"data segment {segment.number} is for memory {segment.memory}, which does not exist")
        memory = contents.memories[segment.memory]
        if segment.offset is not None and not memory.is_imported:
            end_bytes = segment.offset % 2 ** (64 if memory.is_64 else 32) + segment.size_bytes
            if end_bytes > memory.minimum_bytes:
                misplaced.append(
                    MisplacedData(number=segment.number, end_bytes=end_bytes, memory_bytes=memory.minimum_bytes)
                )
    sizes = [memory.minimum_bytes for memory in memories]
    alone = Needs(
        memory_bytes=sum(sizes),
        each_memory_bytes=tuple(sizes),
        memories=len(memories),
        has_memory64=any(memory.is_64 for memory in memories),
        tables=len(tables),
        table_elements=max((table.minimum for table in tables), default=0),
        instances=1,
        data_bytes=contents.data_bytes,
        misplaced_data=tuple(misplaced),
    )
    return _together([alone])  # cuts the lists


class _Component:
    """The needs of one component, with its modules and components by index, and the needs of its instances."""

    def __init__(self, outer: tuple[_Component, ...], definitions: tuple[Definition, ...]) -> None:
        self._scopes = (self, *outer)
        self._definitions = definitions
        self._known: dict[int, list[Needs]] = {CORE_MODULE: [], COMPONENT: []}
        self._parts: list[Needs] = []

    def needs(self) -> Needs:
        for definition in self._definitions:
            self._define(definition)
        return _together(self._parts)

    def _define(self, definition: Definition) -> None:
        match definition:
            case ModuleDefinition(data):
                self._known[CORE_MODULE].append(_module(data))
            case ComponentDefinition(definitions):
                nested = _UNKNOWN if definitions is None else _Component(self._scopes, definitions).needs()
                self._known[COMPONENT].append(nested)
            case CoreInstance(int(module)):
                self._parts.append(self._at(CORE_MODULE, module))
            case ComponentInstance(int(component)):
                self._parts.append(self._at(COMPONENT, component))
            case OuterAlias(sort, levels, index):
                if levels >= len(self._scopes):
                    raise Malformed(f"no component is {levels} levels further out")
                if sort in self._known:
                    self._known[sort].append(self._scopes[levels]._at(sort, index))
            case ExportAlias(sort=sort) | Import(sort=sort):
                if sort in self._known:
                    self._known[sort].append(_UNKNOWN_MODULE if sort == CORE_MODULE else _UNKNOWN)
            case Export(item):
                if item.sort in self._known:
                    self._known[item.sort].append(self._at(item.sort, item.index))
            case Unknown():
                self._parts.append(_UNKNOWN)

    def _at(self, sort: int, index: int) -> Needs:
        known = self._known[sort]
        if index >= len(known):
            raise Malformed(f"no {'module' if sort == CORE_MODULE else 'component'} has the index {index}")
        return known[index]
