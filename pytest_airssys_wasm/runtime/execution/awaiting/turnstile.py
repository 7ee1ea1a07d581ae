"""The turnstile by which the threads of guests are woken one after the other, so that few want the GIL at once."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from pytest_airssys_wasm.runtime.base.originals import allocate_lock


class Sleeper(Protocol):
    """An object for which a thread sleeps."""

    def wake(self) -> bool:
        """Wake the thread, which then calls `Turnstile.leave`. Return False if it has no need to be woken any more."""


class Turnstile:
    """The place where threads are woken one after the other. It is thread-safe.

    A thread that has been woken lets the next one through as soon as it runs.
    """

    __slots__ = ("_is_taken", "_mutex", "_waiting")

    def __init__(self) -> None:
        self._mutex = allocate_lock()
        self._waiting: deque[Sleeper] = deque()
        self._is_taken = False

    def come(self, sleeper: Sleeper) -> None:
        """Wake a thread as soon as all before it are awake."""
        with self._mutex:
            if self._is_taken:
                self._waiting.append(sleeper)
                return
            self._is_taken = True
        if not sleeper.wake():
            self.leave()

    def leave(self) -> None:
        """Wake the next thread, because the one that was woken last is awake."""
        is_awake = False
        while not is_awake:
            with self._mutex:
                self._is_taken = bool(self._waiting)
                if not self._is_taken:
                    return
                sleeper = self._waiting.popleft()
            is_awake = sleeper.wake()
