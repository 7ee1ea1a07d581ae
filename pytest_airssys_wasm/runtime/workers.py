"""Threads that guest code runs on.

Guest code never runs on the caller's thread. The caller stays free to keep the clock, to pump captured output and
to give up on a guest that is blocked in a call which nothing can interrupt; and a signal handler, which Python
runs on the main thread only, can never raise inside a callback that wasmtime's native code is waiting for.
"""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STACK_BYTES = 8 * 2**20
"""Room for wasmtime's `max_wasm_stack` and Python's own frames, whatever `threading.stack_size` is set to."""

_IDLE = 8
"""Threads kept for the next executions; more than that end with their job."""


class _Worker:
    """A resident thread that runs one job at a time."""

    __slots__ = ("_job", "_wake")

    def __init__(self) -> None:
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        self._job: Callable[[], None] | None = None

    def start(self, job: Callable[[], None] | None) -> None:
        self._job = job
        self._wake.release()

    def serve(self) -> None:
        while True:
            self._wake.acquire()
            job, self._job = self._job, None
            if job is None:
                return
            job()
            del job  # a waiting thread must not keep the last store alive


class WorkerPool:
    """Hands jobs to idle threads, starting new ones when none is idle."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._starting = threading.Lock()

    def run(self, job: Callable[[], None]) -> None:
        """Run `job` on some thread; returns at once. `job` must not raise."""
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = self._new_worker()

        def run_then_idle() -> None:
            job()
            if len(self._idle) < _IDLE:
                self._idle.append(worker)
            else:
                worker.start(None)

        worker.start(run_then_idle)

    def close(self) -> None:
        """End the idle threads."""
        while self._idle:
            self._idle.pop().start(None)

    def _new_worker(self) -> _Worker:
        worker = _Worker()
        with self._starting:
            previous = threading.stack_size(_STACK_BYTES)
            try:
                # A daemon, because a guest blocked for ever must not keep the process from ending.
                threading.Thread(target=worker.serve, name="airssys-wasm-guest", daemon=True).start()
            finally:
                threading.stack_size(previous)
        return worker
