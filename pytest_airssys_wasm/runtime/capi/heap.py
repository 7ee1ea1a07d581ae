"""The heap of the C library, which is also that of wasmtime."""

from __future__ import annotations

from ctypes import CDLL

_TRIM = getattr(CDLL(None), "malloc_trim", None)
"""The function of glibc; `None` with C libraries that have none."""


def give_back_memory() -> None:
    """Give the free memory of the C heap back to the system, where the C library can.

    glibc keeps what was freed in a heap for each thread. What wasmtime takes for the values of a large result, on the
    thread of a guest, would never be seen again.
    """
    if _TRIM is not None:
        _TRIM(0)
