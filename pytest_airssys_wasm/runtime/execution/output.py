"""The captured stdout and stderr of guests, which go through bounded pipes that the waiting caller reads.

Pipes are used instead of files, because a guest can write 500 MiB to a file within its timeout. A separate thread is
not needed, because the caller can read while it waits for the guest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import POLLIN, monotonic, poll, system
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks
from pytest_airssys_wasm.runtime.errors import UnfitHost
from pytest_airssys_wasm.runtime.execution.run import Stop

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.execution.run import Run

_READ_BYTES = 64 * 1024
_NAMES = ("stdout", "stderr")


class CapturedOutput:
    """The two pipes to which a guest writes, and the bytes that were read from them so far.

    Raises `UnfitHost` if the process has no file descriptors left.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._captured = {name: bytearray() for name in _NAMES}
        self.is_over = False
        self._readers: dict[int, str] = {}
        self._writers: dict[str, int] = {}
        self._through: Run | None = None
        self._poll = poll()
        self._wakers: tuple[int, ...] = ()
        try:
            with naming_lacks():
                self._open()
        except UnfitHost:
            self.close()
            raise

    def _open(self) -> None:
        self._wakers = self._wake_reader, self._wake_writer = system.pipe()
        self._poll.register(self._wake_reader, POLLIN)
        for name in _NAMES:
            reader, writer = system.pipe()
            system.set_blocking(reader, False)
            self._readers[reader] = name
            self._writers[name] = writer
            self._poll.register(reader, POLLIN)

    def path(self, name: str) -> str:
        """Return the path by which wasmtime opens the write end of a pipe."""
        return f"/dev/fd/{self._writers[name]}"

    def opened(self) -> None:
        """Close the write ends of this process, after wasmtime has opened its own, so that the pipes end with the
        guest.
        """
        while self._writers:
            system.close(self._writers.popitem()[1])

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The open read ends, for an event loop to watch."""
        return tuple(self._readers)

    def text(self, name: str) -> bytes:
        """Return the bytes that the guest has written so far."""
        return bytes(self._captured[name])

    def wake(self, run: Run) -> None:
        """End the poll of the caller. The guest's thread calls this method when it has finished."""
        self._through = run
        system.write(self._wake_writer, b"\0")

    def wait(self, run: Run, timeout_s: float | None) -> bool:
        """Read output until the guest's thread has finished, and return whether it has.

        The run is stopped at the output limit.
        """
        until = None if timeout_s is None else monotonic() + max(0.0, timeout_s)
        while True:
            left_ms = None if until is None else max(0.0, (until - monotonic()) * 1_000)
            events = self._poll.poll(left_ms)
            for descriptor, _event in events:
                if descriptor == self._wake_reader:
                    system.read(self._wake_reader, 1)
                    if self._through is not run:
                        continue  # of a run before, which was seen to be finished by other means
                    self._through = None
                    run.done.acquire()
                    self.drain()
                    self._judge(run)
                    return True
                self._read(descriptor)
            self._judge(run)
            if run.stop is Stop.OUTPUT or not events:
                return False
            if until is not None and monotonic() >= until:
                return False

    def drain(self) -> None:
        """Read the remaining bytes in the pipes."""
        for descriptor in list(self._readers):
            while self._read(descriptor):
                pass

    def close(self) -> None:
        """Close the read ends. A guest that still writes gets an error instead of blocking."""
        self.opened()
        for descriptor in (*self._readers, *self._wakers):
            system.close(descriptor)
        self._readers.clear()

    def _judge(self, run: Run) -> None:
        if self.is_over and run.stop is None:
            run.stop = Stop.OUTPUT

    def _read(self, descriptor: int) -> bool:
        try:
            chunk = system.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            if descriptor in self._readers:
                self._poll.unregister(descriptor)
                system.close(descriptor)
                del self._readers[descriptor]
            return False
        captured = self._captured[self._readers[descriptor]]
        room = self._limit_bytes - sum(map(len, self._captured.values()))
        captured += chunk[: max(0, room)]
        self.is_over = self.is_over or len(chunk) > room
        return True
