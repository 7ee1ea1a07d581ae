"""The escaping of foreign text for printing: a guest chooses the names of its exports and the text of its errors."""

from __future__ import annotations

import unicodedata

_MOST_MARKS = 2
"""The number of combining marks that may follow each other. No language uses more, and longer sequences can cover the
lines above and below.
"""


def printable(text: str) -> str:
    """Return the text with every character escaped that is not printed as itself in its position.

    Escaped are control characters (terminal escapes, newlines), invisible and direction-changing characters, lone
    surrogates, spaces other than the usual one, and combining marks that have nothing to combine with. The result
    is one line, and printable text stays as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    parts = []
    marks = _MOST_MARKS  # the first character has no base
    for character in text:
        is_mark = unicodedata.category(character) in ("Mn", "Me")
        marks = marks + 1 if is_mark else 0
        parts.append(character if character.isprintable() and marks <= _MOST_MARKS else _escape(character))
    return "".join(parts)


def printable_lines(text: str) -> str:
    """Return the text with each line escaped by `printable`; newlines are kept."""
    return text if text.isascii() and text.isprintable() else "\n".join(map(printable, text.split("\n")))


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 call`, `1,234 calls`. `plural` defaults to the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
