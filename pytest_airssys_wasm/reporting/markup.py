"""The elements of Markdown pages: escaped foreign text, rows of tables, and notes of omitted items."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.runtime.base.printable import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTED = ("passed", "failed", "known", "skipped")
"""The categories that are columns in a table of requirements; `known` are the expected failures."""
MOST_REASON = 300
"""The maximum number of columns of a reason."""
MOST_NAME = 160
"""The maximum number of columns of a name in a table."""

_MARKUP = re.compile(r"[`*_{}\[\]()#!~^&<>|@$\\\"']|:(?=//)|(?<=www)\.", re.IGNORECASE)
_BY_BACKSLASH = "`*_{}[]()#!~^"
"""The characters that are escaped with a backslash. Other special characters are written as numeric entities."""


def escape(text: str) -> str:
    """Escape foreign text, so that it does not contain markup, cell borders or links."""
    return _MARKUP.sub(_escape, printable(text))


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\{character}" if character in _BY_BACKSLASH else f"&#{ord(character)};"


def code(text: str, most: int = MOST_NAME) -> str:
    """Write foreign text as code, in which GitHub does not detect mentions."""
    return f"<code>{escape(cut(printable(text), most))}</code>"


def prose(text: str) -> str:
    """Write foreign text as running text. An invisible comment prevents mentions on GitHub."""
    return escape(text).replace("&#64;", "&#64;<!-- -->")


def table_row(*cells: str) -> str:
    """Write one row of a table from cells that are Markdown."""
    return f"| {' | '.join(cells)} |"


def more(count: int, noun: str, plural: str | None = None) -> Iterator[str]:
    """Yield the lines that say how many items were left out; none if the count is zero."""
    if count > 0:
        many = None if plural is None else f"more {plural}"
        yield from ("", f"… and {counted(count, f'more {noun}', many)}.")
