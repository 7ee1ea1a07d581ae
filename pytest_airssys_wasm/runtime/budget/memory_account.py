"""The memory account of a store: all of its linear memories and GC heaps together."""

from __future__ import annotations

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration


class MemoryAccount:
    """The bytes that a store's memories hold, counted against one limit. Not safe for two threads at once."""

    __slots__ = ("denied_growths", "limit_bytes", "peak_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise InvalidConfiguration("memory", limit_bytes, "a non-negative number of bytes")
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        """The most bytes held since `begin`."""
        self.denied_growths = 0
        """The number of refusals since `begin`."""

    def begin(self) -> None:
        """Start a new execution: the peak and the denials are counted per execution."""
        self.peak_bytes = self.used_bytes
        self.denied_growths = 0

    def take(self, size_bytes: int) -> bool:
        """Account for `size_bytes` more, and return whether the limit allows it. A refusal is counted."""
        used_bytes = self.used_bytes + size_bytes
        if used_bytes > self.limit_bytes:
            self.denied_growths += 1
            return False
        self.used_bytes = used_bytes
        self.peak_bytes = max(self.peak_bytes, used_bytes)
        return True

    def give_back(self, size_bytes: int) -> None:
        """Take `size_bytes` off the account: a memory of that size has been freed."""
        self.used_bytes -= size_bytes
