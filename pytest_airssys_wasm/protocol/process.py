"""The process of an adapter or a worker: the exchange of lines with the process, and its end in all circumstances.

One thread reads and writes all three pipes without blocking; the threads that send requests wait for the answers with a
deadline. The process leads its own session, and the rest of its process group is killed with it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from pytest_airssys_wasm.protocol.pending import PendingRequest, PendingRequests
from pytest_airssys_wasm.protocol.process_group import exited, kill_group, signal_name
from pytest_airssys_wasm.protocol.transcript import line_text
from pytest_airssys_wasm.runtime.base.originals import (
    POLLIN,
    POLLOUT,
    Popen,
    TimeoutExpired,
    allocate_lock,
    monotonic,
    poll,
    sleep,
    start_thread,
    system,
)
from pytest_airssys_wasm.runtime.errors import RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.protocol.transcript import Transcript

_CHUNK_BYTES = 65_536
_TICK_S = 0.02
"""The interval in seconds at which the state of a process is checked, because a child may hold its pipes open after its
end.
"""
_LAST_WORDS_S = 1.0
"""The time in seconds that a process may take to end after its input is closed."""
_OUTPUT_CLOSED_S = 0.25
"""The time in seconds that a process may take to end after it has closed its output."""
_END_S = 10.0
"""The time in seconds to wait for the end of a process and of its thread."""
_LAST_CHUNKS = 64
"""The maximum number of chunks that are read from each pipe after the end of the process. A surviving child could write
forever.
"""


class AdapterProcess:
    """A process that was started with `command`, in the environment of this process unless one is given.

    Lines have at most `line_bytes` bytes. The transcript keeps the last lines, and the end of stderr. Of the
    descriptors of this process, the other one inherits those in `inherited`.

    Raises `OSError` if the process cannot be started, and `RuntimeError` if no thread can be started to serve it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path | None,
        line_bytes: int,
        transcript: Transcript,
        environment: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        self._wake_in, self._wake_out = system.pipe()
        try:
            self._process = Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                pass_fds=inherited,
            )
        except BaseException:
            self._close_wakers()
            raise
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._stdin, self._stdout, self._stderr = self._process.stdin, self._process.stdout, self._process.stderr
        self._transcript = transcript
        self._pending = PendingRequests(line_bytes)
        self._lock = allocate_lock()
        self._outbox = bytearray()
        self._output_ended = False
        self._failure: RuntimeDied | None = None
        self._close_by: float | None = None
        self._is_over = False
        self._owner_id = os.getpid()
        self._poll = poll()
        self._readers: dict[int, Callable[[], object]] = {}
        self.untold: RuntimeDied | None = None
        """The failure that happened while no request was open, and has not been reported yet."""
        for pipe in (self._stdin, self._stdout, self._stderr, self._wake_in, self._wake_out):
            system.set_blocking(pipe if isinstance(pipe, int) else pipe.fileno(), False)
        self._watch(self._stdout.fileno(), self._read_stdout)
        self._watch(self._stderr.fileno(), self._read_stderr)
        self._watch(self._wake_in, lambda: _read(self._wake_in))
        self._served = allocate_lock()
        self._served.acquire()
        try:
            start_thread(self._serve, "airssys-wasm-adapter")
        except BaseException:
            kill_group(self._process.pid)
            self._process.wait()
            self._close_pipes()
            raise

    @property
    def process_id(self) -> int:
        """The process id, which is also the id of the session and of the process group."""
        return self._process.pid

    @property
    def is_over(self) -> bool:
        """Whether the process has ended or failed, so that it cannot answer requests any more."""
        return self._is_over or self._is_anothers

    def ask(self, identifier: int, line: bytes, deadline_s: float) -> bytes:
        """Send a request, and return the line with its answer.

        Raises `RuntimeDied` if there is no answer within `deadline_s` seconds, or the process ends or breaks the
        protocol.
        """
        return self.await_line(self.begin(identifier, line), deadline_s)

    def begin(self, identifier: int, line: bytes, *, may_call: bool = False) -> PendingRequest:
        """Send a request. With `may_call` the process may call host functions before it answers.

        Raises `RuntimeDied` if the process has ended.
        """
        if self._is_anothers:
            raise before_request(RuntimeDied("it belongs to the process that this one was forked from", "status"))
        with self._lock:
            if self._failure is not None or self._is_over:
                self.untold = None
                raise before_request(self._failure or RuntimeDied("it was closed", "status"))
            pending = self._pending.expect(identifier, may_call=may_call)
            self._send(line)
        return pending

    def reply(self, pending: PendingRequest, line: bytes) -> None:
        """Send the reply to a host call within a request. If the process has ended, nothing is sent."""
        with self._lock:
            pending.is_called = False
            if self._failure is None and not self._is_over:
                self._send(line)

    def await_line(self, pending: PendingRequest, deadline_s: float | None) -> bytes:
        """Return the answer to a request, or a host call within it.

        Raises `RuntimeDied` if neither arrives within `deadline_s` seconds, or the process ends or breaks the protocol.
        """
        line = pending.next_line(deadline_s)
        if line is None:
            late = RuntimeDied(f"no answer in {deadline_s:g} s", "silence")
            self.condemn(late)
            line = pending.next_line(_END_S)  # at the latest the failure comes now
            if line is None:
                raise late
        return line

    def await_failure(self, identifier: int) -> RuntimeDied:
        """Return the reason for which a process that seems to have ended has failed, when it has ended.

        `identifier` is a number that no request has. A process that lives on is ended.
        """
        try:
            with self._lock:
                if self._failure is not None or self._is_over:
                    raise before_request(self._failure or RuntimeDied("it was closed", "status"))
                pending = self._pending.expect(identifier)
                self._wake()
            self.await_line(pending, _LAST_WORDS_S)
        except RuntimeDied as died:
            return died
        return RuntimeDied("it answered a request that there was not", "garbage")

    def allow(self, line_bytes: int) -> None:
        """Set the maximum length of further lines of the process, in bytes."""
        self._pending.allow(line_bytes)

    def close(self) -> None:
        """Close the input of the process, kill it and its children if they still run a second later, and wait for its
        end.
        """
        if self._is_anothers:
            return
        with self._lock:
            self._close_by = self._close_by or monotonic() + _LAST_WORDS_S
            self._wake()
        self._join()

    def kill(self) -> None:
        """Kill the process, and wait for its end."""
        self.condemn(RuntimeDied("it was killed", "signal"))
        self._join()

    @property
    def _is_anothers(self) -> bool:
        # In a process that was forked from the owner no thread serves the pipes, and locks may be held for ever.
        return os.getpid() != self._owner_id

    def condemn(self, failure: RuntimeDied) -> None:
        """Kill the process for this reason, without waiting for its end."""
        if self._is_anothers:
            return
        with self._lock:
            self._failure = self._failure or failure
            self._wake()

    def _send(self, line: bytes) -> None:
        self._transcript.sent(line)
        self._outbox += line
        self._outbox += b"\n"
        self._wake()

    def _wake(self) -> None:
        if not self._is_over:
            with contextlib.suppress(BlockingIOError):
                system.write(self._wake_out, b"\0")

    def _join(self) -> None:
        if not self._is_anothers:
            with self._served:
                pass

    # What follows runs on the thread that serves the pipes.

    def _serve(self) -> None:
        failure: RuntimeDied | None = None
        try:
            while self._failure is None and not self._should_close():
                self._turn()
        except RuntimeDied as error:
            failure = error
        finally:
            try:
                self._finish(failure)
            finally:
                self._served.release()

    def _watch(self, descriptor: int, read: Callable[[], object]) -> None:
        self._poll.register(descriptor, POLLIN)
        self._readers[descriptor] = read

    def _turn(self) -> None:
        with self._lock:
            self._write()
            is_watched = bool(self._pending) or self._close_by is not None
            is_full = bool(self._outbox) and not self._stdin.closed
        if is_full:
            self._poll.register(self._stdin.fileno(), POLLOUT)
        for descriptor, _ in self._poll.poll(_TICK_S * 1_000 if is_watched else None):
            if descriptor in self._readers:
                self._readers[descriptor]()
        if is_full:
            self._poll.unregister(self._stdin.fileno())
        if self._output_ended:
            self._await_end()
        if exited(self._process.pid) is not None:
            while self._read_stdout():  # an answer may have been its last act
                pass
            raise self._death()

    def _should_close(self) -> bool:
        if self._close_by is None:
            return False
        self._stdin.close()
        return monotonic() > self._close_by

    def _write(self) -> None:
        if not self._outbox or self._stdin.closed:
            return
        try:
            while self._outbox:
                written = system.write(self._stdin.fileno(), self._outbox[:_CHUNK_BYTES])
                del self._outbox[:written]
        except BlockingIOError:
            pass  # the pipe is full
        except BrokenPipeError:
            self._outbox.clear()  # its end, or its silence, will tell

    def _read_stderr(self) -> bool:
        chunk = _read(self._stderr.fileno())
        if chunk == b"":
            self._poll.unregister(self._stderr.fileno())
        self._transcript.stderr_received(chunk or b"")
        return bool(chunk)

    def _read_stdout(self) -> bool:
        """Read and process a chunk of output, and return whether there was one."""
        chunk = _read(self._stdout.fileno())
        if not chunk:
            self._output_ended = chunk == b""
            return False
        lines = self._pending.lines_of(chunk)
        for line in lines:
            self._transcript.received(line)
        self._pending.deliver(lines)
        return True

    def _await_end(self) -> None:
        """Wait for the end of a process that has closed its output. Raises `RuntimeDied` if it continues to run."""
        limit = monotonic() + _OUTPUT_CLOSED_S
        while exited(self._process.pid) is None:
            if monotonic() > limit:
                raise RuntimeDied("it closed its output but did not end", "silence")
            sleep(_TICK_S / 4)

    def _death(self) -> RuntimeDied:
        status = exited(self._process.pid) or 0
        begun = bytes(self._pending.begun)
        left = f", having written {line_text(begun, 200)} without a newline" if begun else ""
        if status < 0:
            return RuntimeDied(f"it was killed by {signal_name(-status)}{left}", "signal")
        return RuntimeDied(f"it ended with status {status}{left}", "status")

    def _finish(self, failure: RuntimeDied | None) -> None:
        with self._lock:
            self._failure = ended = self._failure or failure or RuntimeDied("it was closed", "status")
        kill_group(self._process.pid)
        with contextlib.suppress(TimeoutExpired):
            self._process.wait(_END_S / 2)  # of what is killed only the system can make it longer
        self._read_last_words()
        with self._lock:
            self._close_pipes()
            self.untold = None if self._pending or self._close_by is not None else failure
            self._is_over = True
            self._pending.give_up(ended)  # at last: who is told may start another at once

    def _close_pipes(self) -> None:
        for pipe in (self._stdin, self._stdout, self._stderr):
            pipe.close()
        self._close_wakers()

    def _close_wakers(self) -> None:
        system.close(self._wake_in)
        system.close(self._wake_out)

    def _read_last_words(self) -> None:
        """Read the remaining content of the pipes, for reports."""
        for _ in range(_LAST_CHUNKS):
            if not (chunk := _read(self._stderr.fileno())):
                break
            self._transcript.stderr_received(chunk)
        for _ in range(_LAST_CHUNKS):
            if not (chunk := _read(self._stdout.fileno())):
                break
            for line in self._pending.lines_of(chunk):
                self._transcript.received(line)
        if self._pending.begun:
            self._transcript.received(bytes(self._pending.begun))


def before_request(failure: RuntimeDied) -> RuntimeDied:
    """Return the error for a request that was sent after the process had failed."""
    return RuntimeDied(f"before this request: {failure}", failure.reason)


def _read(descriptor: int) -> bytes | None:
    """Return a chunk of bytes, empty at the end of the pipe; `None` if no data is available yet."""
    try:
        return system.read(descriptor, _CHUNK_BYTES)
    except BlockingIOError:
        return None
