"""The two pipes between this process and a worker in which the frames of plain calls are exchanged.

The thread that calls writes and reads them itself, so that nothing is handed over to another thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.isolation.pace import Pace, input_spin
from pytest_airssys_wasm.isolation.plain_frames import FRAME_BYTES
from pytest_airssys_wasm.runtime.base.originals import POLLIN, poll, system

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_MS = 1_000.0
"""The interval in milliseconds at which a caller looks whether the process still lives. A process that was forked from
this one while the worker was started may hold the worker's end of a pipe open.
"""


class PlainPipe:
    """The pipes of one worker. Only one thread at a time may use them, which the claim on the store ensures."""

    __slots__ = ("_answers", "_calls", "_is_over", "_poll", "_read", "_spin", "_write", "pace", "theirs")

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over
        self.pace = Pace()
        """The pace of the calls."""
        self.theirs: tuple[int, ...] = ()
        """The descriptors of the worker: of the pipe from which it reads calls, and of that to which it writes answers.
        """
        self._answers = self._calls = -1
        read_calls, self._calls = system.pipe()
        self.theirs = (read_calls,)
        try:
            self._answers, write_answers = system.pipe()
        except BaseException:
            self.close_theirs()
            self.close()
            raise
        self.theirs = (read_calls, write_answers)
        waiting = poll()
        waiting.register(self._answers, POLLIN)
        self._poll, self._read, self._write = waiting.poll, system.read, system.write
        self._spin = input_spin()

    def close_theirs(self) -> None:
        """Close the worker's descriptors, which it has inherited."""
        theirs, self.theirs = self.theirs, ()
        for descriptor in theirs:
            system.close(descriptor)

    def close(self) -> None:
        """Close the descriptors of this process. No call may be open. Further calls do nothing."""
        ours, self._answers, self._calls = (self._answers, self._calls), -1, -1
        for descriptor in ours:
            if descriptor >= 0:
                system.close(descriptor)

    def ask(self, frame: bytes, most_ms: float | None) -> bytes | None:
        """Write a call, and return its answer, or the beginning of a longer one.

        The answer is empty if the process has closed its pipes or is over, and `None` if none came in time.
        """
        try:
            self._write(self._calls, frame)
        except BrokenPipeError:
            return b""
        return self.read(most_ms)

    def read(self, most_ms: float | None) -> bytes | None:
        """Return what is in the pipe once there is something, as `ask` does."""
        if self.pace.is_looping:
            self._spin(self._answers)
        left_ms = most_ms
        while not self._poll(_LOOK_MS if left_ms is None or left_ms > _LOOK_MS else left_ms):
            if self._is_over():
                return b""
            if left_ms is not None:
                left_ms -= _LOOK_MS
                if left_ms <= 0:
                    return None
        return self._read(self._answers, FRAME_BYTES)

    def __del__(self) -> None:
        self.close()
