"""The raw store of wasmtime, which is created, metered and deleted through its address."""

from __future__ import annotations

from ctypes import CFUNCTYPE, byref, c_uint8, c_uint64, c_void_p, cast
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi import abi, failures

if TYPE_CHECKING:
    from collections.abc import Callable

_CONTINUE = 0  # WASMTIME_UPDATE_DEADLINE_CONTINUE

_EpochCallback = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)


def address(managed: Any) -> int:
    """Return the C address that a wasmtime-py object owns."""
    value = cast(managed.ptr(), c_void_p).value
    assert value is not None
    return value


class EpochCallback:
    """The callback that wasmtime calls on the thread of the guest at each new epoch, to decide whether to end the
    guest.
    """

    def __init__(self, is_stopped: Callable[[], bool]) -> None:
        self._is_stopped = is_stopped
        self._callback = _EpochCallback(self._decide)
        self.address = cast(self._callback, c_void_p).value

    def _decide(self, _context: int, _data: None, delta: int, kind: int) -> int | None:
        if self._is_stopped():
            return failures.new_interrupt()
        c_uint64.from_address(delta).value = 1
        c_uint8.from_address(kind).value = _CONTINUE
        return None


class RawStore:
    """A `wasmtime_store_t`. It is not thread-safe; its last user must call `delete` exactly once."""

    __slots__ = ("_fuel", "context", "pointer")

    def __init__(
        self,
        engine: int,
        epoch_callback: EpochCallback,
        *,
        table_elements: int,
        instances: int,
        tables: int,
        memories: int,
    ) -> None:
        self.pointer = abi.store_new(engine, None, None)
        self.context = abi.store_context(self.pointer)
        # Memory is not limited here (-1): the memory account refuses growth, and remembers that it did.
        abi.store_limiter(self.pointer, -1, *(_i64(n) for n in (table_elements, instances, tables, memories)))
        abi.store_epoch_deadline_callback(self.pointer, epoch_callback.address, None, None)
        self._fuel = c_uint64()

    def begin(self, fuel: int, *, stopped: bool) -> None:
        """Set the fuel counter, and let wasmtime call the epoch callback at the next epoch, or immediately if
        `stopped`.
        """
        abi.context_set_fuel(self.context, fuel)
        abi.context_set_epoch_deadline(self.context, 0 if stopped else 1)

    def fuel_left(self) -> int:
        """Return the value of the fuel counter."""
        abi.context_get_fuel(self.context, byref(self._fuel))
        return self._fuel.value

    def set_wasi(self, config: Any) -> None:
        """Set the `wasmtime.WasiConfig` of the store, which takes ownership of it.

        Raises `OSError` if wasmtime refuses it.
        """
        error = abi.context_set_wasi(self.context, cast(config._consume(), c_void_p))
        if error:
            raise OSError(failures.take(error).cause)

    def delete(self) -> None:
        """Free the store and everything in it."""
        abi.store_delete(self.pointer)


def _i64(count: int) -> int:
    # A negative count would mean "no limit" to wasmtime, and a larger one would wrap to it.
    return min(count, 2**63 - 1)
