"""Foreign text made safe to show. A guest chooses the names of its exports, and what its errors say."""

from __future__ import annotations

import unicodedata

_MOST_MARKS = 2
"""Combining marks in a row. More are used by no language, but can paint over the lines above and below."""


def printable(text: str) -> str:
    """The text with everything written out that does not show as itself where it stands.

    That is control characters (terminal escapes, newlines), invisible and direction-changing characters, lone
    surrogates, spaces other than the usual one, and combining marks that have nothing to combine with.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = []
    marks = _MOST_MARKS  # the first character has no base
    for character in text:
        is_mark = unicodedata.category(character) in ("Mn", "Me")
        marks = marks + 1 if is_mark else 0
        shown.append(character if character.isprintable() and marks <= _MOST_MARKS else _escape(character))
    return "".join(shown)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def printable_lines(text: str) -> str:
    """The same for text that may have several lines."""
    return text if text.isascii() and text.isprintable() else "\n".join(map(printable, text.split("\n")))
