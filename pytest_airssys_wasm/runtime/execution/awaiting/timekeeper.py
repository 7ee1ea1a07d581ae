"""The clock of event loops: a thread that wakes them at given times.

Timers of an event loop follow the clock of that loop, which does not advance if a test has frozen the time.
"""

from __future__ import annotations

import heapq
import weakref
from itertools import count
from typing import TYPE_CHECKING, Protocol

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, monotonic, start_thread, system
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks

if TYPE_CHECKING:
    from typing import TypeAlias


class Resolvable(Protocol):
    """An object whose method is called on the thread of its event loop when the awaited event has occurred."""

    def resolve(self) -> object:
        """Resume the waiting task. The loop calls this method as a callback."""


class Waker(Protocol):
    """An object by which any thread can wake an event loop."""

    def wake(self, waiting: weakref.ref[Resolvable]) -> None:
        """Let the loop resolve this object, if it still exists."""


if TYPE_CHECKING:
    Due: TypeAlias = tuple[float, int, weakref.ref[Waker], weakref.ref[Resolvable]]


class Timekeeper:
    """The timekeeper, which wakes event loops at given times from a thread that ends when no time is left.

    It is thread-safe.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process_id = system.os.getpid()
        self._mutex = allocate_lock()
        self._wake = allocate_lock()
        self._wake.acquire()
        self._due: list[Due] = []
        self._numbers = count()
        self._is_running = False

    def wake_at(self, due_at: float, waker: Waker, waiting: Resolvable) -> None:
        """Let an object be resolved on its loop at `due_at`, a time of `monotonic` in seconds, if both still exist
        then.
        """
        if self._process_id != system.os.getpid():
            self._begin()  # a forked process has not got the thread
        with self._mutex:
            number = next(self._numbers)
            heapq.heappush(self._due, (due_at, number, weakref.ref(waker), weakref.ref(waiting)))
            if not self._is_running:
                with naming_lacks():
                    start_thread(self._serve, "airssys-wasm-clock")
                self._is_running = True
            elif self._due[0][1] == number and self._wake.locked():
                self._wake.release()

    def _serve(self) -> None:
        while (wait_s := self._wake_due()) is not None:
            self._wake.acquire(timeout=wait_s)

    def _wake_due(self) -> float | None:
        """Wake the due objects, and return the time in seconds until the next one; `None` if there is none."""
        with self._mutex:
            while self._due:
                due_at, _, find_waker, waiting = self._due[0]
                wait_s = due_at - monotonic()
                if wait_s > 0:
                    return wait_s
                heapq.heappop(self._due)
                if (waker := find_waker()) is not None:
                    waker.wake(waiting)
                del waker
            self._is_running = False
            return None
