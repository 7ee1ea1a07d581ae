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


def width(text: str) -> int:
    """Columns that printable text takes in a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """The text in at most this many columns; where it is longer, with … in it.

    The end keeps twice the room of the beginning: there stand the function of an export and the name of a test.
    """
    if width(text) <= columns:
        return text
    if columns < 3:
        return "…"[:columns]
    front_columns = (columns - 1) // 3
    back = _first(text[::-1], columns - 1 - front_columns)[::-1]
    return f"{_first(text, front_columns)}…{back}"


def _first(text: str, columns: int) -> str:
    taken = 0
    for index, character in enumerate(text):
        taken += _columns(character)
        if taken > columns:
            return text[:index]
    return text
