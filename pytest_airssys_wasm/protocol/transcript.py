"""What went to and fro between the driver and an adapter: the end of it, for reports."""

from __future__ import annotations

from collections import deque
from threading import Lock

from pytest_airssys_wasm.runtime.base.printable import printable

LINE_CHARACTERS = 500
"""Of a line that is kept; of a longer one the beginning."""
_LINES = 8
_STDERR_BYTES = 4_096


class Transcript:
    """The last lines in both directions and the end of stderr. Bounded, however much an adapter writes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lines: deque[tuple[str, bytes, int]] = deque(maxlen=_LINES)
        self._stderr = b""

    def clear(self) -> None:
        """Forget everything: what comes now belongs to another case."""
        with self._lock:
            self._lines.clear()
            self._stderr = b""

    def sent(self, line: bytes) -> None:
        """A line went to the adapter."""
        self._keep(">", line)

    def received(self, line: bytes) -> None:
        """A line, or the beginning of one, came from the adapter."""
        self._keep("<", line)

    def complained(self, chunk: bytes) -> None:
        """The adapter wrote to stderr."""
        with self._lock:
            self._stderr = (self._stderr + chunk[-_STDERR_BYTES:])[-_STDERR_BYTES:]

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines, `>` before those that were sent and `<` before those that came."""
        with self._lock:
            lines = [*self._lines]
        return tuple(f"{mark} {_cut(begun, size_bytes, LINE_CHARACTERS)}" for mark, begun, size_bytes in lines)

    @property
    def stderr(self) -> tuple[str, ...]:
        """The last lines of stderr."""
        with self._lock:
            text = self._stderr.decode("utf-8", "replace")
        return tuple(printable(line) for line in text.splitlines())

    def _keep(self, mark: str, line: bytes) -> None:
        # Made readable when somebody reads it: most lines are seen by nobody.
        with self._lock:
            self._lines.append((mark, bytes(line[: 4 * LINE_CHARACTERS]), len(line)))


def shown(line: bytes, characters: int = LINE_CHARACTERS) -> str:
    """The beginning of a line, on one line, without anything that a terminal would obey."""
    return _cut(line[: 4 * characters], len(line), characters)


def _cut(begun: bytes, size_bytes: int, characters: int) -> str:
    text = printable(begun.decode("utf-8", "replace").rstrip("\r\n"))
    return text if len(text) <= characters else f"{text[:characters]}… ({size_bytes:,} bytes)"
