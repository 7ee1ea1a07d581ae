"""A timer of an event loop for deadlines that are rarely reached, such as those of most guests.

A timer of asyncio has to be created and cancelled for each deadline, which is the most expensive part of awaiting a
short execution, and it follows the loop's clock, which does not advance if a test has frozen the time. This timer
follows a clock that tests cannot stop, and is not cancelled with its deadline. If it fires before the next deadline, it
is set again; without a next deadline it does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWaker
    from pytest_airssys_wasm.runtime.execution.awaiting.timekeeper import Timekeeper

_LONGEST_S = 1.0
"""The maximum time in seconds for which a timer is kept after its deadline was cleared."""


class ReusableTimer:
    """A timer with one deadline at a time, on the event loop of a waker. It is set on that loop's thread."""

    __slots__ = ("__weakref__", "_call", "_due_at", "_goes_off_at", "_timekeeper", "_waker")

    def __init__(self, timekeeper: Timekeeper, waker: LoopWaker) -> None:
        self._timekeeper = timekeeper
        self._waker = waker
        self._due_at = 0.0
        self._call: Callable[[], None] | None = None
        self._goes_off_at: float | None = None
        """The next time at which the timer goes off, set or not; `None` when it does not."""

    def set(self, due_at: float, call: Callable[[], None]) -> None:
        """Call `call` at `due_at`, a time of `time.monotonic` in seconds. This replaces the previous deadline."""
        self._due_at, self._call = due_at, call
        if self._goes_off_at is None or due_at < self._goes_off_at:
            self._wind()

    def clear(self) -> None:
        """Clear the deadline.

        Without a deadline the timer does not reference a run, and the loop references only the timer.
        """
        self._call = None

    def resolve(self) -> None:
        """Call the due callback. The waker calls this method on the loop's thread when the timer has fired."""
        now = monotonic()
        if self._goes_off_at is None or now < self._goes_off_at:
            return  # it was set to an earlier time in the meantime, and went off then
        self._goes_off_at = None
        if self._call is None:
            self._waker.forget(self)
            return
        if now < self._due_at:
            self._wind()
            return
        call, self._call = self._call, None
        self._waker.forget(self)
        call()

    def _wind(self) -> None:
        self._goes_off_at = min(self._due_at, monotonic() + _LONGEST_S)
        # While a guest runs, its timer is all that holds a task that nobody else holds.
        self._waker.keep(self)
        self._timekeeper.wake_at(self._goes_off_at, self._waker, self)
