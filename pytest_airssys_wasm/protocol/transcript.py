"""The transcript of the exchange between a driver and an adapter. Reports show its end."""

from __future__ import annotations

from collections import deque

from pytest_airssys_wasm.runtime.base.originals import allocate_lock
from pytest_airssys_wasm.runtime.base.printable import printable

LINE_CHARACTERS = 500
"""The maximum number of characters of a line that are kept. Longer lines are cut at the end."""
_LINES = 8
_STDERR_BYTES = 4_096


class Transcript:
    """The last lines in both directions and the end of stderr. Its size is bounded, however much an adapter writes."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lines: deque[tuple[str, bytes, int]] = deque(maxlen=_LINES)
        self._stderr = b""

    def clear(self) -> None:
        """Remove all lines, at the beginning of another case."""
        with self._lock:
            self._lines.clear()
            self._stderr = b""

    def sent(self, line: bytes) -> None:
        """Keep a line that went to the adapter."""
        self._keep(">", line)

    def received(self, line: bytes) -> None:
        """Keep a line, or the beginning of one, that came from the adapter."""
        self._keep("<", line)

    def stderr_received(self, chunk: bytes) -> None:
        """Append a chunk of the stderr of the adapter, of which the end is kept."""
        with self._lock:
            self._stderr = (self._stderr + chunk[-_STDERR_BYTES:])[-_STDERR_BYTES:]

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines: lines that were sent begin with `>`, lines that were received with `<`."""
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
        # It is made readable when somebody reads it: most lines are seen by nobody.
        with self._lock:
            self._lines.append((mark, bytes(line[: 4 * LINE_CHARACTERS]), len(line)))


def line_text(line: bytes, characters: int = LINE_CHARACTERS) -> str:
    """Return the beginning of a line for a message, as one line and without terminal control characters."""
    return _cut(line[: 4 * characters], len(line), characters)


def _cut(begun: bytes, size_bytes: int, characters: int) -> str:
    text = printable(begun.decode("utf-8", "replace").rstrip("\r\n"))
    return text if len(text) <= characters else f"{text[:characters]}… ({size_bytes:,} bytes)"
