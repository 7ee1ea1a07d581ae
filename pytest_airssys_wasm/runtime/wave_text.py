"""Text in WAVE of a bounded length, with WAVE's names, labels, quotes and escapes.

Its budget counts steps as well as characters, so that writing ends even if nothing is written.
"""

from __future__ import annotations

from pytest_airssys_wasm.runtime.base.printable import prints

_STEPS_PER_CHARACTER = 30
"""The number of steps without text that may be counted for each character of the budget."""
_KEYWORDS = frozenset(["true", "false", "inf", "nan", "some", "none", "ok", "err"])
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


class Spent(Exception):
    """The internal error for a spent budget, after which no more text is written."""


class BoundedText:
    """A printable text of at most `most_characters` characters. Appending more text raises `Spent`."""

    def __init__(self, most_characters: int) -> None:
        self._most = max(0, most_characters)
        self._steps = _STEPS_PER_CHARACTER * (self._most + 1)
        self._parts: list[str] = []
        self.left = self._most
        """The number of characters that may still be written."""

    def put(self, text: str) -> None:
        """Append text that does not need to be escaped."""
        if len(text) > self.left:
            self._parts.append(text[: self.left])
            self.left = 0
            raise Spent
        self._parts.append(text)
        self.left -= len(text)

    def step(self, count: int = 1) -> None:
        """Count a step that does not write text."""
        self._steps -= count
        if self._steps < 0:
            raise Spent

    def mark(self) -> tuple[int, int]:
        """Return the current end of the text, for `rewind`."""
        return len(self._parts), self.left

    def rewind(self, mark: tuple[int, int]) -> None:
        """Remove the text that was written since `mark`."""
        count, left = mark
        # Writing it counts as work: otherwise nested objects that fail at their end are written again and again.
        self.step(1 + left - self.left)
        self.left = left
        del self._parts[count:]

    def name(self, name: str) -> None:
        """Append a name with unprintable characters escaped."""
        text = _head(name, self.left + 1)
        self.put(text if _is_plain(text) else "".join(c if prints(c) else _code(c) for c in text))

    def label(self, name: str) -> None:
        """Append the name of a case, with a `%` before keywords."""
        if _head(name, 8) in _KEYWORDS:
            self.put("%")
        self.name(name)

    def quoted(self, text: str, quote: str) -> None:
        """Append a string or a char, with WAVE's escapes."""
        self.put(quote)
        text = _head(text, self.left + 1)
        if _is_plain(text) and quote not in text and "\\" not in text:
            self.put(text)
        else:
            escapes = {**_ESCAPES, quote: "\\" + quote}
            self.put("".join(c if prints(c) and c not in escapes else escapes.get(c) or _code(c) for c in text))
        self.put(quote)

    def whole(self) -> str:
        """Return the text that was written."""
        return "".join(self._parts)

    def cut(self) -> str:
        """Return the text that was written, shortened if necessary to append a `…` within the budget of characters."""
        return (self.whole()[: self._most - 1] + "…") if self._most else ""


def _head(text: str, most: int) -> str:
    # Not `text[:most]`: a subclass may have its own idea of that.
    return str.__getitem__(text, slice(most))


def _is_plain(text: str) -> bool:
    return text.isprintable() and (text.isascii() or all(map(prints, text)))


def _code(character: str) -> str:
    return f"\\u{{{ord(character):x}}}"
