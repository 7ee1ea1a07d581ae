"""A timer of an event loop for deadlines that are rarely reached, such as those of most guests.

A timer of asyncio has to be created and cancelled for each deadline, which is the most expensive part of awaiting a
short execution. This timer is not cancelled with its deadline. If it fires before the next deadline, it is set again;
without a next deadline it does nothing.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_S = 1.0
"""The maximum time in seconds for which a loop keeps a timer after its deadline was cleared."""


class ReusableTimer:
    """A timer with one deadline at a time, on one event loop. It is set on that loop's thread."""

    __slots__ = ("__weakref__", "_call", "_due_at", "_goes_off_at", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due_at = 0.0
        self._call: Callable[[], None] | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._goes_off_at = 0.0

    def set(self, due_at: float, call: Callable[[], None]) -> None:
        """Call `call` at `due_at`, a time of `time.monotonic` in seconds. This replaces the previous deadline."""
        self._due_at, self._call = due_at, call
        if self._handle is None or due_at < self._goes_off_at:
            self._wind()

    def clear(self) -> None:
        """Clear the deadline.

        Without a deadline the timer does not reference a run, and the loop references only the timer.
        """
        self._call = None

    def close(self) -> None:
        """End the timer.

        If this is called on another thread than the loop's, the timer fires once more without calling anything.
        """
        self.clear()
        if self._handle is not None and asyncio._get_running_loop() is self._loop:
            self._handle.cancel()
            self._handle = None

    def _wind(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        now = monotonic()
        self._goes_off_at = min(self._due_at, now + _LONGEST_S)
        # Not in the context of the task that happens to be running: the timer would keep all that it holds.
        self._handle = self._loop.call_later(max(0.0, self._goes_off_at - now), self._go_off, context=Context())

    def _go_off(self) -> None:
        self._handle = None
        if self._call is None:
            return
        if monotonic() < self._due_at:
            self._wind()
            return
        call, self._call = self._call, None
        call()
