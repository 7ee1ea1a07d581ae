"""The requests that wait for an answer, and the distribution of an adapter's lines to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.protocol.envelope import ENVELOPE, UNREADABLE
from pytest_airssys_wasm.protocol.transcript import line_text
from pytest_airssys_wasm.runtime.base.originals import Empty, SimpleQueue, allocate_lock
from pytest_airssys_wasm.runtime.errors import RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN_CHARACTERS = 200


class HostCallLine(bytes):
    """A line in which the adapter calls a host function of the driver."""

    __slots__ = ()


class PendingRequest:
    """A request without an answer. With `may_call` the adapter may call host functions before it answers."""

    def __init__(self, *, may_call: bool = False) -> None:
        self.may_call = may_call
        self.is_called = False
        """Whether a host call is waiting for its reply. Only one host call is open at a time."""
        self.inbox: SimpleQueue[bytes | RuntimeDied] = SimpleQueue()
        """The received lines for this request. The last one is its answer, or the error of the process."""

    def next_line(self, deadline_s: float | None) -> bytes | None:
        """Return the answer or a host call; `None` if neither arrives in time.

        Raises `RuntimeDied` if the adapter has failed.
        """
        try:
            came = self.inbox.get(timeout=deadline_s)
        except Empty:
            return None
        if isinstance(came, RuntimeDied):
            raise came
        return came


class PendingRequests:
    """The open requests. This class is thread-safe."""

    def __init__(self, line_bytes: int) -> None:
        self._line_bytes = line_bytes
        self._lock = allocate_lock()
        self._open: dict[int, PendingRequest] = {}
        self.begun = bytearray()
        """The beginning of a line whose end has not been received."""

    def __len__(self) -> int:
        return len(self._open)

    def expect(self, identifier: int, *, may_call: bool = False) -> PendingRequest:
        """Register the request with this number, before it is sent, and return it."""
        pending = PendingRequest(may_call=may_call)
        with self._lock:
            self._open[identifier] = pending
        return pending

    def allow(self, line_bytes: int) -> None:
        """Set the maximum length of further lines, in bytes."""
        self._line_bytes = line_bytes

    def lines_of(self, chunk: bytes) -> list[bytes]:
        """Add a chunk of output, and return the lines that it completes."""
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = bytes(self.begun) + lines[0]
            self.begun.clear()
        self.begun += rest
        return lines

    def deliver(self, lines: Iterable[bytes]) -> None:
        """Pass the lines to the waiting requests. Answers are passed on only after all lines have been checked.

        Raises `RuntimeDied` if a line does not answer an open request, or is too long.
        """
        with self._lock:
            answers: dict[int, bytes] = {}
            for line in lines:
                self._address(line, answers)
            if len(self.begun) > self._line_bytes:
                begun = line_text(bytes(self.begun), _SHOWN_CHARACTERS)
                text = f"it wrote a line of more than {self._line_bytes:,} bytes: {begun}"
                raise RuntimeDied(text, "garbage")
            for identifier, line in answers.items():
                self._open.pop(identifier).inbox.put(line)

    def give_up(self, failure: RuntimeDied) -> None:
        """Let all open requests fail, because no further answer will arrive."""
        with self._lock:
            pending, self._open = [*self._open.values()], {}
        for one in pending:
            one.inbox.put(failure)

    def _address(self, line: bytes, answers: dict[int, bytes]) -> None:
        try:
            envelope = ENVELOPE.decode(line)
        except UNREADABLE as error:
            text = line_text(line, _SHOWN_CHARACTERS)
            raise RuntimeDied(f"it wrote a line that is not an answer ({error}): {text}", "garbage") from None
        identifier = envelope.id
        pending = self._open.get(envelope.asked_for) if envelope.asked_for is not None else None
        if identifier is None and pending is not None and pending.may_call and not pending.is_called:
            pending.is_called = True
            pending.inbox.put(HostCallLine(line))
            return
        if identifier is None or identifier not in self._open or identifier in answers:
            numbers = ", ".join(map(str, sorted(self._open)))
            wanted = f"the open requests are {numbers}" if numbers else "no request is open"
            number, text = line_text(str(identifier).encode(), 40), line_text(line, _SHOWN_CHARACTERS)
            raise RuntimeDied(f"it answered request {number}, but {wanted}: {text}", "garbage")
        answers[identifier] = line
