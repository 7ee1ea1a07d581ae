"""A future whose task resumes in the same iteration of the event loop in which the future is resolved.

An `asyncio.Future` wakes its task in the next iteration. That iteration takes 10 to 30 µs, about half of the overhead
of awaiting an execution compared to calling it. It is not needed here, because only one task waits, and that task is
not running.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class ImmediateFuture(asyncio.Future[None]):
    """A future that one task awaits once. It is used only on the loop's thread.

    The task registers itself with the methods of `asyncio.Future`, which are not written in Python. If a signal handler
    could raise there, the task would neither go on nor end when it is cancelled.
    """

    __slots__ = ("_is_resolved",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._is_resolved = False

    def done(self) -> bool:
        """Return whether the future is resolved or cancelled."""
        return self._is_resolved or super().done()

    def resolve(self) -> None:
        """Wake the task immediately.

        Only callbacks of the loop may call this method: while a task runs, another one cannot resume.
        """
        if self.done():
            return
        if not self._callbacks:
            self._is_resolved = True
            return
        ((wake, context),) = self._callbacks
        # A signal handler may raise before this line, and then in the task, but not between the two.
        self._is_resolved = True
        context.run(wake, self)

    def result(self) -> None:
        """Return nothing to the task that was woken. Raises `CancelledError` if the wait was cancelled.

        The error has the message of the cancellation, by which anyio recognizes its own cancellations.
        """
        if self.cancelled():
            super().result()

    def __await__(self) -> Generator[ImmediateFuture, None, None]:
        if not self.done():
            self._asyncio_future_blocking = True
            yield self
        self.result()
