"""The lines of keys and values in a TOML document, for messages. The parsers at hand do not tell them."""

from __future__ import annotations

import re
from bisect import bisect_right
from contextlib import suppress

from pytest_airssys_wasm.runtime.base import toml

Keys = tuple[str | int, ...]
"""The place of a value in a document: keys, and indices from 0 in arrays, such as `("tests", 1, "call")`."""

# They are compiled on first use, because only messages about wrong manifests need them.
_BLANK = r"(?:[ \t\r\n]|#[^\n]*)*"
_SPACE = r"[ \t]*"
_BARE = r"[A-Za-z0-9_-]+"
_STRING = r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'"
_SCALAR = r"[^,\]}#\n]*"


def lines_of(text: str) -> dict[Keys, int]:
    """Return the line, from 1, on which each key, table and element of an array begins, by its place.

    `text` is valid TOML. Of anything else the places up to the first mistake are returned.
    """
    scanner = _Scanner(text)
    with suppress(_NotToml, RecursionError):
        scanner.scan()
    return scanner.lines


class _NotToml(Exception):
    """The internal error for a text that is not valid TOML."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Keys, int] = {}
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._entries: dict[Keys, int] = {}
        """The index of the latest entry of each array of tables."""

    def scan(self) -> None:
        table: Keys = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            begun = self._at
            if self._takes("[["):
                table = self._header("]]", is_array=True)
                self._mark(table, begun)
            elif self._takes("["):
                table = self._header("]", is_array=False)
                self._mark(table, begun)
            else:
                self._assignment(table)
            self._skip(_BLANK)

    def _header(self, end: str, *, is_array: bool) -> Keys:
        keys = self._keys()
        if not self._takes(end):
            raise _NotToml
        place: Keys = ()
        for number, key in enumerate(keys, 1):
            place = (*place, key)
            if is_array and number == len(keys):
                self._entries[place] = self._entries.get(place, -1) + 1
            self._mark(place, self._at)
            if place in self._entries:
                place = (*place, self._entries[place])
        return place

    def _assignment(self, table: Keys) -> None:
        begun = self._at
        place = table
        for key in self._keys():
            place = (*place, key)
            self._mark(place, begun)
        if not self._takes("="):
            raise _NotToml
        self._skip(_SPACE)
        self._value(place)

    def _value(self, place: Keys) -> None:
        if self._takes("["):
            number = 0
            self._skip(_BLANK)
            while not self._takes("]"):
                self._mark((*place, number), self._at)
                self._value((*place, number))
                number += 1
                self._separated("]")
        elif self._takes("{"):
            self._skip(_BLANK)
            while not self._takes("}"):
                self._assignment(place)
                self._separated("}")
        elif not self._skip(_STRING):
            self._skip(_SCALAR)

    def _separated(self, end: str) -> None:
        self._skip(_BLANK)
        if not self._takes(",") and not self._text.startswith(end, self._at):
            raise _NotToml
        self._skip(_BLANK)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            begun = self._at
            if self._skip(_BARE):
                keys.append(self._text[begun : self._at])
            elif self._skip(_STRING):
                keys.append(str(toml.loads(f"key = {self._text[begun : self._at]}")["key"]))
            else:
                raise _NotToml
            self._skip(_SPACE)
            if not self._takes("."):
                return keys

    def _takes(self, text: str) -> bool:
        is_next = self._text.startswith(text, self._at)
        if is_next:
            self._at += len(text)
        return is_next

    def _skip(self, pattern: str) -> bool:
        found = re.compile(pattern, re.DOTALL).match(self._text, self._at)
        if found is None:
            return False
        self._at = found.end()
        return True

    def _mark(self, place: Keys, at: int) -> None:
        self.lines.setdefault(place, bisect_right(self._ends, at - 1) + 1)
