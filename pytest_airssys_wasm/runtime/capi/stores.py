"""The store of wasmtime under the native guard, which is created, metered and deleted through its address."""

from __future__ import annotations

import os
import sys
from ctypes import addressof, c_void_p, cast
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.capi.guard import GuardRun, guard

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.base.probes import ProbeFile

MOST = 2**63 - 1
"""The greatest limit that wasmtime and the guard take."""


def address(managed: Any) -> int:
    """Return the C address that a wasmtime-py object owns."""
    return addressof(managed.ptr().contents)  # a cast takes five times as long


class Memories:
    """The memory creator of one engine, which charges each memory to the store of the run that makes it.

    The memories of `probes` are not charged: an instrumented guest meets its memory limit where the original does. All
    of them are one file, mapped into the process. What a probe has written is in the file as soon as it is written, so
    it can be read after a trap, after a deadline, and if the process has died.
    """

    def __init__(self, config: int, probes: ProbeFile | None = None) -> None:
        """Install the creator in the engine that will be made from the `wasm_config_t` at the address `config`.

        Raises `OSError` if the file of the probes cannot be opened.
        """
        self._guard = guard()
        self._address = self._guard.memories_new(config)
        if not self._address or not self._guard.was_equipped(config):
            raise MemoryError
        if probes is not None:
            self._provide(probes)

    def _provide(self, probes: ProbeFile) -> None:
        file = os.open(probes.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            error = self._guard.memories_probe(self._address, file, probes.memory_bytes, probes.most_memory_bytes)
        finally:
            os.close(file)
        if error:
            raise OSError(error, os.strerror(error))

    @property
    def live(self) -> int:
        """The number of existing memories. The engine must still exist."""
        return int(self._guard.memories_live(self._address))


class RawStore:
    """A `wasmtime_store_t`. It is not thread-safe; its last user must call `delete` exactly once."""

    __slots__ = ("address", "context", "guard", "run")

    def __init__(
        self, engine: int, *, memory_bytes: int, table_elements: int, instances: int, tables: int, memories: int
    ) -> None:
        if sys.is_finalizing():
            raise RuntimeError("no guest can be run any more: the interpreter is ending")  # ctypes would crash
        self.guard = guard()
        self.run = GuardRun(limit_bytes=min(memory_bytes, MOST))
        """The account and the figures of the store."""
        self.address = addressof(self.run)
        """The address of `run`, which stands for the store in functions of the guard."""
        # A negative count would mean "no limit" to wasmtime, and a larger one would wrap to it.
        counts = (min(count, MOST) for count in (table_elements, instances, tables, memories))
        self.guard.store_new(self.address, engine, *counts)
        self.context: int = self.run.context
        """The address of the `wasmtime_context_t`."""

    def set_wasi(self, config: Any) -> None:
        """Set the `wasmtime.WasiConfig` of the store, which takes ownership of it.

        Raises `OSError` if wasmtime refuses it.
        """
        error = abi.context_set_wasi(self.context, cast(config._consume(), c_void_p))
        if error:
            raise OSError(failures.take(error).cause)

    def delete(self) -> None:
        """Free the store and everything in it."""
        self.guard.store_delete(self.address)
