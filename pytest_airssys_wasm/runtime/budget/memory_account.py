"""The memory account: every linear memory and GC heap of a store, together."""

from __future__ import annotations

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration


class MemoryAccount:
    """Bytes that a store's memories hold, against one limit. Used by one thread at a time."""

    __slots__ = ("denied_growths", "limit_bytes", "peak_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise InvalidConfiguration("memory", limit_bytes, "a non-negative number of bytes")
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        """Since `begin`."""
        self.denied_growths = 0
        """Since `begin`."""

    def begin(self) -> None:
        """Start a new execution: the peak and the denials are counted per execution."""
        self.peak_bytes = self.used_bytes
        self.denied_growths = 0

    def take(self, size_bytes: int) -> bool:
        """Account for `size_bytes` more, or refuse and remember that."""
        used_bytes = self.used_bytes + size_bytes
        if used_bytes > self.limit_bytes:
            self.denied_growths += 1
            return False
        self.used_bytes = used_bytes
        self.peak_bytes = max(self.peak_bytes, used_bytes)
        return True

    def give_back(self, size_bytes: int) -> None:
        """A memory of this size is gone."""
        self.used_bytes -= size_bytes
