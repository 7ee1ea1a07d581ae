"""Reads what a guest needs from its sections. Code is passed over, so that megabytes of it take milliseconds."""

from __future__ import annotations

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader, as_invalid_component
from pytest_airssys_wasm.runtime.binary.needs import MisplacedData, Needs, together
from pytest_airssys_wasm.runtime.binary.sections import read_contents

_MODULE = b"\0asm\x01\0\0\0"
_COMPONENT = b"\0asm\x0d\0\x01\0"
_DEEPEST = 100
"""Components within components. Of what is deeper nothing is known."""
_CORE = 0x100
_CORE_MODULE = _CORE | 0x11
_COMPONENT_SORT = 0x04
_UNKNOWN_MODULE = Needs(instances=1, is_complete=False)
_UNKNOWN = Needs(is_complete=False)


def read_needs(binary: bytes) -> Needs:
    """What a module or a component declares that it needs.

    Raises `InvalidComponent` for anything else, and where its sections are malformed. wasmtime stays the judge of
    what is valid: a binary that is read here may still be none.
    """
    data = memoryview(binary)
    with as_invalid_component("binary"):
        if data[:8] == _MODULE:
            return _module(data)
        if data[:8] == _COMPONENT:
            return _Component((), data).needs()
        raise Malformed("neither a module nor a component")


def _module(data: memoryview) -> Needs:
    if data[:8] != _MODULE:
        raise Malformed("no core module where one should be")
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
    return together([alone])  # which keeps no more than is listed


class _NotKnown(Exception):
    """An encoding that is newer than this reader."""


class _Component:
    """One component: its modules and components by index, and what its instances need."""

    def __init__(self, outer: tuple[_Component, ...], data: memoryview) -> None:
        if data[:8] != _COMPONENT:
            raise Malformed("no component where one should be")
        self._scopes = (self, *outer)
        self._data = data
        self._known: dict[int, list[Needs]] = {_CORE_MODULE: [], _COMPONENT_SORT: []}
        self._parts: list[Needs] = []

    def needs(self) -> Needs:
        readers = {2: self._core_instances, 5: self._instances, 6: self._aliases, 10: self._imports, 11: self._exports}
        try:
            for section, body in Reader(self._data[8:]).sections():
                if section == 1:
                    self._known[_CORE_MODULE].append(_module(body.data))
                elif section == 4:
                    self._known[_COMPONENT_SORT].append(self._nested(body.data))
                elif section in readers:
                    readers[section](body)
        except _NotKnown:
            self._parts.append(_UNKNOWN)
        return together(self._parts)

    def _nested(self, data: memoryview) -> Needs:
        return _Component(self._scopes, data).needs() if len(self._scopes) < _DEEPEST else _UNKNOWN

    def _core_instances(self, body: Reader) -> None:
        for _ in body.each():
            is_made_of_exports = _choice(body, 2)
            if not is_made_of_exports:
                self._parts.append(self._at(_CORE_MODULE, body.number(32)))
            for _ in body.each():
                _skip_text(body)
                body.byte()
                body.number(32)

    def _instances(self, body: Reader) -> None:
        for _ in body.each():
            is_made_of_exports = _choice(body, 2)
            if not is_made_of_exports:
                self._parts.append(self._at(_COMPONENT_SORT, body.number(32)))
            for _ in body.each():
                if is_made_of_exports:
                    _skip_name(body)
                else:
                    _skip_text(body)
                _sort(body)
                body.number(32)

    def _aliases(self, body: Reader) -> None:
        for _ in body.each():
            sort = _sort(body)
            if _choice(body, 3) == 2:
                levels, index = body.number(32), body.number(32)
                if levels >= len(self._scopes):
                    raise Malformed(f"no component is {levels} levels further out")
                if sort in self._known:
                    self._known[sort].append(self._scopes[levels]._at(sort, index))
            else:
                body.number(32)
                _skip_text(body)
                self._define_unknown(sort)

    def _imports(self, body: Reader) -> None:
        for _ in body.each():
            _skip_name(body)
            self._define_unknown(_skip_type(body))

    def _exports(self, body: Reader) -> None:
        for _ in body.each():
            _skip_name(body)
            sort, index = _sort(body), body.number(32)
            if sort in self._known:
                self._known[sort].append(self._at(sort, index))
            if _choice(body, 2):
                _skip_type(body)

    def _define_unknown(self, sort: int) -> None:
        if sort in self._known:
            self._known[sort].append(_UNKNOWN_MODULE if sort == _CORE_MODULE else _UNKNOWN)

    def _at(self, sort: int, index: int) -> Needs:
        known = self._known[sort]
        if index >= len(known):
            raise Malformed(f"no {'module' if sort == _CORE_MODULE else 'component'} has the index {index}")
        return known[index]


def _choice(body: Reader, count: int) -> int:
    choice = body.byte()
    if choice >= count:
        raise _NotKnown
    return choice


def _sort(body: Reader) -> int:
    sort = body.byte()
    return _CORE | body.byte() if sort == 0 else sort


def _skip_text(body: Reader) -> None:
    body.take(body.number(32))


def _skip_name(body: Reader) -> None:
    _choice(body, 2)
    _skip_text(body)


def _skip_type(body: Reader) -> int:
    """Pass over the type of an import or export; returns its sort."""
    sort = _sort(body)
    if sort == 0x02:  # a value, which no runtime supports
        raise _NotKnown
    if sort != 0x03 or not _choice(body, 2):  # of the bounds of types, `sub resource` names no type
        body.number(32)
    return sort
