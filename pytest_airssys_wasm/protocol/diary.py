"""What went to and fro between the driver and an adapter: the end of it, for reports."""

from __future__ import annotations

from collections import deque
from threading import Lock

LINE_CHARACTERS = 500
"""Of a line that is kept; of a longer one the beginning."""
_LINES = 8
_STDERR_BYTES = 4_096


class Diary:
    """The last lines in both directions and the end of stderr. Bounded, however much an adapter writes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._stderr = b""

    def clear(self) -> None:
        """Forget everything: what comes now belongs to another case."""
        with self._lock:
            self._lines.clear()
            self._stderr = b""

    def sent(self, line: bytes) -> None:
        """A line went to the adapter."""
        self._keep(f"> {shown(line)}")

    def received(self, line: bytes) -> None:
        """A line, or the beginning of one, came from the adapter."""
        self._keep(f"< {shown(line)}")

    def complained(self, chunk: bytes) -> None:
        """The adapter wrote to stderr."""
        with self._lock:
            self._stderr = (self._stderr + chunk[-_STDERR_BYTES:])[-_STDERR_BYTES:]

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines, `>` before those that were sent and `<` before those that came."""
        with self._lock:
            return tuple(self._lines)

    @property
    def stderr(self) -> tuple[str, ...]:
        """The last lines of stderr."""
        with self._lock:
            text = self._stderr.decode("utf-8", "replace")
        return tuple(printable(line) for line in text.splitlines())

    def _keep(self, line: str) -> None:
        with self._lock:
            self._lines.append(line)


def shown(line: bytes, characters: int = LINE_CHARACTERS) -> str:
    """The beginning of a line, on one line, without anything that a terminal would obey."""
    text = line[: 4 * characters].decode("utf-8", "replace").rstrip("\r\n")
    text = printable(text)
    return text if len(text) <= characters else f"{text[:characters]}… ({len(line):,} bytes)"


def printable(text: str) -> str:
    """The text with control and other invisible characters written out."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
