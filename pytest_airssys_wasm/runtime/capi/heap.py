"""The heap of the C library, which wasmtime uses too."""

from __future__ import annotations

from ctypes import CDLL

_TRIM = getattr(CDLL(None), "malloc_trim", None)
"""The function `malloc_trim` of glibc; `None` with other C libraries."""


def give_back_memory() -> None:
    """Return the free memory of the C heap to the system, if the C library supports this.

    glibc keeps freed memory in a heap for each thread. So the memory that wasmtime takes for a large result, on the
    thread of a guest, would never be reused by other threads.
    """
    if _TRIM is not None:
        _TRIM(0)
