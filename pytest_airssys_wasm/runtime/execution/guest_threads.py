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
    from typing import TypeAlias

    Job: TypeAlias = Callable[[], Callable[[], None] | None]
    """Must not raise. What it returns is called when the thread holds nothing of the job any more."""

_STACK_BYTES = 8 * 2**20
"""Room for wasmtime's `max_wasm_stack` and Python's own frames, whatever `threading.stack_size` is set to."""

_IDLE = 8
"""Threads kept for the next executions; more than that end with their job."""

_WAKE_UP_S = 0.0001
"""Longer than a thread takes to wake up when a core is free; and not to be noticed where none is."""


class _Worker:
    """A resident thread that runs one job at a time."""

    __slots__ = ("_idle", "_job", "_wake")

    def __init__(self, idle: list[_Worker]) -> None:
        self._idle = idle
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        self._job: Job | None = None

    def start(self, job: Job | None) -> None:
        self._job = job
        self._wake.release()

    def serve(self) -> None:
        is_needed = True
        while is_needed:
            self._wake.acquire()
            job, self._job = self._job, None
            if job is None:
                return
            last_word = job()
            del job  # a waiting thread must not keep the last store alive
            is_needed = len(self._idle) < _IDLE
            if is_needed:
                self._idle.append(self)
            if last_word is not None:
                last_word()
            del last_word


class GuestThreads:
    """Hands jobs to idle threads, starting new ones when none is idle."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._starting = threading.Lock()

    def run(self, job: Job) -> None:
        """Run `job` on some thread; returns at once."""
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = self._new_worker()
        worker.start(job)

    def run_ahead(self, job: Job) -> None:
        """As `run`, but returns when the thread has begun, or did not within 0.1 ms.

        For a caller that has more to do before it waits: it would hold the GIL, without which no guest is entered,
        and does it beside the guest instead.
        """
        begun = _thread.allocate_lock()
        begun.acquire()

        def begin() -> Callable[[], None] | None:
            begun.release()
            return job()

        self.run(begin)
        begun.acquire(timeout=_WAKE_UP_S)

    def close(self) -> None:
        """End the idle threads."""
        while self._idle:
            self._idle.pop().start(None)

    def _new_worker(self) -> _Worker:
        worker = _Worker(self._idle)
        with self._starting:
            previous = threading.stack_size(_STACK_BYTES)
            try:
                # A daemon, because a guest blocked for ever must not keep the process from ending.
                threading.Thread(target=worker.serve, name="airssys-wasm-guest", daemon=True).start()
            finally:
                threading.stack_size(previous)
        return worker
