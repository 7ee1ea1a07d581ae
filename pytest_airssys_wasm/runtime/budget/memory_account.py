"""The memory account of a store, to which all of its linear memories and GC heaps are charged."""

from __future__ import annotations

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration


class MemoryAccount:
    """The account of the bytes in a store's memories, with one limit. It is not thread-safe."""

    __slots__ = ("denied_growths", "limit_bytes", "peak_bytes", "used_bytes", "was_refused_by_host")

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise InvalidConfiguration("memory", limit_bytes, "a non-negative number of bytes")
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        """The highest balance in bytes since `begin`."""
        self.denied_growths = 0
        """The number of denied growths since `begin`."""
        self.was_refused_by_host = False
        """Whether the machine has refused memory since `begin` that the limit allows."""

    def begin(self) -> None:
        """Begin a new execution: the peak and the denied growths are counted for each execution."""
        self.peak_bytes = self.used_bytes
        self.denied_growths = 0
        self.was_refused_by_host = False

    def take(self, size_bytes: int) -> bool:
        """Charge `size_bytes` to the account, and return whether the limit allows them. A denied growth is counted."""
        used_bytes = self.used_bytes + size_bytes
        if used_bytes > self.limit_bytes:
            self.denied_growths += 1
            return False
        self.used_bytes = used_bytes
        self.peak_bytes = max(self.peak_bytes, used_bytes)
        return True

    def refused_by_host(self, size_bytes: int) -> None:
        """Subtract `size_bytes` that were charged, because the machine has refused them."""
        self.give_back(size_bytes)
        self.was_refused_by_host = True

    def give_back(self, size_bytes: int) -> None:
        """Subtract `size_bytes` from the account, because a memory of that size has been freed."""
        self.used_bytes -= size_bytes
