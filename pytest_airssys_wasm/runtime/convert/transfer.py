"""What crosses the boundary in one execution: counted, bounded, and stopped when time is up.

A value is charged before its Python object is made:

- numbers, bools and chars: their size in the canonical ABI (u32 4 bytes, bool 1);
- all else: 32 bytes for the object, and what its parts are charged (the largest case, where there are several);
- a list: also that much of its element for every element;
- a string: also its UTF-8 bytes, and four times as many when it comes out of a guest and is not ASCII, for one
  character outside the BMP makes a whole Python string four bytes a character.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.capi.arena import Arena
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.wit.types import BorrowType, OwnType

_CHECK_EVERY_BYTES = 64 * 1024


class Interrupted(Exception):
    """A conversion was told to end. Internal: the execution knows why."""


def _never() -> bool:
    return False


class Transfer:
    """The account of one execution's conversions, and the memory of the values it lowered.

    Keep it alive until the call that was given its values has returned.
    """

    __slots__ = ("_limit_bytes", "_pause_at", "_stop", "allocate", "lift_resource", "lower_resource", "moved_bytes")

    def __init__(self, limit_bytes: int | None, stop: Callable[[], bool] = _never) -> None:
        self.moved_bytes = 0
        """Bytes charged so far, in both directions."""
        self.allocate: Callable[[int], int] = Arena().allocate
        """`(size_bytes) -> address` of memory that lives as long as this object."""
        self.lift_resource: Callable[[int, OwnType | BorrowType], object] = _no_resources
        """Takes over the `wasmtime_component_resource_any_t` at an address; returns its Python value."""
        self.lower_resource: Callable[[object, OwnType | BorrowType], int] = _no_resources
        """The address of the `wasmtime_component_resource_any_t` of a Python value. It stays the property of who
        set this; wasmtime copies it when the call begins. Raises `WrongType` for a value that is none."""
        self._limit_bytes = limit_bytes
        self._stop = stop
        self._pause_at = 0

    def charge(self, size_bytes: int) -> None:
        """Count bytes that are about to be moved.

        Raises `ResourceLimitExceeded` when they are over the limit, `Interrupted` when the execution should end.
        """
        moved_bytes = self.moved_bytes + size_bytes
        if moved_bytes >= self._pause_at:
            self._pause(moved_bytes, size_bytes)
        self.moved_bytes = moved_bytes

    def check(self) -> None:
        """Raise `Interrupted` when the execution should end."""
        if self._stop():
            raise Interrupted

    def _pause(self, moved_bytes: int, size_bytes: int) -> None:
        limit_bytes = self._limit_bytes
        if limit_bytes is not None and moved_bytes > limit_bytes:
            raise ResourceLimitExceeded(
                f"a value of {size_bytes:,} bytes is over the host-transfer limit: "
                f"{self.moved_bytes:,} of {limit_bytes:,} bytes are used",
                "host-transfer",
            )
        self.check()
        pause_at = moved_bytes + _CHECK_EVERY_BYTES
        self._pause_at = pause_at if limit_bytes is None else min(pause_at, limit_bytes + 1)


def _no_resources(*_: object) -> int:
    raise TypeError("resources cannot be converted without a store")
