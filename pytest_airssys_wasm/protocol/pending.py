"""Which requests wait for an answer, and which of an adapter's lines answer them."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from pytest_airssys_wasm.protocol.envelope import ADDRESSED, UNREADABLE
from pytest_airssys_wasm.protocol.transcript import shown
from pytest_airssys_wasm.runtime.errors import RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN_CHARACTERS = 200


class Question(bytes):
    """A line in which the adapter asks something itself."""

    __slots__ = ()


class Waiting:
    """A request that has no answer yet. Where it `may_ask`, the adapter may have questions before."""

    def __init__(self, *, may_ask: bool = False) -> None:
        self.may_ask = may_ask
        self.is_asked = False
        """Whether a question of the adapter has no reply yet: until then it has no other."""
        self.inbox: SimpleQueue[bytes | RuntimeDied] = SimpleQueue()

    def next_line(self, deadline_s: float | None) -> bytes | None:
        """The answer, or a question; `None` when neither comes in time. Raises the failure after which none will."""
        try:
            came = self.inbox.get(timeout=deadline_s)
        except Empty:
            return None
        if isinstance(came, RuntimeDied):
            raise came
        return came


class PendingRequests:
    """The open requests. Safe to use from several threads."""

    def __init__(self, line_bytes: int) -> None:
        self._line_bytes = line_bytes
        self._lock = threading.Lock()
        self._open: dict[int, Waiting] = {}
        self.begun = bytearray()
        """The beginning of a line whose end has not come."""

    def __len__(self) -> int:
        return len(self._open)

    def expect(self, identifier: int, *, may_ask: bool = False) -> Waiting:
        """A request is about to be sent."""
        waiting = Waiting(may_ask=may_ask)
        with self._lock:
            self._open[identifier] = waiting
        return waiting

    def allow(self, line_bytes: int) -> None:
        """How long a line may be from now on."""
        self._line_bytes = line_bytes

    def lines_of(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk ends."""
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = bytes(self.begun) + lines[0]
            self.begun.clear()
        self.begun += rest
        return lines

    def deliver(self, lines: Iterable[bytes]) -> None:
        """Hand the lines to those who wait; all are looked at before the first is handed on.

        Raises `RuntimeDied` when one of them is no answer to an open request, or is getting too long.
        """
        with self._lock:
            answers: dict[int, bytes] = {}
            for line in lines:
                self._address(line, answers)
            if len(self.begun) > self._line_bytes:
                begun = shown(bytes(self.begun), _SHOWN_CHARACTERS)
                text = f"it wrote a line of more than {self._line_bytes:,} bytes: {begun}"
                raise RuntimeDied(text, "garbage")
            for identifier, line in answers.items():
                self._open.pop(identifier).inbox.put(line)

    def give_up(self, failure: RuntimeDied) -> None:
        """No answer will come any more."""
        with self._lock:
            waiting, self._open = [*self._open.values()], {}
        for one in waiting:
            one.inbox.put(failure)

    def _address(self, line: bytes, answers: dict[int, bytes]) -> None:
        try:
            addressed = ADDRESSED.decode(line)
        except UNREADABLE as error:
            text = shown(line, _SHOWN_CHARACTERS)
            raise RuntimeDied(f"it wrote what is no answer ({error}): {text}", "garbage") from None
        identifier = addressed.id
        waiting = None if addressed.asked_for is None else self._open.get(addressed.asked_for)
        if identifier is None and waiting is not None and waiting.may_ask and not waiting.is_asked:
            waiting.is_asked = True
            waiting.inbox.put(Question(line))
            return
        if identifier is None or identifier not in self._open or identifier in answers:
            wanted = f"open are {', '.join(map(str, sorted(self._open)))}" if self._open else "nothing was asked"
            number, text = shown(str(identifier).encode(), 40), shown(line, _SHOWN_CHARACTERS)
            raise RuntimeDied(f"it answered request {number}, but {wanted}: {text}", "garbage")
        answers[identifier] = line
