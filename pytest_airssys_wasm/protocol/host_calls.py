"""What guests ask of the driver while a request of their session is worked on, and the replies to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

import msgspec

from pytest_airssys_wasm.protocol.line_limits import LINE_BYTES, too_long
from pytest_airssys_wasm.protocol.session_messages import HostCall, HostReply
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded
from pytest_airssys_wasm.runtime.execution.run import Run

Ask = Callable[[str, Sequence[Any], Run | None], Any]
"""Name, encoded arguments and the run, to the encoded result. Raises `FailedElsewhere`."""


class FailedElsewhere(Exception):
    """The host function raised, in the process where it is."""


class Unanswered(Exception):
    """No reply is waited for any more: time is up, the request is answered, or the driver is gone. Internal."""


def question(identifier: int, name: str, args: Sequence[Any], run: Run | None, line_bytes: int) -> bytes:
    """The line that asks for a host function. Raises `ResourceLimitExceeded` where it would be too long."""
    fuel_left = None if run is None else run.fuel_left
    line = msgspec.json.encode(HostCall(host_call=name, args=[*args], asked_for=identifier, fuel_left=fuel_left))
    if len(line) > line_bytes:
        raise ResourceLimitExceeded(too_long(f"the arguments of {name}", line, line_bytes), "host-transfer")
    return line


def returned(reply: HostReply) -> Any:
    """What the host function returned. Raises `FailedElsewhere` where it did not."""
    if reply.host_error is not None:
        raise FailedElsewhere(reply.host_error)
    return reply.host_return


class Questions:
    """Of the requests that are worked on at once. `write` writes a line to the driver, whole."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._open: dict[int, _Asking] = {}
        self._is_closed = False

    @contextmanager
    def within(self, identifier: int) -> Iterator[Ask]:
        """How the guest of this request asks, until the block ends: nothing is asked for it after its answer.

        Raises `ValueError` where a request of this number is still worked on.
        """
        asking = _Asking(identifier, self._write)
        if self._open.setdefault(identifier, asking) is not asking:
            raise ValueError(f"id: request {identifier} is still worked on")
        try:
            if self._is_closed:
                asking.end()
            yield asking.ask
        finally:
            asking.end()
            del self._open[identifier]

    def reply(self, reply: HostReply) -> None:
        """Hand a reply to who waits for it. One that nobody waits for came too late."""
        asking = self._open.get(reply.asked_for)
        if asking is not None:
            asking.reply(reply)

    def close(self) -> None:
        """No reply will come any more."""
        self._is_closed = True
        for asking in [*self._open.values()]:
            asking.end()


class _Asking:
    """Of one request: one question at a time."""

    def __init__(self, identifier: int, write: Callable[[bytes], None]) -> None:
        self._identifier = identifier
        self._write = write
        # Held while a question is written: so none is behind the answer, and a reply cannot be before its question.
        self._lock = threading.Lock()
        self._replies: SimpleQueue[HostReply | None] = SimpleQueue()
        self._is_asked = False
        self._is_over = False

    def ask(self, name: str, args: Sequence[Any], run: Run | None) -> Any:
        line = question(self._identifier, name, args, run, LINE_BYTES)
        if run is not None:
            run.stop_host = partial(self.reply, None)
        try:
            with self._lock:
                # Whoever stops a run says so before it ends the wait.
                if self._is_over or (run is not None and run.is_stopped()):
                    raise Unanswered
                self._write(line)
                self._is_asked = True
            reply = self._replies.get()
        finally:
            if run is not None:
                run.stop_host = None
        if reply is None:
            raise Unanswered
        return returned(reply)

    def reply(self, reply: HostReply | None) -> None:
        """The reply; `None` ends the wait for it. Without a question it is for nobody."""
        with self._lock:
            if self._is_asked:
                self._is_asked = False
                self._replies.put(reply)

    def end(self) -> None:
        with self._lock:
            self._is_over = True
        self.reply(None)
