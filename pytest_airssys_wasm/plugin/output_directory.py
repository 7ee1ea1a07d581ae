"""The directory into which an option has files written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from pathlib import Path


def make_directory(folder: Path, option: str) -> None:
    """Make the directory that an option names. Raises `pytest.UsageError` if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise pytest.UsageError(f"{option}: {printable(str(folder))} cannot be made: {reason}") from None
