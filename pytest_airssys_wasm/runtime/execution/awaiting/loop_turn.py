"""The turn of an event loop: its current iteration, in which a task that need not wait may go on for a while.

A call whose guest has returned at once gives its task no reason to wait. A task that makes many such calls would keep
the loop from its other tasks, its timers and its cancellations.
"""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import monotonic

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

_LONGEST_S = 0.001
"""The time in seconds after which a task has to let the loop go on."""


class LoopTurn:
    """The current turn of an event loop. It is used only on the loop's thread."""

    __slots__ = ("_began_at",)

    def __init__(self) -> None:
        self._began_at: float | None = None

    def is_over(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether tasks should let the loop go on: a millisecond after the first question in this iteration."""
        now = monotonic()
        if self._began_at is None:
            self._began_at = now
            # Not in the context of the running task: the loop would keep all that it holds.
            loop.call_soon(self._end, context=Context())
            return False
        return now - self._began_at >= _LONGEST_S

    def _end(self) -> None:
        self._began_at = None


class NextTurn:
    """An awaitable with which a task lets the loop go on, and continues in its next iteration."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield
