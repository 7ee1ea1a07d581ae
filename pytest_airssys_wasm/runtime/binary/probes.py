"""The instrumentation of a guest with probes: at the beginning of each basic block, one byte of a memory is set.

Each core module of the guest gets one memory more, behind its own, in which every block has a byte. No index of the
module changes by that, and no instruction of the guest can refer to the new memory, because the guest was valid without
it. All modules use the same numbers of pages for it, which no memory of the guest has, so the host can tell it from the
others and provide it: see `guard_memories_probe` in `native/guard.h`. Three instructions are added to each block.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.figures import size
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader
from pytest_airssys_wasm.runtime.binary.code_blocks import find_blocks
from pytest_airssys_wasm.runtime.binary.component_reader import COMPONENT_MAGIC, DEEPEST
from pytest_airssys_wasm.runtime.binary.function_names import read_names
from pytest_airssys_wasm.runtime.binary.sections import read_contents
from pytest_airssys_wasm.runtime.errors import InvalidComponent

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODULE_MAGIC = b"\0asm\x01\0\0\0"
PAGE_BYTES = 65536
_MOST_PAGES = 65536
PROBE_FUEL, COUNTING_PROBE_FUEL = 3, 9
"""The units of fuel that a probe takes: one for each of its instructions."""
_COUNT_BYTES = 8
MOST_CODE_BYTES = 48 * 2**20
"""The maximum size of all code of a guest. A megabyte takes about half a second to instrument."""
_CUSTOM, _MEMORY, _CODE = 0, 5, 10
_MODULE_SECTION, _COMPONENT_SECTION = 1, 4
_NAMES = b"\x04name"
"""The beginning of the custom section with names, which stay right, because no index changes."""
_BEFORE_MEMORIES = frozenset([1, 2, 3, 4])
"""The sections of a module that come before its memories: types, imports, functions and tables."""


class CannotInstrument(Exception):
    """The error for a guest that cannot be instrumented. The message says why, in one line."""


class ProbedFunction(Struct, frozen=True, kw_only=True):
    """A function of a guest with its basic blocks, each of which has a probe."""

    module: int
    """The number of its core module among those of the guest, from 0, in the order of the binary."""
    module_name: str
    """The name of the module; empty if the binary does not contain it."""
    index: int
    """The index of the function in its module. Imported functions come first."""
    name: str
    """The name of the function as it is in the binary, printable; empty if the binary does not contain it."""
    body: tuple[int, int]
    """The byte offsets in the guest at which the function begins, with its local variables, and ends."""
    first_probe: int
    """The number of the probe of its first block. The others follow in the order of the code."""
    blocks: tuple[int, ...]
    """The byte offset in the guest at which each block begins, in the order of the code."""


class Instrumented(Struct, frozen=True, kw_only=True):
    """A guest with probes."""

    binary: bytes
    functions: tuple[ProbedFunction, ...]
    """The functions that have blocks, in the order of the binary."""
    probes: int
    """The number of all probes, which is that of all blocks."""
    memory_bytes: int
    """The size of the memory of the probes, in bytes: whole pages."""
    most_memory_bytes: int
    """The declared maximum of this memory, by which it is told from the memories of the guest."""
    count_offset: int
    """The position in this memory of the number of probes that were passed, in 64 bits; it stays 0 if the probes do not
    count.
    """


def instrument(binary: bytes, *, is_counting: bool = False, most_code_bytes: int = MOST_CODE_BYTES) -> Instrumented:
    """Return a valid module or component with a probe in each basic block, which is otherwise the same.

    With `is_counting` the probes also count how often any of them is passed. Custom sections other than that of names
    are left out. Raises `CannotInstrument` for instructions that are not known, and for a guest that is
    too large.
    """
    with _explained():
        blocks = find_guest_blocks(binary, most_code_bytes)
        count_offset = -(-blocks.probes // _COUNT_BYTES) * _COUNT_BYTES
        pages = -(-(count_offset + _COUNT_BYTES) // PAGE_BYTES)
        most = next(most for most in range(pages, _MOST_PAGES + 1) if (pages, most) not in blocks.memories)
        writer = _Writer(blocks.functions, pages, most, count_offset if is_counting else None)
        return Instrumented(
            binary=writer.guest(memoryview(binary)),
            functions=blocks.functions,
            probes=blocks.probes,
            memory_bytes=pages * PAGE_BYTES,
            most_memory_bytes=most * PAGE_BYTES,
            count_offset=count_offset,
        )


class GuestBlocks(Struct, frozen=True, kw_only=True):
    """The functions of a guest with their blocks."""

    functions: tuple[ProbedFunction, ...]
    probes: int
    memories: frozenset[tuple[int, int | None]]
    """The minimum and maximum size in pages of every memory in the guest."""


def find_guest_blocks(binary: bytes, most_code_bytes: int = MOST_CODE_BYTES) -> GuestBlocks:
    """Return the functions of a module or component with their blocks, those of all modules in it.

    Raises `CannotInstrument` for instructions that are not known, and for a guest that is too large.
    """
    with _explained():
        finder = _Finder(most_code_bytes)
        finder.guest(memoryview(binary), 0, 0)
        return GuestBlocks(functions=tuple(finder.functions), probes=finder.probes, memories=frozenset(finder.memories))


@contextmanager
def _explained() -> Iterator[None]:
    """Convert the errors of readers to `CannotInstrument`."""
    try:
        yield
    except (Malformed, InvalidComponent) as error:
        raise CannotInstrument(printable(str(error))) from None
    except (IndexError, UnicodeDecodeError, StopIteration):
        raise CannotInstrument("it is malformed, or too large") from None


class _Finder:
    """The blocks that were found so far."""

    def __init__(self, most_code_bytes: int) -> None:
        self._most_code_bytes = most_code_bytes
        self.functions: list[ProbedFunction] = []
        self.probes = 0
        self.memories: set[tuple[int, int | None]] = set()
        self._modules = 0
        self._code_bytes = 0

    def guest(self, binary: memoryview, offset: int, depth: int) -> None:
        """Read a module or component that begins at an offset of the whole guest."""
        if binary[:8] == _MODULE_MAGIC:
            self._module(binary, offset)
            return
        if binary[:8] != COMPONENT_MAGIC or depth >= DEEPEST:
            raise Malformed("neither a module nor a component, or components that are nested too deeply")
        for section, start, body in _sections(binary):
            if section in (_MODULE_SECTION, _COMPONENT_SECTION):
                self.guest(body, offset + start, depth + 1)

    def _module(self, binary: memoryview, offset: int) -> None:
        self.memories |= {(one.minimum, one.maximum) for one in read_contents(binary).memories}
        names = read_names(binary)
        for section, start, body in _sections(binary):
            if section == _CODE:
                self._code_bytes += len(body)
                if self._code_bytes > self._most_code_bytes:
                    raise Malformed(f"it has more than {size(self._most_code_bytes)} of code")
                for number, (declarations, first, end) in enumerate(_bodies(body)):
                    blocks = find_blocks(body, first, end)
                    if blocks:
                        index = names.imported + number
                        at = offset + start
                        self.functions.append(
                            ProbedFunction(
                                module=self._modules,
                                module_name=names.module,
                                index=index,
                                name=names.functions.get(index, ""),
                                body=(at + declarations, at + end),
                                first_probe=self.probes,
                                blocks=tuple([at + one for one in blocks]),
                            )
                        )
                        self.probes += len(blocks)
        self._modules += 1


class _Writer:
    """The writer of a guest with probes, from its functions in the order of the binary."""

    def __init__(self, functions: tuple[ProbedFunction, ...], pages: int, most: int, count_offset: int | None) -> None:
        self._left = iter(functions)
        self._next = next(self._left, None)
        self._memory = b"\x01" + _unsigned(pages) + _unsigned(most)
        self._count_offset = count_offset

    def guest(self, binary: memoryview, offset: int = 0) -> bytes:
        """Return a module or component that begins at an offset of the whole guest, with probes."""
        if binary[:8] == _MODULE_MAGIC:
            return self._module(binary, offset)
        parts = [COMPONENT_MAGIC]
        for section, start, body in _sections(binary):
            if section in (_MODULE_SECTION, _COMPONENT_SECTION):
                parts.append(_section(section, self.guest(body, offset + start)))
            elif section != _CUSTOM:
                parts.append(_section(section, bytes(body)))
        return b"".join(parts)

    def _module(self, binary: memoryview, offset: int) -> bytes:
        memories = read_contents(binary).memories
        imported = sum(one.is_imported for one in memories)
        own = b"".join(bytes(body)[_length(body) :] for section, _, body in _sections(binary) if section == _MEMORY)
        declared = _section(_MEMORY, _unsigned(len(memories) - imported + 1) + own + self._memory)
        memory = _unsigned(len(memories))
        prefix = b"\x41\x00\x41\x01\x3a\x40" + memory  # i32.const 0; i32.const 1; i32.store8
        if self._count_offset is not None:
            # i32.const 0; i32.const 0; i64.load; i64.const 1; i64.add; i64.store
            place = memory + _unsigned(self._count_offset)
            prefix = b"\x41\x00\x41\x00\x29\x43" + place + b"\x42\x01\x7c\x37\x43" + place + prefix
        parts = [_MODULE_MAGIC]
        for section, start, body in _sections(binary):
            if section == _MEMORY or (section == _CUSTOM and body[: len(_NAMES)] != _NAMES):
                continue
            if declared and section not in _BEFORE_MEMORIES and section != _CUSTOM:
                parts.append(declared)
                declared = b""
            is_code = section == _CODE
            parts.append(_section(section, self._code(body, offset + start, prefix) if is_code else bytes(body)))
        return b"".join([*parts, declared])

    def _code(self, body: memoryview, offset: int, prefix: bytes) -> bytes:
        parts = [bytes(body[: _length(body)])]
        for declarations, _, end in _bodies(body):
            function = self._next
            if function is None or function.body[0] != offset + declarations:  # one without blocks
                written = bytes(body[declarations:end])
            else:
                pieces = []
                at = declarations
                for number, block in enumerate(function.blocks, start=function.first_probe):
                    pieces += [bytes(body[at : block - offset]), prefix, _unsigned(number)]
                    at = block - offset
                written = b"".join([*pieces, bytes(body[at:end])])
                self._next = next(self._left, None)
            parts += [_unsigned(len(written)), written]
        return b"".join(parts)


def _sections(binary: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield the number of each section, the position at which its content begins, and the content."""
    reader = Reader(binary)
    reader.at = 8
    while reader.at < len(binary):
        section = reader.byte()
        size = reader.number(32)
        yield section, reader.at, reader.take(size)


def _bodies(code: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield where the declarations of local variables, the instructions, and the end of each function are."""
    reader = Reader(code)
    for _ in reader.each():
        size = reader.number(32)
        declarations, end = reader.at, reader.at + size
        for _ in range(reader.number(32)):
            reader.number(32)
            if reader.byte() in (0x63, 0x64):
                reader.number(64)  # the heap type of a reference, which is signed
        yield declarations, reader.at, end
        reader.at = end


def _length(body: memoryview) -> int:
    """Return the number of bytes of the count at the beginning of a section."""
    reader = Reader(body)
    reader.number(32)
    return reader.at


def _section(section: int, content: bytes) -> bytes:
    return bytes([section]) + _unsigned(len(content)) + content


def _unsigned(value: int) -> bytes:
    """Return an unsigned number as LEB128."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(0x80 | value & 0x7F)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
