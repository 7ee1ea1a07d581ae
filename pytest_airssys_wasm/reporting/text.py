"""How wide text is in a terminal, and text cut to a width."""

from __future__ import annotations

import unicodedata


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
