"""The TOML parser: that of the standard library, or tomli on Python 3.10. Other modules import it from here."""

from __future__ import annotations

import re
import sys

if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError, loads
else:
    from tomli import TOMLDecodeError, loads

__all__ = ["TOMLDecodeError", "loads", "located"]

_PLACE = r"\(at line (?P<number>\d+), (?P<column>column \d+)\)"


def located(text: str, error: TOMLDecodeError) -> tuple[int, str]:
    """Return the number of the line of `text` at which the parser failed, and its message, in which only the column is
    left of the place. If the parser failed at the end, the number may be that of the line after the last one.

    The line is read from the message: the attribute `lineno` is new in Python 3.14 and tomli 2.1.
    """
    found = re.search(_PLACE, str(error))
    if found is None:  # "(at end of document)"
        return text.count("\n") + 1, str(error)
    return int(found["number"]), re.sub(_PLACE, r"(\g<column>)", str(error))
