"""How the text of an option or ini key is read, where it is no plain limit. Each raises `InvalidConfiguration`."""

from __future__ import annotations

import importlib.util
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

_EXTRAS = {"fuzz": "hypothesis"}
"""The package that each extra of this distribution installs, for what an option or a test may need."""


def missing_extra(extra: str) -> str | None:
    """Return `needs pytest-airssys-wasm[<extra>]` where the extra is not installed, else `None`. Imports nothing.

    The text is the reason of a skipped test, and the end of the usage error of an option that needs the extra.
    """
    installed = importlib.util.find_spec(_EXTRAS[extra]) is not None
    return None if installed else f"needs pytest-airssys-wasm[{extra}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line, and the folder in which it is to be run."""

    words: tuple[str, ...]
    folder: Path = Path()

    def __str__(self) -> str:
        return shlex.join(self.words)


def parse_command(value: Any, where: str) -> Command:
    """A command, split as a shell would."""
    try:
        words = tuple(shlex.split(str(value)))
    except ValueError as error:
        raise InvalidConfiguration(where, value, f"a command line ({error})") from None
    if not words or "\0" in str(value):
        raise InvalidConfiguration(where, value, "a command line")
    return Command(words=words)


def parse_memory_range(value: Any, where: str) -> tuple[int, int]:
    """Two sizes, as in `512 KiB..4 MiB`."""
    from pytest_airssys_wasm.runtime.manifest.loading import parse_memory_range

    try:
        return parse_memory_range(value)
    except InvalidConfiguration as error:
        raise InvalidConfiguration(where, value, error.wanted) from None


def parse_isolation(value: Any, where: str) -> str:
    """`thread` or `process`."""
    if value not in ("thread", "process"):
        raise InvalidConfiguration(where, value, "thread or process")
    return str(value)


def parse_folder(value: Any, where: str) -> Path:
    """A folder, there or not."""
    return _path(value, where, "a directory")


def parse_file(value: Any, where: str) -> Path:
    """A component or module."""
    return _path(value, where, "the path of a .wasm or .wat file")


def parse_expectations(value: Any, where: str) -> Path:
    """A file of known failures."""
    return _path(value, where, "the path of a .toml file")


def parse_report(value: Any, where: str) -> Path:
    """A file whose suffix is a format of reports."""
    from pytest_airssys_wasm.reporting.write import check_path

    path = Path(value).expanduser()
    check_path(path, where)
    return path


def _path(value: Any, where: str, wanted: str) -> Path:
    if not str(value).strip():
        raise InvalidConfiguration(where, value, wanted)
    return Path(value).expanduser()
