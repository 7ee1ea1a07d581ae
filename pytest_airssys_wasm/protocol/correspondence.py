"""Which requests wait for an answer, and which of an adapter's lines answer them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from pytest_airssys_wasm.protocol.diary import shown
from pytest_airssys_wasm.runtime.errors import RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN_CHARACTERS = 200


class _Addressed(msgspec.Struct, frozen=True):
    id: int | None


# Made here and not by the first to need it: two threads at once would crash msgspec.
_ADDRESSED = msgspec.json.Decoder(_Addressed)


class Waiting:
    """A request that has no answer yet."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.line = b""
        self.failure: RuntimeDied | None = None


class Correspondence:
    """The open requests. Safe to use from several threads."""

    def __init__(self, line_bytes: int) -> None:
        self._line_bytes = line_bytes
        self._lock = threading.Lock()
        self._open: dict[int, Waiting] = {}
        self.begun = bytearray()
        """The beginning of a line whose end has not come."""

    def __len__(self) -> int:
        return len(self._open)

    def expect(self, identifier: int) -> Waiting:
        """A request is about to be sent."""
        with self._lock:
            waiting = self._open[identifier] = Waiting()
        return waiting

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
                answers[self._addressee(line, answers)] = line
            if len(self.begun) > self._line_bytes:
                begun = shown(bytes(self.begun), _SHOWN_CHARACTERS)
                text = f"it wrote a line of more than {self._line_bytes:,} bytes: {begun}"
                raise RuntimeDied(text, "garbage")
            for identifier, line in answers.items():
                waiting = self._open.pop(identifier)
                waiting.line = line
                waiting.done.set()

    def give_up(self, failure: RuntimeDied) -> bool:
        """No answer will come any more. Whether anybody was waiting."""
        with self._lock:
            waiting, self._open = [*self._open.values()], {}
        for one in waiting:
            one.failure = failure
            one.done.set()
        return bool(waiting)

    def _addressee(self, line: bytes, answered: dict[int, bytes]) -> int:
        text = shown(line, _SHOWN_CHARACTERS)
        try:
            identifier = _ADDRESSED.decode(line).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RuntimeDied(f"it wrote what is no answer ({error}): {text}", "garbage") from None
        if identifier is None or identifier not in self._open or identifier in answered:
            wanted = f"open are {', '.join(map(str, sorted(self._open)))}" if self._open else "nothing was asked"
            number = shown(str(identifier).encode(), 40)
            raise RuntimeDied(f"it answered request {number}, but {wanted}: {text}", "garbage")
        return identifier
