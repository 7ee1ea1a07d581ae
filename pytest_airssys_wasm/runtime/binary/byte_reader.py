"""The cursor over the binary encoding of WebAssembly."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.errors import InvalidComponent

if TYPE_CHECKING:
    from collections.abc import Iterator


_MOST_ELEMENTS = 1_000_000
"""The maximum number of elements of a vector, which is the largest of wasmtime's limits. Each element becomes a Python
object.
"""


class Malformed(Exception):
    """The error for an encoding that is not valid."""


@contextmanager
def as_invalid_component(what: str) -> Iterator[None]:
    """Convert every error that a `Reader` raises on malformed bytes to `InvalidComponent`; `what` names the bytes."""
    try:
        yield
    except IndexError:
        raise InvalidComponent(f"malformed {what}: it ends too early") from None
    except (UnicodeDecodeError, Malformed) as error:
        raise InvalidComponent(f"malformed {what}: {error}") from None


class Reader:
    """A cursor over bytes. Reading past the end raises `IndexError`, unless stated otherwise."""

    __slots__ = ("at", "data")

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def sections(self) -> Iterator[tuple[int, Reader]]:
        """Yield the number and the content of each section up to the end.

        Raises `Malformed` for a section that is cut off.
        """
        while self.at < len(self.data):
            section = self.byte()
            yield section, Reader(self.take(self.number(32)))

    def byte(self) -> int:
        """Return the next byte."""
        value = self.data[self.at]
        self.at += 1
        return value

    def number(self, bits: int = 64) -> int:
        """Return the next unsigned number (LEB128). Raises `Malformed` if it has more bytes than `bits` bits need."""
        value, _ = self._leb128(bits)
        return value

    def signed(self, bits: int) -> int:
        """Return the next signed number (LEB128). Raises `Malformed` if it has more bytes than `bits` bits need."""
        value, shift = self._leb128(bits)
        return value - (1 << shift) if value >> (shift - 1) else value

    def _leb128(self, bits: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value, shift
            if shift >= bits:
                raise Malformed("a number is too long")

    def take(self, count: int) -> memoryview:
        """Return the next `count` bytes, without copying them. Raises `Malformed` if fewer bytes remain."""
        if count > len(self.data) - self.at:
            raise Malformed("a section runs past the end")
        self.at += count
        return self.data[self.at - count : self.at]

    def name(self) -> str:
        """Return the next name.

        Raises `UnicodeDecodeError` if it is not valid UTF-8, and `Malformed` if it is cut off.
        """
        return bytes(self.take(self.number(32))).decode()

    def each(self) -> Iterator[int]:
        """Yield the indices of the vector at the cursor. Raises `Malformed` if the vector exceeds wasmtime's limits."""
        count = self.number(32)
        if count > _MOST_ELEMENTS:
            raise Malformed(f"{count:,} elements in one section")
        return iter(range(count))
