"""The transfer account of an execution, which counts and bounds the values that cross the boundary, and interrupts
their conversion.

A value is charged before its Python object is created:

- numbers, bools and chars: their size in the canonical ABI (u32 4 bytes, bool 1);
- all else: 32 bytes for the object, and the charges of its parts (those of the largest case, where there are several);
- a list: also, for every element, the charge of its type;
- a string: also its UTF-8 bytes, and four times as many when it comes out of a guest and is not ASCII, for one
  character outside the BMP makes a whole Python string four bytes a character.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.capi.arena import Arena
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    EnumType,
    FlagsType,
    FutureType,
    ListType,
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResultType,
    StreamType,
    TupleType,
    VariantType,
    children,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.wit.types import WitType


NUMBERS = {
    "s8": "b",
    "u8": "B",
    "s16": "h",
    "u16": "H",
    "s32": "i",
    "u32": "I",
    "s64": "q",
    "u64": "Q",
    "f32": "f",
    "f64": "d",
}
"""The format codes of the fixed-width numbers in `struct`, `array` and `memoryview`."""

_OBJECT_BYTES = 32
"""The bytes charged for each Python object, so that millions of empty lists are counted too."""
_PRIMITIVE_BYTES = {"s8": 1, "u8": 1, "bool": 1, "s16": 2, "u16": 2, "s64": 8, "u64": 8, "f64": 8, "string": 32}
_OTHER_PRIMITIVE_BYTES = 4


@lru_cache(maxsize=4_096)
def fixed_size(type_: WitType) -> int:
    """Return the bytes charged for a value of a type, besides the elements of its lists and the bytes of its text."""
    match type_:
        case Primitive(name):
            return _PRIMITIVE_BYTES.get(name, _OTHER_PRIMITIVE_BYTES)
        case EnumType() | FlagsType() | ListType() | OwnType() | BorrowType():
            return _OBJECT_BYTES
        case VariantType() | ResultType():
            return _OBJECT_BYTES + max(map(fixed_size, children(type_)), default=0)
        case RecordType() | TupleType() | OptionType() | FutureType() | StreamType():
            return _OBJECT_BYTES + sum(map(fixed_size, children(type_)))
        case _:
            assert_never(type_)


_CHECK_EVERY_BYTES = 64 * 1024


class Interrupted(Exception):
    """The internal error for a conversion that was stopped. The execution converts it to the error that users see."""


def _never() -> bool:
    return False


def _no_resources(*_: object) -> int:
    raise TypeError("resources cannot be converted without a store")


class Transfer(Arena):
    """The account of one execution's conversions, and the memory of the values that it lowered.

    It must be kept alive until the call that was given these values has returned.
    """

    moved_bytes = 0
    """The bytes that were charged so far, in both directions."""
    lift_resource: Callable[[int, OwnType | BorrowType], object] = staticmethod(_no_resources)
    """A function that takes ownership of the `wasmtime_component_resource_any_t` at an address, and returns its Python
    value.
    """
    lower_resource: Callable[[object, OwnType | BorrowType], int] = staticmethod(_no_resources)
    """A function that returns the address of the `wasmtime_component_resource_any_t` of a Python value.

    The owner of the function keeps the ownership of the handle, which wasmtime copies at the beginning of the call.
    Raises `WrongType` for a value that is not a resource.
    """

    def __init__(self, limit_bytes: int | None, stop: Callable[[], bool] = _never) -> None:
        self._chunks = []
        self._limit_bytes = limit_bytes
        self._stop = stop
        # Small values take no time worth looking at.
        self._pause_at = _CHECK_EVERY_BYTES if limit_bytes is None else min(_CHECK_EVERY_BYTES, limit_bytes + 1)

    def charge(self, size_bytes: int) -> None:
        """Count bytes before they are transferred.

        Raises `ResourceLimitExceeded` if the limit is exceeded, and `Interrupted` if the execution should end.
        """
        moved_bytes = self.moved_bytes + size_bytes
        if moved_bytes >= self._pause_at:
            self._pause(moved_bytes, size_bytes)
        self.moved_bytes = moved_bytes

    def allows(self, size_bytes: int) -> bool:
        """Return whether the limit allows these bytes."""
        return self._limit_bytes is None or self.moved_bytes + size_bytes <= self._limit_bytes

    def check(self) -> None:
        """Raise `Interrupted` if the execution should end."""
        if self._stop():
            raise Interrupted

    def stop_at(self, stop: Callable[[], bool]) -> None:
        """Interrupt conversions from now on if `stop()` says so."""
        self._stop = stop

    def end(self) -> None:
        """End the conversions.

        The lowered values are freed with this object, which is not part of a reference cycle afterwards.
        """
        self._stop = _never
        self.lift_resource = self.lower_resource = _no_resources

    def _pause(self, moved_bytes: int, size_bytes: int) -> None:
        limit_bytes = self._limit_bytes
        if limit_bytes is not None and moved_bytes > limit_bytes:
            raise ResourceLimitExceeded(
                f"a value of {counted(size_bytes, 'byte')} exceeds the transfer limit: "
                f"{self.moved_bytes:,} of {counted(limit_bytes, 'byte')} are used",
                "host-transfer",
            )
        self.check()
        pause_at = moved_bytes + _CHECK_EVERY_BYTES
        self._pause_at = pause_at if limit_bytes is None else min(pause_at, limit_bytes + 1)
