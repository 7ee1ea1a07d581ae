"""The names of the files in which the profile of a test is kept."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

_UNSAFE = re.compile(r"(?:[^A-Za-z0-9._]|\.{2,})+")
_MOST_CHARACTERS = 100
_DIGITS = 16

DIFFERENCE = ".difference"
"""The text between the stem and the suffix of a file with a difference."""


def file_stem(test: str) -> str:
    """Return the name of the files of a test, without a suffix: a readable part of its node id, and a digest of all
    of it.

    The name consists of ASCII letters, digits, dots, underscores and hyphens, does not begin with a dot, and is short
    enough for any file system. It is the same on every machine, and other node ids have other names.
    """
    digest = hashlib.sha256(test.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    readable = _UNSAFE.sub("-", test)[-_MOST_CHARACTERS:].strip("-.")
    return f"{readable}-{digest}" if readable else digest


def shown_path(path: Path, seen_from: Path) -> str:
    """Return a path for the terminal: relative to the folder `seen_from` if it lies below, else as it is."""
    return printable(str(path.relative_to(seen_from) if path.is_relative_to(seen_from) else path))
