"""The runtime's side of host calls: guests ask the driver while a request of their session is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

import msgspec

from pytest_airssys_wasm.protocol.envelope import LINE_BYTES, too_long
from pytest_airssys_wasm.protocol.session_messages import HostCall, HostReply
from pytest_airssys_wasm.runtime.base.originals import allocate_lock
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded
from pytest_airssys_wasm.runtime.execution.run import Run

Ask = Callable[[str, Sequence[Any], Run | None], Any]
"""A function `(name, encoded arguments, run) -> encoded result` that calls a host function of the driver.

Raises `HostCallFailed` where the function failed, and `HostCallUnanswered` where no reply comes.
"""


class HostCallFailed(Exception):
    """The host function raised an error in the process of the driver."""


class HostCallUnanswered(Exception):
    """No reply is waited for any more: time is up, the request is answered, or the driver is gone. Internal."""


class PendingHostCalls:
    """The host calls of the requests that are worked on, at most one for each request.

    `write` writes a whole line to the driver, and `line_bytes` gives the length that it may have. Replies are handed in
    with `reply`, by a thread that reads the driver's lines. Without such a thread `read` has to be given: it reads and
    handles the next line, and is called with the number of the request whose guest waits, by the thread that waits.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        line_bytes: Callable[[], int] = lambda: LINE_BYTES,
        read: Callable[[int], object] | None = None,
    ) -> None:
        self._write = write
        self._line_bytes = line_bytes
        self._read = read
        self._open: dict[int, _HostCalls] = {}
        self._is_closed = False

    @contextmanager
    def within(self, identifier: int) -> Iterator[Ask]:
        """Let the guest of this request call host functions until the block ends, and none after the answer.

        Raises `ValueError` where a request of this number is still worked on.
        """
        calls = _HostCalls(identifier, self._write, self._line_bytes, self._read)
        if self._open.setdefault(identifier, calls) is not calls:
            raise ValueError(f"id: request {identifier} is still worked on")
        try:
            if self._is_closed:
                calls.end()
            yield calls.ask
        finally:
            calls.end()
            del self._open[identifier]

    def reply(self, reply: HostReply) -> None:
        """Hand a reply to the guest that waits for it. A reply that nobody waits for came too late."""
        calls = self._open.get(reply.asked_for)
        if calls is not None:
            calls.reply(reply)

    def close(self) -> None:
        """End every wait, now and later: no reply will come any more."""
        self._is_closed = True
        for calls in [*self._open.values()]:
            calls.end()


class _HostCalls:
    """The host calls of one request, one at a time."""

    def __init__(
        self,
        identifier: int,
        write: Callable[[bytes], None],
        line_bytes: Callable[[], int],
        read: Callable[[int], object] | None,
    ) -> None:
        self._identifier = identifier
        self._write = write
        self._line_bytes = line_bytes
        self._read = read
        # Held while a call is written: so none is behind the answer, and a reply cannot be before its call.
        self._lock = allocate_lock()
        self._replies: SimpleQueue[HostReply | None] = SimpleQueue()
        self._is_asked = False
        self._is_over = False

    def ask(self, name: str, args: Sequence[Any], run: Run | None) -> Any:
        line = self._line(name, args, run)
        if run is not None:
            # A driver that keeps the clock itself, which is one that is read here, ends the wait with its reply.
            run.stop_host = partial(self.reply, None) if self._read is None else _wait_on
        try:
            with self._lock:
                # A run is marked as stopped before its wait is ended.
                if self._is_over or (run is not None and self._read is None and run.is_stopped()):
                    raise HostCallUnanswered
                self._write(line)
                self._is_asked = True
            reply = self._next_reply()
        finally:
            if run is not None:
                run.stop_host = None
        if reply is None:
            raise HostCallUnanswered
        if reply.host_error is not None:
            raise HostCallFailed(reply.host_error)
        return reply.host_return

    def reply(self, reply: HostReply | None) -> None:
        """Hand over the reply; `None` ends the wait for it. Without a call it is for nobody."""
        with self._lock:
            if self._is_asked:
                self._is_asked = False
                self._replies.put(reply)

    def end(self) -> None:
        """End the wait, and refuse further calls."""
        with self._lock:
            self._is_over = True
        self.reply(None)

    def _next_reply(self) -> HostReply | None:
        while self._read is not None and self._replies.empty():
            self._read(self._identifier)
        return self._replies.get()

    def _line(self, name: str, args: Sequence[Any], run: Run | None) -> bytes:
        """Return the line of a host call. Raises `ResourceLimitExceeded` where it would be too long."""
        fuel_left = None if run is None else run.fuel_left
        call = HostCall(host_call=name, args=[*args], asked_for=self._identifier, fuel_left=fuel_left)
        line, most = msgspec.json.encode(call), self._line_bytes()
        if len(line) > most:
            raise ResourceLimitExceeded(too_long(f"the arguments of {name}", line, most), "host-transfer")
        return line


def _wait_on() -> None:
    pass
