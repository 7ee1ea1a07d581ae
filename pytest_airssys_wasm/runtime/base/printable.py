"""The escaping of foreign text for printing: a guest chooses the names of its exports and the text of its errors."""

from __future__ import annotations

import re
import unicodedata
from codecs import unicode_escape_encode

_MOST_MARKS = 2
"""The number of combining marks that may follow each other. No language uses more, and longer sequences can cover the
lines above and below.
"""


_INVISIBLE = (  # compiled on first use, because it takes a while and few texts are not ASCII
    # Default_Ignorable_Code_Point of Unicode, as far as `str.isprintable` lets it pass: joiners, fillers, selectors.
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff"
    # Symbols and letters that are drawn as nothing.
    "\u2800\U00013441\U00013442\U00016fe4\U0001d159]"
)
_COMMAND = re.compile(
    r"^(?P<before> *):(?=:)"  # GitHub Actions, which ignores the spaces before it
    r"|#(?=#(?:vso|teamcity)?\[)"  # Azure Pipelines, TeamCity and GitHub Actions, anywhere in a line
    r"|(?<=section_start):(?=\d)|(?<=section_end):(?=\d)|(?<=travis_fold):|(?<=travis_time):",
    re.IGNORECASE,
)
"""The beginnings of commands in the logs of CI systems, each with one character that makes it another text."""


def printable(text: str) -> str:
    """Return the text with every character escaped that is not printed as itself in its position.

    Escaped are control characters (terminal escapes, newlines), invisible and direction-changing characters, lone
    surrogates, spaces other than the usual one, and combining marks that have nothing to combine with; and one
    character of each text that CI systems take for a command, such as `::error` and `##vso[`. The result is one line,
    and all other text stays as it is.
    """
    text = _without_commands(text)
    if text.isascii() and text.isprintable():
        return text
    parts = []
    marks = _MOST_MARKS  # the first character has no base
    for character in text:
        is_mark = unicodedata.category(character) in ("Mn", "Me")
        marks = marks + 1 if is_mark else 0
        parts.append(character if prints(character) and marks <= _MOST_MARKS else _escape(character))
    return "".join(parts)


def printable_lines(text: str) -> str:
    """Return the text with each line escaped by `printable`; newlines are kept."""
    return "\n".join(map(printable, text.split("\n")))


def prints(character: str) -> bool:
    """Return whether a character can be seen, or is the usual space."""
    return character.isprintable() and (character.isascii() or not re.match(_INVISIBLE, character))


def is_printable(text: str) -> bool:
    """Return whether `printable` leaves the text as it is."""
    return printable(text) == text


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 call`, `1,234 calls`. `plural` defaults to the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _without_commands(text: str) -> str:
    if ":" not in text and "#" not in text:
        return text
    return _COMMAND.sub(lambda found: f"{found['before'] or ''}\\x{ord(found[0][-1]):x}", text)


def _escape(character: str) -> str:
    return unicode_escape_encode(character)[0].decode("ascii")
