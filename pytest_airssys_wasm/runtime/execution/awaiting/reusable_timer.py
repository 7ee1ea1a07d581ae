"""A timer of an event loop for deadlines that are hardly ever reached, such as those of good guests.

asyncio's own is made and cancelled for each of them, which costs more than anything else in awaiting a short
execution. This one is left to go off when its deadline is called off: too early for the next, and then it is set
again, or for nobody, and that was all.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_S = 1.0
"""The longest time after which a loop has forgotten a timer that is not set any more, however far its deadline was."""


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
        """Call `call` at `due_at`, a time of `monotonic`, in place of the deadline that was set before."""
        self._due_at, self._call = due_at, call
        if self._handle is None or due_at < self._goes_off_at:
            self._wind()

    def clear(self) -> None:
        """Call nothing. Between two deadlines the timer holds no run, and the loop holds only the timer."""
        self._call = None

    def close(self) -> None:
        """End the timer. On a thread that is not the loop's, it goes off once more and calls nothing."""
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
