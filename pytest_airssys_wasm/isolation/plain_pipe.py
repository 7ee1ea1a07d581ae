"""The two pipes between this process and a worker in which the frames of plain calls are exchanged.

The thread that calls writes and reads them itself, so that nothing is handed over to another thread.
"""

from __future__ import annotations

from ctypes import addressof
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import POLLIN, poll, system
from pytest_airssys_wasm.runtime.capi.guard import guard
from pytest_airssys_wasm.runtime.capi.guard_frames import FRAME_BYTES, NOT_WRITTEN, GuardPipes

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_MS = 1_000.0
"""The interval in milliseconds at which a caller looks whether the process still lives. A process that was forked from
this one while the worker was started may hold the worker's end of a pipe open.
"""


class PlainPipe:
    """The pipes of one worker. Only one thread at a time may use them, which the claim on the store ensures."""

    __slots__ = ("_is_over", "_poll", "address", "ask", "shared", "theirs")

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over
        self.theirs: tuple[int, ...] = ()
        """The descriptors of the worker: of the pipe from which it reads calls, and of that to which it writes answers.
        """
        self.shared = GuardPipes(to=-1, source=-1)
        """The struct in which calls are written and answers are read."""
        self.address = addressof(self.shared)
        self.ask: Callable[[int], int] = guard().ask
        """A function that takes the address, writes a call, and returns how many bytes of its answer were read."""
        read_calls, self.shared.to = system.pipe()
        self.theirs = (read_calls,)
        try:
            self.shared.source, write_answers = system.pipe()
        except BaseException:
            self.close_theirs()
            self.close()
            raise
        self.theirs = (read_calls, write_answers)
        waiting = poll()
        waiting.register(self.shared.source, POLLIN)
        self._poll = waiting.poll

    @property
    def is_open(self) -> bool:
        """Whether a call was written and has not been answered."""
        return bool(self.shared.is_open)

    def note_answer(self) -> None:
        """Note that the call was answered, by something else than a frame that the guard has read."""
        self.shared.is_open = False

    def close_theirs(self) -> None:
        """Close the worker's descriptors, which it has inherited."""
        theirs, self.theirs = self.theirs, ()
        for descriptor in theirs:
            system.close(descriptor)

    def close(self) -> None:
        """Close the descriptors of this process. No call may be open. Further calls do nothing."""
        shared = self.shared
        ours = shared.source, shared.to
        shared.source = shared.to = -1
        for descriptor in ours:
            if descriptor >= 0:
                system.close(descriptor)

    def rest(self, count: int, most_ms: float | None) -> bytes | None:
        """Return the answer to a call, or the beginning of a longer one, for which `ask` has returned `count`.

        The answer is empty if the process has closed its pipes or is over, and `None` if none comes in time.
        """
        shared = self.shared
        if count >= 0:
            return shared.read_bytes(count)
        if count == NOT_WRITTEN:
            try:
                system.write(shared.to, shared.written_bytes())
            except BrokenPipeError:
                return b""
        return self.read(most_ms)

    def read(self, most_ms: float | None) -> bytes | None:
        """Return what is in the pipe once there is something, as `rest` does."""
        left_ms = most_ms
        while not self._poll(LOOK_MS if left_ms is None or left_ms > LOOK_MS else left_ms):
            if self._is_over():
                return b""
            if left_ms is not None:
                left_ms -= LOOK_MS
                if left_ms <= 0:
                    return None
        return system.read(self.shared.source, FRAME_BYTES)

    def __del__(self) -> None:
        self.close()
