"""The coroutines of host functions that run on the event loop of an execution, for whose end guests wait.

asyncio's `run_coroutine_threadsafe` wakes the loop by a socket for each coroutine, and each thread that waits as soon
as its coroutine has ended. If a thousand guests wait, their threads and that of the loop then all want the GIL at once.
Here the loop is woken once for all that have come, and the threads are woken one after the other.
"""

from __future__ import annotations

import asyncio
import weakref
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_airssys_wasm.runtime.base.originals import allocate_lock

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWaker

T = TypeVar("T")


class HostCoroutine:
    """A coroutine that an event loop runs for a guest. The guest's thread creates it, and waits for its end."""

    __slots__ = (
        "__weakref__",
        "_context",
        "_error",
        "_has_passed",
        "_is_stopped",
        "_is_to_be_woken",
        "_loop",
        "_task",
        "_to_begin",
        "_value",
        "_wait",
        "_waker",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, waker: LoopWaker, coroutine: Coroutine[Any, Any, Any]) -> None:
        # `current_execution` finds the run in the context of the guest's thread.
        self._context = copy_context()
        self._to_begin = [coroutine]
        """The coroutine, until one thread has taken it to begin or to close it."""
        self._loop = loop
        self._waker = waker
        self._task: asyncio.Task[Any] | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._is_stopped = False
        self._has_passed = False
        """Whether the guest was woken by the turnstile, and has to let the next one through."""
        self._is_to_be_woken = [True]
        """An item that is taken by the one thread that wakes the guest."""
        self._wait = allocate_lock()
        self._wait.acquire()

    def result(self) -> Any:
        """Run the coroutine on its loop, and return its result or raise its error, on the thread of the guest.

        Raises `CancelledError` at once if the coroutine was stopped, and `RuntimeError` if the loop is closed.
        """
        try:
            if not self._is_stopped:
                if self._loop.is_closed():
                    raise RuntimeError("Event loop is closed")
                self._waker.wake(weakref.ref(self))
                self._wait.acquire()
                if self._has_passed:
                    self._waker.turnstile.leave()
        finally:
            for coroutine in _taken(self._to_begin):
                coroutine.close()
        if self._is_stopped:
            raise asyncio.CancelledError
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._value

    def stop(self) -> None:
        """Cancel the coroutine, and let the guest go on at once. Any thread may call this method."""
        self._is_stopped = True
        if self._task is not None:
            self._waker.wake(weakref.ref(self))
        if _taken(self._is_to_be_woken):
            self._wait.release()

    def resolve(self) -> None:
        """Begin the coroutine, or cancel it if it was stopped. The waker calls this method on the loop's thread."""
        for coroutine in _taken(self._to_begin):
            try:
                self._task = self._context.run(self._loop.create_task, coroutine)
            except Exception as error:  # noqa: BLE001 raised again on the thread of the guest
                coroutine.close()
                self._error = error
                self._waker.turnstile.come(self)
            else:
                self._task.add_done_callback(self._end, context=self._context)
        if self._is_stopped and self._task is not None:
            self._task.cancel()

    def wake(self) -> bool:
        """Wake the guest, and return whether it was not woken before. Only the turnstile calls this method."""
        if not _taken(self._is_to_be_woken):
            return False
        self._has_passed = True
        self._wait.release()
        return True

    def _end(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._error = asyncio.CancelledError()
        else:
            self._error = task.exception()
            self._value = task.result() if self._error is None else None
        self._waker.turnstile.come(self)


def _taken(items: list[T]) -> list[T]:
    """Return the item of a list for the one thread that takes it; nothing for the others."""
    try:
        return [items.pop()]
    except IndexError:
        return []
