"""The core modules of a binary as a debugger sees them: where their code lies, and which custom sections they have.

wasmtime counts the offsets in a backtrace from the beginning of the binary, also in the modules of a component. DWARF
counts them from the beginning of the content of the code section, and source maps from the beginning of the module.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader
from pytest_airssys_wasm.runtime.binary.component_reader import COMPONENT_MAGIC, DEEPEST
from pytest_airssys_wasm.runtime.binary.sections import count_imported_functions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Set

_MODULE_MAGIC = b"\0asm\x01\0\0\0"
_CUSTOM, _CODE = 0, 10
_CORE_MODULE, _COMPONENT = 1, 4
"""The numbers of the sections of a component that contain a module, and another component."""
_FUNCTION_NAMES = 1
"""The number of the part of the section `name` that has the names of functions."""
_MOST_SECTIONS = 10_000
"""The maximum number of custom sections of a module that are read. A debug build has about fifteen."""


class CodeFunction(Struct, frozen=True, kw_only=True):
    """A function in the code of a module."""

    index: int
    """The index of the function in its module; functions that are imported come first."""
    name: bytes | None
    """The name in the section `name`; `None` without one."""
    start: int
    """The position in the whole binary at which the body of the function begins."""


class CodeModule(Struct, frozen=True, kw_only=True):
    """A core module with code, alone or inside a component. All positions are bytes of the whole binary."""

    binary: memoryview
    """The bytes of the module."""
    start: int
    """The position of the module's first byte."""
    code: memoryview
    """The content of the code section, without the section's number and size."""
    code_start: int
    """The position of the first byte of that content."""
    custom: Mapping[str, memoryview]
    """The content of the custom sections by their names."""

    def contains(self, offset: int) -> bool:
        """Return whether there is code of this module at a position."""
        return self.code_start <= offset < self.code_start + len(self.code)

    def functions_at(self, offsets: Iterable[int]) -> dict[int, CodeFunction]:
        """Return the functions at some positions, from one pass over the code. Other positions are left out.

        Raises the errors of a `Reader` for a section that is malformed.
        """
        wanted = sorted(offset for offset in set(offsets) if self.contains(offset))
        bodies: dict[int, tuple[int, int]] = {}
        reader = Reader(self.code)
        for number in reader.each() if wanted else ():
            size = reader.number(32)
            start = self.code_start + reader.at
            reader.take(size)
            while wanted and wanted[0] < start + size:
                offset = wanted.pop(0)
                if offset >= start:
                    bodies[offset] = number, start
            if not wanted:
                break
        imported = count_imported_functions(self.binary) if bodies else 0
        names = self._names_of({imported + number for number, _ in bodies.values()})
        return {
            offset: CodeFunction(index=imported + number, name=names.get(imported + number), start=start)
            for offset, (number, start) in bodies.items()
        }

    def _names_of(self, indices: Set[int]) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        names = self.custom.get("name") if indices else None
        if names is None:
            return found
        # A custom section may be malformed in a valid binary.
        with suppress(Malformed, IndexError):
            for part, body in Reader(names).sections():
                for _ in body.each() if part == _FUNCTION_NAMES else ():
                    index, name = body.number(32), body.take(body.number(32))
                    if index in indices:
                        found[index] = bytes(name)
        return found


def code_modules(binary: bytes) -> Iterator[CodeModule]:
    """Yield the modules with code in a module or a component, nested ones included, in their order.

    Stops without an error where the binary is malformed.
    """
    with suppress(Malformed, IndexError):
        yield from _within(memoryview(binary), 0, 0)


def _within(data: memoryview, start: int, depth: int) -> Iterator[CodeModule]:
    magic = bytes(data[:8])
    if magic == _MODULE_MAGIC:
        found = _module(data, start)
        if found is not None:
            yield found
    elif magic == COMPONENT_MAGIC and depth < DEEPEST:
        for section, body_start, body in _sections(data, start):
            if section in (_CORE_MODULE, _COMPONENT):
                yield from _within(body, body_start, depth + 1)


def _module(data: memoryview, start: int) -> CodeModule | None:
    code: tuple[int, memoryview] | None = None
    custom: dict[str, memoryview] = {}
    for section, body_start, body in _sections(data, start):
        if section == _CODE:
            code = body_start, body
        elif section == _CUSTOM and len(custom) < _MOST_SECTIONS:
            with suppress(UnicodeDecodeError):
                reader = Reader(body)
                custom.setdefault(reader.name(), body[reader.at :])
    if code is None:
        return None
    return CodeModule(binary=data, start=start, code=code[1], code_start=code[0], custom=custom)


def _sections(data: memoryview, start: int) -> Iterator[tuple[int, int, memoryview]]:
    """Yield number, position and content of each section of a module or a component that begins at `start`."""
    reader = Reader(data)
    reader.at = 8
    while reader.at < len(data):
        section = reader.byte()
        size = reader.number(32)
        body_start = start + reader.at
        yield section, body_start, reader.take(size)
