"""The images of large guests: the first content of a memory, taken out of the data segments that would be copied.

wasmtime copies each active data segment into its memory whenever a guest is instantiated, and charges a unit of fuel
for each byte. An image is mapped by the memory creator instead, which charges the same. The binary that is compiled has
empty segments in the same order and is as long as the original, so that the offsets of code, to which traps and debug
information refer, do not move.

A guest has an image only if nothing can tell the difference. Between making the memory and copying the data, wasmtime
sets up globals and tables; a guest in which one of these steps could fail has no image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader
from pytest_airssys_wasm.runtime.binary.component_reader import COMPONENT_MAGIC
from pytest_airssys_wasm.runtime.binary.const_expr import read_plain_const_expr
from pytest_airssys_wasm.runtime.binary.needs import read_needs
from pytest_airssys_wasm.runtime.binary.sections import read_contents
from pytest_airssys_wasm.runtime.errors import InvalidComponent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.runtime.binary.types import Declared, ModuleContents

REVISION = 1
"""The number to raise when other guests get images, or the same guests get others: artefacts that were compiled under
another number are not used.
"""
LEAST_BYTES = 2**18
"""The bytes of active data from which on a guest has an image. Copying fewer takes no longer than mapping them."""
ALIGNMENT = 2**16
"""The unit in bytes of the places and sizes of images: a page of WebAssembly, which is a multiple of the pages of all
machines.
"""

_TABLE, _GLOBAL, _ELEMENT, _DATA = 4, 6, 9, 11
_PASSIVE_AND_EMPTY = b"\x01\x00"


class DataImage(Struct, frozen=True, kw_only=True):
    """The image of the only memory of a guest that has much data, and the binary without that data."""

    binary: bytes
    """The binary to be compiled, in which these data segments are empty. It is as long as the original."""
    content: bytes
    """The bytes of the image."""
    offset: int
    """The address in the memory at which the image begins."""
    memory_bytes: int
    """The initial size of the memory, in bytes. No other memory of the guest has this size."""
    units: int
    """The units of fuel that wasmtime would charge for copying the segments, apart from what it still charges."""


def find_image(binary: bytes) -> DataImage | None:
    """Return the image of a module or component; `None` if it has little data, or none that may be mapped."""
    if len(binary) < LEAST_BYTES:
        return None
    data = memoryview(binary)
    try:
        modules = [(at, module, read_contents(module)) for at, module in _modules(data, 0)]
        found = [one for one in modules if sum(segment.size_bytes for segment in one[2].active_data) >= LEAST_BYTES]
        if len(found) != 1:
            return None
        at, module, contents = found[0]
        memory = contents.memories[0]
        needs = read_needs(binary)
        defined = [one for _, _, each in modules for one in each.memories if not one.is_imported]
        if (
            not needs.is_complete
            or needs.memories != len(needs.each_memory_bytes)
            or needs.each_memory_bytes.count(memory.minimum_bytes) != 1
            or [one.minimum_bytes for one in defined].count(memory.minimum_bytes) != 1
        ):
            return None
        return _take_data(binary, at, module, contents)
    except (InvalidComponent, Malformed, IndexError, UnicodeDecodeError):
        return None  # wasmtime says what is wrong with it


def _modules(data: memoryview, start: int) -> Iterator[tuple[int, memoryview]]:
    """Yield each core module in a binary, with its position in the whole, whose byte `start` begins this part."""
    if data[:8] != COMPONENT_MAGIC:
        yield start, data
        return
    reader = Reader(data)
    reader.at = 8
    for section, body in reader.sections():
        if section in (1, 4):
            yield from _modules(body.data, start + reader.at - len(body.data))


class _Segment(Struct, frozen=True, kw_only=True):
    """An active data segment."""

    head: bytes
    """The encoding of its mode, memory and offset."""
    offset: int
    content: memoryview

    @property
    def end(self) -> int:
        """The address behind its last byte."""
        return self.offset + len(self.content)


def _take_data(binary: bytes, start: int, module: memoryview, contents: ModuleContents) -> DataImage | None:
    """Return the image of a module, which begins at the byte `start` of a binary."""
    memory = contents.memories[0]
    if len(contents.memories) != 1 or memory.is_imported or memory.is_64 or memory.page_bytes != ALIGNMENT:
        return None
    reader = Reader(module)
    reader.at = 8
    head = 8
    for section, body in reader.sections():
        if section == _TABLE:
            _check_tables(body)
        elif section == _GLOBAL:
            _check_globals(body)
        elif section == _ELEMENT:
            _check_elements(body, contents.tables)
        elif section == _DATA:
            place = (start + head, start + reader.at - len(body.data), start + reader.at)
            count, segments = _data_segments(body)
        head = reader.at
    active = [one for one in segments if isinstance(one, _Segment)]
    filled = [one for one in active if one.content]
    low = min(one.offset for one in filled) // ALIGNMENT * ALIGNMENT
    high = -(-max(one.end for one in filled) // ALIGNMENT) * ALIGNMENT
    total = sum(len(one.content) for one in filled)
    if max(one.end for one in active) > memory.minimum_bytes or high - low > 2 * (total + ALIGNMENT):
        return None
    content = bytearray(high - low)
    for one in filled:
        content[one.offset - low : one.end - low] = one.content
    # One segment stays active, so that wasmtime checks the fuel where it would have checked it last.
    emptied = [
        one if not isinstance(one, _Segment) else one.head + b"\0" if one is active[-1] else _PASSIVE_AND_EMPTY
        for one in segments
    ]
    return DataImage(
        binary=_exchange(binary, place, count + b"".join(emptied)),
        content=bytes(content),
        offset=low,
        memory_bytes=memory.minimum_bytes,
        units=total + len(active) - 1,  # and one for each offset
    )


def _exchange(binary: bytes, place: tuple[int, int, int], content: bytes) -> bytes:
    """Return a binary with a shorter content of one section, and as much padding behind it as it takes.

    `place` is where the section begins, where its content begins, and where it ends.
    """
    head, body, end = place
    padding = end - body - len(content)
    behind = b"\0" + _number(padding - 6, 5) + b"\0" + bytes(padding - 7)  # a custom section without a name
    size = _number(len(content), body - head - 1)
    return b"".join((binary[: head + 1], size, content, behind, binary[end:]))


def _number(value: int, length: int) -> bytes:
    """Return a number in LEB128 that takes this many bytes."""
    return bytes(value >> 7 * index & 0x7F | (0x80 if index < length - 1 else 0) for index in range(length))


def _data_segments(body: Reader) -> tuple[bytes, list[_Segment | memoryview]]:
    """Return the encoded number of data segments, and each segment: if it is passive, its encoding."""
    each = body.each()
    count = bytes(body.data[: body.at])
    segments: list[_Segment | memoryview] = []
    for _ in each:
        start = body.at
        mode = body.number(32)
        if mode == 1:
            body.take(body.number(32))
            segments.append(body.data[start : body.at])
            continue
        if mode == 2:
            body.number(32)
        offset = read_plain_const_expr(body)
        if offset is None:
            raise Malformed("a data segment whose offset is not constant")
        head = bytes(body.data[start : body.at])
        segments.append(_Segment(head=head, offset=offset, content=body.take(body.number(32))))
    return count, segments


def _check_tables(body: Reader) -> None:
    for _ in body.each():
        if body.data[body.at] == 0x40:
            raise Malformed("a table that is filled with something")
        _value_type(body)
        has_maximum = body.byte() & 1
        body.number()
        if has_maximum:
            body.number()


def _check_globals(body: Reader) -> None:
    for _ in body.each():
        _value_type(body)
        body.byte()
        read_plain_const_expr(body)


def _check_elements(body: Reader, tables: tuple[Declared, ...]) -> None:
    """Raise `Malformed` unless all elements fit into the tables, which have to be the module's own."""
    for _ in body.each():
        mode = body.number(32)
        is_active, has_expressions = not mode & 1, bool(mode & 4)
        table = tables[body.number(32) if is_active and mode & 2 else 0] if is_active else None
        offset = read_plain_const_expr(body) if is_active else 0
        if mode & 3 and has_expressions:
            _value_type(body)
        elif mode & 3:
            body.byte()
        count = 0
        for _ in body.each():
            count += 1
            if has_expressions:
                read_plain_const_expr(body)
            else:
                body.number(32)
        if table is not None and (offset is None or table.is_imported or table.is_64 or offset + count > table.minimum):
            raise Malformed("elements that may not fit into their table")


def _value_type(body: Reader) -> None:
    if body.byte() in (0x63, 0x64):
        body.signed(33)
