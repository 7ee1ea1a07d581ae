"""The threads of guests that may be blocked, or cannot always be interrupted soon.

The caller of such a guest remains free to read captured output, to handle signals, and to abandon a guest that is
blocked in a call that cannot be interrupted. A signal handler, which Python runs on the main thread only, cannot raise
inside a host function that wasmtime's native code calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, start_thread, system
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks
from pytest_airssys_wasm.runtime.execution.parked_threads import ParkedThreads

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Job: TypeAlias = Callable[[], Callable[[], None] | None]
    """A piece of work that must not raise. Its result is called when the thread holds nothing of the job any more."""

_STACK_BYTES = 8 * 2**20
"""The size of the stack in bytes: enough for wasmtime's `max_wasm_stack` and Python's own frames."""

_IDLE = 8
"""The maximum number of idle threads that are kept."""

_LINGER_S = 1.0
"""The time in seconds for which further threads wait for a job before they end. A thousand threads that are started for
a thousand guests at once cost more than all else about these guests.
"""

_WAKE_UP_S = 0.0001
"""The maximum time in seconds to wait for a thread to wake up. It is sufficient if a core is free, and negligible if
none is.
"""


class _GuestThread:
    """A resident thread that runs one job at a time."""

    __slots__ = ("_idle", "_job", "_wake")

    def __init__(self, idle: list[_GuestThread]) -> None:
        self._idle = idle
        self._wake = allocate_lock()
        self._wake.acquire()
        self._job: Job | None = None

    def start(self, job: Job | None) -> None:
        self._job = job
        self._wake.release()

    def serve(self) -> None:
        is_kept = True
        while self._is_woken(is_kept):
            job, self._job = self._job, None
            if job is None:
                return
            farewell = job()
            del job  # a waiting thread must not keep the last store alive
            is_kept = len(self._idle) < _IDLE
            self._idle.append(self)
            if farewell is not None:
                farewell()
            del farewell

    def _is_woken(self, is_kept: bool) -> bool:
        """Wait for a job, and return False if the thread is to end without any."""
        if self._wake.acquire(timeout=-1 if is_kept else _LINGER_S):
            return True
        try:
            self._idle.remove(self)
        except ValueError:  # it was chosen for a job at this moment
            return self._wake.acquire()
        return False


class GuestThreads:
    """The guest threads of an engine. Jobs run on idle threads; new threads are started if none is idle."""

    def __init__(self) -> None:
        self.parked = ParkedThreads()
        """The threads that make prepared calls."""
        self._begin()

    def _begin(self) -> None:
        self._idle: list[_GuestThread] = []
        self._starting = allocate_lock()
        self._process_id = system.os.getpid()

    def run(self, job: Job) -> None:
        """Run `job` on a guest thread, and return immediately. Raises `UnfitHost` if no thread can be started."""
        if self._process_id != system.os.getpid():
            self._begin()  # a forked process has none of the threads
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = self._new_thread()
        thread.start(job)

    def run_ahead(self, job: Job) -> None:
        """Run `job` on a guest thread, and return when the job has begun, at the latest after 0.1 ms.

        A caller that continues to work before it waits would hold the GIL, without which a guest cannot be entered. By
        waiting for the start, the caller works in parallel with the guest.
        """
        begun = allocate_lock()
        begun.acquire()

        def begin() -> Callable[[], None] | None:
            begun.release()
            return job()

        self.run(begin)
        begun.acquire(timeout=_WAKE_UP_S)

    def close(self) -> None:
        """End the idle threads."""
        self.parked.close()
        while self._idle:
            self._idle.pop().start(None)

    def _new_thread(self) -> _GuestThread:
        thread = _GuestThread(self._idle)
        with self._starting, naming_lacks():
            start_thread(thread.serve, "airssys-wasm-guest", _STACK_BYTES)
        return thread
