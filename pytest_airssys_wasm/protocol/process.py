"""An adapter's process: lines out, lines in, and an end whatever it does.

One thread reads and writes all three pipes, none of which can block it; the threads that ask wait for their answer
with a deadline. The process has a session of its own, and what is left of its group is killed with it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from pytest_airssys_wasm.protocol.pending import PendingRequests, Waiting
from pytest_airssys_wasm.protocol.process_group import exited, kill_group, signal_name
from pytest_airssys_wasm.protocol.transcript import shown
from pytest_airssys_wasm.runtime.errors import RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.protocol.transcript import Transcript

_CHUNK_BYTES = 65_536
_TICK_S = 0.02
"""How often a process is looked at whose pipes a child of it may be holding open."""
_LAST_WORDS_S = 1.0
"""How long a process may take to end once its input is closed."""
_VOICELESS_S = 0.25
"""How long it may take once its own output is closed."""
_BURIAL_S = 10.0
"""How long the end of a process is waited for, whatever keeps the thread that serves it."""
_LAST_CHUNKS = 64
"""What is read of each pipe after the end: a child that got away may write for ever."""


class AdapterProcess:
    """A started adapter, in this process's environment unless one is given.

    Raises `OSError` when it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path | None,
        line_bytes: int,
        diary: Transcript,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._stdin, self._stdout, self._stderr = self._process.stdin, self._process.stdout, self._process.stderr
        self._diary = diary
        self._letters = PendingRequests(line_bytes)
        self._lock = threading.Lock()
        self._outbox = bytearray()
        self._output_ended = False
        self._failure: RuntimeDied | None = None
        self._close_by: float | None = None
        self._is_over = False
        self._wake_in, self._wake_out = os.pipe()
        self._selector = selectors.DefaultSelector()
        self.untold: RuntimeDied | None = None
        """How it failed while nothing was asked, so that nobody was told."""
        for pipe in (self._stdin, self._stdout, self._stderr, self._wake_in, self._wake_out):
            os.set_blocking(pipe if isinstance(pipe, int) else pipe.fileno(), False)
        self._selector.register(self._stdout, selectors.EVENT_READ, self._read_stdout)
        self._selector.register(self._stderr, selectors.EVENT_READ, self._read_stderr)
        self._selector.register(self._wake_in, selectors.EVENT_READ, lambda: _read(self._wake_in))
        self._thread = threading.Thread(target=self._serve, name="airssys-wasm-adapter", daemon=True)
        self._thread.start()

    @property
    def process_id(self) -> int:
        """Of the process that was started; also of its session and group."""
        return self._process.pid

    @property
    def is_over(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._is_over

    def ask(self, identifier: int, line: bytes, deadline_s: float) -> bytes:
        """Send a line, and wait for the line that answers it.

        Raises `RuntimeDied` when none comes in time, or the process ends or breaks the protocol before.
        """
        return self.await_line(self.begin(identifier, line), deadline_s)

    def begin(self, identifier: int, line: bytes, *, may_ask: bool = False) -> Waiting:
        """Send a request. Raises `RuntimeDied` when the process is over."""
        with self._lock:
            if self._failure is not None or self._is_over:
                self.untold = None
                raise before_request(self._failure or RuntimeDied("it was closed", "status"))
            waiting = self._letters.expect(identifier, may_ask=may_ask)
            self._send(line)
        return waiting

    def reply(self, waiting: Waiting, line: bytes) -> None:
        """Send what the adapter asked for within a request. To a process that is over it is no use, and no error."""
        with self._lock:
            waiting.is_asked = False
            if self._failure is None and not self._is_over:
                self._send(line)

    def await_line(self, waiting: Waiting, deadline_s: float | None) -> bytes:
        """The answer to a request, or a question within it. Raises as `ask`."""
        line = waiting.next_line(deadline_s)
        if line is None:
            late = RuntimeDied(f"no answer in {deadline_s:g} s", "silence")
            self.condemn(late)
            line = waiting.next_line(_BURIAL_S)  # at the latest the failure comes now
            if line is None:
                raise late
        return line

    def allow(self, line_bytes: int) -> None:
        """How long a line may be that it writes, from now on."""
        self._letters.allow(line_bytes)

    def close(self) -> None:
        """End it: its input is closed, and a moment later what is left is killed. Returns when it is gone."""
        with self._lock:
            self._close_by = self._close_by or time.monotonic() + _LAST_WORDS_S
            self._wake()
        self._thread.join()

    def kill(self) -> None:
        """End it at once."""
        self.condemn(RuntimeDied("it was killed", "signal"))
        self._thread.join()

    def condemn(self, failure: RuntimeDied) -> None:
        """Have it ended at once, for this reason, without waiting for that."""
        with self._lock:
            self._failure = self._failure or failure
            self._wake()

    def _send(self, line: bytes) -> None:
        self._diary.sent(line)
        self._outbox += line
        self._outbox += b"\n"
        self._wake()

    def _wake(self) -> None:
        if not self._is_over:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_out, b"\0")

    # What follows runs on the thread that serves the pipes.

    def _serve(self) -> None:
        failure: RuntimeDied | None = None
        try:
            while self._failure is None and not self._should_close():
                self._turn()
        except RuntimeDied as error:
            failure = error
        finally:
            self._finish(failure)

    def _turn(self) -> None:
        with self._lock:
            self._write()
            is_watched = bool(self._letters) or self._close_by is not None
            is_full = bool(self._outbox)
        if is_full:
            self._selector.register(self._stdin, selectors.EVENT_WRITE, lambda: None)
        for key, _ in self._selector.select(_TICK_S if is_watched else None):
            key.data()
        if is_full:
            self._selector.unregister(self._stdin)
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
        return time.monotonic() > self._close_by

    def _write(self) -> None:
        if not self._outbox or self._stdin.closed:
            return
        try:
            while self._outbox:
                written = os.write(self._stdin.fileno(), self._outbox[:_CHUNK_BYTES])
                del self._outbox[:written]
        except BlockingIOError:
            pass  # the pipe is full
        except BrokenPipeError:
            self._outbox.clear()  # its end, or its silence, will tell

    def _read_stderr(self) -> bool:
        chunk = _read(self._stderr.fileno())
        if chunk == b"":
            self._selector.unregister(self._stderr)
        self._diary.complained(chunk or b"")
        return bool(chunk)

    def _read_stdout(self) -> bool:
        """Whether something came."""
        chunk = _read(self._stdout.fileno())
        if not chunk:
            self._output_ended = chunk == b""
            return False
        lines = self._letters.lines_of(chunk)
        for line in lines:
            self._diary.received(line)
        self._letters.deliver(lines)
        return True

    def _await_end(self) -> None:
        """Its output is closed: it has ended, or is about to, or lives on without a voice."""
        limit = time.monotonic() + _VOICELESS_S
        while exited(self._process.pid) is None:
            if time.monotonic() > limit:
                raise RuntimeDied("it closed its output and lives on", "silence")
            time.sleep(_TICK_S / 4)

    def _death(self) -> RuntimeDied:
        status = exited(self._process.pid) or 0
        begun = bytes(self._letters.begun)
        left = f", having written {shown(begun, 200)} without a newline" if begun else ""
        if status < 0:
            return RuntimeDied(f"it was killed by {signal_name(-status)}{left}", "signal")
        return RuntimeDied(f"it ended with status {status}{left}", "status")

    def _finish(self, failure: RuntimeDied | None) -> None:
        with self._lock:
            self._failure = ended = self._failure or failure or RuntimeDied("it was closed", "status")
        kill_group(self._process.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_BURIAL_S / 2)  # of what is killed only the system can make it longer
        self._selector.close()
        self._read_last_words()
        with self._lock:
            for pipe in (self._stdin, self._stdout, self._stderr):
                pipe.close()
            os.close(self._wake_in)
            os.close(self._wake_out)
            self.untold = None if self._letters or self._close_by is not None else failure
            self._is_over = True
            self._letters.give_up(ended)  # at last: who is told may start another at once

    def _read_last_words(self) -> None:
        """What is still in the pipes, for reports."""
        for _ in range(_LAST_CHUNKS):
            if not (chunk := _read(self._stderr.fileno())):
                break
            self._diary.complained(chunk)
        for _ in range(_LAST_CHUNKS):
            if not (chunk := _read(self._stdout.fileno())):
                break
            for line in self._letters.lines_of(chunk):
                self._diary.received(line)
        if self._letters.begun:
            self._diary.received(bytes(self._letters.begun))


def before_request(failure: RuntimeDied) -> RuntimeDied:
    """The failure as it is told to somebody whose request did not cause it."""
    return RuntimeDied(f"before this request: {failure}", failure.reason)


def _read(descriptor: int) -> bytes | None:
    """A chunk, empty at the end; `None` when nothing is there yet."""
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except BlockingIOError:
        return None
