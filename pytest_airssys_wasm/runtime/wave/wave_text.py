"""Text that is written within a budget of characters and steps, and that any terminal can show."""

from __future__ import annotations

_STEPS_PER_CHARACTER = 30
_KEYWORDS = frozenset(["true", "false", "inf", "nan", "some", "none", "ok", "err"])
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


class Spent(Exception):
    """The budget is spent: what is written so far is all there will be."""


class Text:
    """At most `most_characters` characters. Whatever would be more raises `Spent`."""

    def __init__(self, most_characters: int) -> None:
        self._most = max(0, most_characters)
        self._steps = _STEPS_PER_CHARACTER * (self._most + 1)
        self._parts: list[str] = []
        self.left = self._most
        """Characters that may still be written."""

    def put(self, text: str) -> None:
        """Append text that needs no escapes."""
        if len(text) > self.left:
            self._parts.append(text[: self.left])
            self.left = 0
            raise Spent
        self._parts.append(text)
        self.left -= len(text)

    def step(self, count: int = 1) -> None:
        """Account for work that writes nothing."""
        self._steps -= count
        if self._steps < 0:
            raise Spent

    def mark(self) -> tuple[int, int]:
        """Where the text is now."""
        return len(self._parts), self.left

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forget what was written since. Writing it counts as work: objects that fail at their end, in lists of
        such objects, would otherwise be written again and again.
        """
        count, left = mark
        self.step(1 + left - self.left)
        self.left = left
        del self._parts[count:]

    def name(self, name: str) -> None:
        """Append a name as it is, but for what no terminal is to see."""
        text = _head(name, self.left + 1)
        self.put(text if text.isprintable() else "".join(c if c.isprintable() else _code(c) for c in text))

    def label(self, name: str) -> None:
        """Append the name of a case: one that is a keyword takes a `%`."""
        if _head(name, 8) in _KEYWORDS:
            self.put("%")
        self.name(name)

    def quoted(self, text: str, quote: str) -> None:
        """Append a string or a char, with WAVE's escapes."""
        self.put(quote)
        text = _head(text, self.left + 1)
        if text.isprintable() and quote not in text and "\\" not in text:
            self.put(text)
        else:
            escapes = {**_ESCAPES, quote: "\\" + quote}
            self.put("".join(c if c.isprintable() and c not in escapes else escapes.get(c) or _code(c) for c in text))
        self.put(quote)

    def whole(self) -> str:
        """What was written."""
        return "".join(self._parts)

    def cut(self) -> str:
        """What was written, with `…` for what is missing, within the budget too."""
        return (self.whole()[: self._most - 1] + "…") if self._most else ""


def _head(text: str, most: int) -> str:
    # Not `text[:most]`: a subclass may have its own idea of that.
    return str.__getitem__(text, slice(most))


def _code(character: str) -> str:
    return f"\\u{{{ord(character):x}}}"
