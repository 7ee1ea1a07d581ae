"""The waker by which the thread of a guest, or of a clock, wakes the event loop that waits for it.

asyncio's `call_soon_threadsafe` uses a socket that the loop reads twice before the waiting task resumes. Here the task
resumes first, and the descriptor is read once, when the next guest is already running.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from contextlib import suppress
from contextvars import Context
from functools import cache
from os import EFD_CLOEXEC, EFD_NONBLOCK
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import monotonic, system
from pytest_airssys_wasm.runtime.execution.awaiting.immediate_future import ImmediateFuture
from pytest_airssys_wasm.runtime.execution.awaiting.loop_turn import LoopTurn
from pytest_airssys_wasm.runtime.execution.awaiting.timekeeper import Timekeeper
from pytest_airssys_wasm.runtime.execution.awaiting.turnstile import Turnstile

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.execution.awaiting.timekeeper import Resolvable


_LONGEST_S = 1.0
"""The maximum time in seconds for which an entry of the timekeeper is made for a sleep."""


class LoopWaker:
    """A waker, which resolves futures and timers on one event loop, for any thread. It is created on the loop's thread,
    and the loop keeps it.

    A waker references neither its loop nor the objects that the loop keeps, and closes its descriptor when it is
    garbage-collected.
    """

    __slots__ = ("__weakref__", "_descriptor", "_due", "_is_rung", "_kept", "turn", "turnstile")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.turn = LoopTurn()
        """The current turn of the loop."""
        self.turnstile = Turnstile()
        """The place where guests wait whose coroutines have ended on the loop."""
        self._is_rung = False
        """Whether the loop will call `_answer`, or is in it."""
        self._due: deque[weakref.ref[Resolvable]] = deque()
        self._descriptor = system.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        # At the end of the process a guest's thread may still ring, and must not find a descriptor of somebody else.
        weakref.finalize(self, system.close, self._descriptor).atexit = False
        # Not in the context of the task that happens to be running: the loop would keep all that it holds.
        kept: set[object] = set()
        self._kept = weakref.ref(kept)
        Context().run(loop.add_reader, self._descriptor, self._answer, kept)

    def wake(self, waiting: weakref.ref[Resolvable]) -> None:
        """Let the loop resolve this object, if it still exists. On a closed loop this does nothing."""
        self._due.append(waiting)
        if not self._is_rung:
            self._ring()

    def keep(self, timer: object) -> None:
        """Let the loop keep a timer, and everything that the timer references, until `forget` is called or the loop is
        closed.
        """
        if (kept := self._kept()) is not None:
            kept.add(timer)

    def forget(self, timer: object) -> None:
        """Let the loop no longer keep a timer."""
        if (kept := self._kept()) is not None:
            kept.discard(timer)

    def _answer(self, _kept: set[object]) -> None:
        due = self._due
        those_of_now = range(len(due))  # those that come meanwhile are for the next turn
        try:
            for _ in those_of_now:
                if not due:
                    break  # a task that went on has run this loop within itself
                waiting = due[0]
                due.popleft()
                through = waiting()
                if through is not None:
                    through.resolve()
        except BaseException:
            due.appendleft(waiting)  # a signal handler may have raised before; otherwise this does nothing
            raise
        finally:
            try:
                self._is_rung = False
                with suppress(BlockingIOError):  # such a task has read it
                    system.eventfd_read(self._descriptor)
            finally:
                # Those that came meanwhile; and where a task has ended the loop's turn (SystemExit), the others.
                if due:
                    self._ring()

    def _ring(self) -> None:
        # Noted before: afterwards, the loop may have answered already.
        try:
            self._is_rung = True
            system.eventfd_write(self._descriptor, 1)
        except BaseException:  # of a signal handler
            self._is_rung = False
            raise


class LoopWakers:
    """The wakers of event loops, one for each loop on which stores are awaited.

    This class is used on the threads of all these loops.
    """

    def __init__(self) -> None:
        self._wakers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWaker] = weakref.WeakKeyDictionary()
        self.timekeeper = Timekeeper()
        """The clock of all these loops."""

    def waker_of(self, loop: asyncio.AbstractEventLoop) -> LoopWaker:
        """Return the waker of the loop that is running on this thread."""
        waker = self._wakers.get(loop)
        if waker is None:
            self._forget_closed_loops()
            waker = self._wakers[loop] = LoopWaker(loop)
        return waker

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop, by a clock that tests cannot stop."""
        loop = asyncio.get_running_loop()
        until = monotonic() + seconds
        while (now := monotonic()) < until:
            # Not all of it at once: the timekeeper would keep an entry for a task that was cancelled till then.
            due, waker = ImmediateFuture(loop), self.waker_of(loop)
            waker.keep(due)
            try:
                self.timekeeper.wake_at(min(until, now + _LONGEST_S), waker, due)
                await due
            finally:
                waker.forget(due)

    def _forget_closed_loops(self) -> None:
        # They stay until the garbage is collected, and there may be a descriptor for each test of a session till then.
        for reference in self._wakers.keyrefs():
            loop = reference()
            if loop is not None and loop.is_closed():
                self._wakers.pop(loop, None)


@cache
def loop_wakers() -> LoopWakers:
    """Return the wakers of this process, which all engines share, so that a loop has one waker."""
    return LoopWakers()
