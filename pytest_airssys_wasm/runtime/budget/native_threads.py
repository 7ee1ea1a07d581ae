"""The threads that wasmtime starts once in a process, and never again in one that is forked from it.

A forked process has a copy of wasmtime's memory, in which these threads are running, but has no thread besides its own.
Work that is given to such a thread is never done.
"""

from __future__ import annotations

from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.errors import NOTHING, UnfitHost


class NativeThreads:
    """The threads of wasmtime for one purpose, in this process."""

    def __init__(self, use: str, remedy: str) -> None:
        self._use = use
        self._remedy = remedy
        self._process_id: int | None = None
        """The id of the process in which the threads were started; `None` before that."""

    def need(self) -> None:
        """Note that the threads are started now.

        Raises `UnfitHost` if they were started in the process from which this one was forked.
        """
        process_id = system.os.getpid()
        if self._process_id is None:
            self._process_id = process_id
        elif self._process_id != process_id:
            raise UnfitHost(
                f"{self._use} in a forked process",
                NOTHING,
                f"threads of wasmtime, which were started before the fork: fork earlier, spawn the process, "
                f"or use {self._remedy}",
            )


# They belong to the process, as the threads themselves do.
COMPILING = NativeThreads("compiling guests", "a cache, or ProcessIsolation")
WASI = NativeThreads("guests with WASI", "ProcessIsolation")
