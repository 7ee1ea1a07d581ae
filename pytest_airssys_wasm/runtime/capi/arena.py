"""The memory of the values that are lowered in one execution. It is allocated in pieces, and freed as a whole."""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from array import array

_FIRST_BYTES = 1024
_CHUNK_BYTES = 4096
_FirstChunk = ctypes.c_char * _FIRST_BYTES
_address_of_chunk = ctypes.addressof
_LARGE_BYTES = 2**20
# Absent on systems without transparent huge pages.
_HUGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)


# An ASCII string holds its own UTF-8, so nothing is made.
_address_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
    ("PyUnicode_AsUTF8AndSize", ctypes.pythonapi)
)
_address_of_bytes = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))


class Arena:
    """A bump allocator. Its allocations live as long as the arena, and are not initialized."""

    _next = _end = 8  # not 0, so that even an empty allocation is not a null pointer

    def __init__(self) -> None:
        self._chunks: list[Any] = []

    def allocate(self, size_bytes: int) -> int:
        """Allocate `size_bytes` bytes, and return their address, which is aligned to 8 bytes."""
        address = self._next
        following = address + ((size_bytes + 7) & -8)
        if following > self._end:
            return self._grow(size_bytes)
        self._next = following
        return address

    def borrow(self, text: str) -> int:
        """Return the address of the bytes of a string that is ASCII, which lives as long as the arena."""
        self._chunks.append(text)
        return int(_address_of(text, None))

    def hold(self, content: bytes | array[Any]) -> int:
        """Return the address of the content of an object, which lives as long as the arena."""
        self._chunks.append(content)
        return int(_address_of_bytes(content) if isinstance(content, bytes) else content.buffer_info()[0])

    def _grow(self, size_bytes: int) -> int:
        if size_bytes <= _FIRST_BYTES and not self._chunks:
            # Most calls need no other, and are short.
            chunk_bytes, chunk = _FIRST_BYTES, _FirstChunk()
        elif size_bytes < _LARGE_BYTES:
            # Each chunk is twice the last one, so that many small values take few chunks.
            chunk_bytes = max(_CHUNK_BYTES << min(len(self._chunks), 8), (size_bytes + 7) & -8)
            chunk = (ctypes.c_char * chunk_bytes)()
        else:
            return self._map(size_bytes)
        self._chunks.append(chunk)
        address = _address_of_chunk(chunk)
        self._next = address + ((size_bytes + 7) & -8)
        self._end = address + chunk_bytes
        return address

    def _map(self, size_bytes: int) -> int:
        # A fresh mapping costs a page fault every 4 KiB when it is written; with huge pages, every 2 MiB.
        mapping = mmap.mmap(-1, size_bytes)
        if _HUGE_PAGES is not None:
            mapping.madvise(_HUGE_PAGES)
        chunk = (ctypes.c_char * size_bytes).from_buffer(mapping)
        self._chunks.append(chunk)
        return ctypes.addressof(chunk)
