"""The waker by which the thread of a guest wakes the event loop that waits for the guest.

asyncio's `call_soon_threadsafe` uses a socket that the loop reads twice before the waiting task resumes. Here the task
resumes first, and the descriptor is read once, when the next guest is already running.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from pytest_airssys_wasm.runtime.execution.awaiting.immediate_future import ImmediateFuture


class LoopWaker:
    """Resolves futures on one event loop, for any thread. Made on the loop's thread; the loop keeps it.

    It does not hold the loop, and closes its descriptor when nothing holds it any more.
    """

    __slots__ = ("__weakref__", "_descriptor", "_due")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due: deque[weakref.ref[ImmediateFuture]] = deque()
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # At the end of the process a guest's thread may still ring, and must not find a descriptor of somebody else.
        weakref.finalize(self, os.close, self._descriptor).atexit = False
        # Not in the context of the task that happens to be running: the loop would keep all that it holds.
        Context().run(loop.add_reader, self._descriptor, self._answer)

    def wake(self, waiting: weakref.ref[ImmediateFuture]) -> None:
        """Let the loop resolve this future, if it still exists. On a closed loop this does nothing."""
        self._due.append(waiting)
        os.eventfd_write(self._descriptor, 1)

    def _answer(self) -> None:
        try:
            for _ in range(len(self._due)):  # those that come meanwhile are for the next turn
                through = self._due.popleft()()
                if through is not None:
                    through.resolve()
        finally:
            with suppress(BlockingIOError):  # a task that went on has run this loop within itself, which has read it
                os.eventfd_read(self._descriptor)
            if (
                self._due
            ):  # those that came meanwhile; and where a task has ended the loop's turn (SystemExit), the others
                os.eventfd_write(self._descriptor, 1)


class LoopWakers:
    """The wakers of the event loops on which the stores of an engine are awaited.

    This class is used on the threads of all these loops.
    """

    def __init__(self) -> None:
        self._wakers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWaker] = weakref.WeakKeyDictionary()

    def waker_of(self, loop: asyncio.AbstractEventLoop) -> LoopWaker:
        """Return the waker of the loop that is running on this thread."""
        waker = self._wakers.get(loop)
        if waker is None:
            self._forget_closed_loops()
            waker = self._wakers[loop] = LoopWaker(loop)
        return waker

    def _forget_closed_loops(self) -> None:
        # They stay until the garbage is collected, and there may be a descriptor for each test of a session till then.
        for reference in self._wakers.keyrefs():
            loop = reference()
            if loop is not None and loop.is_closed():
                self._wakers.pop(loop, None)
