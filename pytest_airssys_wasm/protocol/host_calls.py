"""The runtime's side of host calls, by which guests call functions of the driver while a request of their session is
open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from pytest_airssys_wasm.protocol.envelope import LINE_BYTES, too_long
from pytest_airssys_wasm.protocol.session_messages import HostCall, HostReply
from pytest_airssys_wasm.runtime.base.originals import SimpleQueue, allocate_lock
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded
from pytest_airssys_wasm.runtime.execution.run import Run

Ask = Callable[[str, Sequence[Any], Run | None], Any]
"""A function `(name, encoded arguments, run) -> encoded result` that calls a host function of the driver.

Raises `HostCallFailed` if the function failed, and `HostCallUnanswered` if no reply comes.
"""


class HostCallFailed(Exception):
    """The error for a host call whose function raised an error in the process of the driver."""


class HostCallUnanswered(Exception):
    """The internal error for a host call without a reply: the deadline has passed, the request is answered, or the
    driver has ended.
    """


class PendingHostCalls:
    """The host calls of the open requests, at most one for each request.

    `write` writes a whole line to the driver, and `line_bytes` returns its maximum length. A thread that reads the
    driver's lines passes replies to `reply`. Without such a thread `read` is required: a function that reads and
    handles the next line. The waiting thread calls it with the number of the request whose guest waits.
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
        """Allow the guest of this request to call host functions until the block ends.

        Raises `ValueError` if a request with this number is still open.
        """
        calls = _HostCalls(identifier, self._write, self._line_bytes, self._read)
        if self._open.setdefault(identifier, calls) is not calls:
            raise ValueError(f"id: request {identifier} is still open")
        try:
            if self._is_closed:
                calls.end()
            yield calls.ask
        finally:
            calls.end()
            del self._open[identifier]

    def reply(self, reply: HostReply) -> None:
        """Pass a reply to the guest that waits for it. A reply without a waiting guest is late, and is ignored."""
        calls = self._open.get(reply.asked_for)
        if calls is not None:
            calls.reply(reply)

    def close(self) -> None:
        """End all present and future waits, because no further reply will arrive."""
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
        """Pass on the reply; `None` ends the wait. Without an open call the reply is ignored."""
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
        """Return the line of a host call. Raises `ResourceLimitExceeded` if it would be too long."""
        fuel_left = None if run is None else run.fuel_left
        call = HostCall(host_call=name, args=[*args], asked_for=self._identifier, fuel_left=fuel_left)
        line, most = msgspec.json.encode(call), self._line_bytes()
        if len(line) > most:
            raise ResourceLimitExceeded(too_long(f"the arguments of {name}", line, most), "host-transfer")
        return line


def _wait_on() -> bool:
    return False
