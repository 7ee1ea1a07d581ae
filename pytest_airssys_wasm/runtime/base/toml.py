"""The TOML parser: that of the standard library, or tomli on Python 3.10. Other modules import it from here."""

from __future__ import annotations

import re
import sys

if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError, loads
else:
    from tomli import TOMLDecodeError, loads

__all__ = ["TOMLDecodeError", "error_line", "loads"]

_PLACE = re.compile(r"\(at line (?P<number>\d+), column \d+\)")


def error_line(text: str, error: TOMLDecodeError) -> str | None:
    """Return the number of the line of `text` at which the parser failed; `None` if it failed after the last line.

    The line is read from the message: the attribute `lineno` is new in Python 3.14 and tomli 2.1.
    """
    found = _PLACE.search(str(error))
    lines = text.splitlines()
    number = int(found["number"]) if found else text.count("\n") + 1  # "at end of document"
    return lines[number - 1] if number <= len(lines) else None
