"""The ceilings of the ini file, with which limits are compared wherever they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_airssys_wasm.plugin.given import Given
    from pytest_airssys_wasm.plugin.settings import Settings


def check_settings(settings: Settings) -> None:
    """Raise a `pytest.UsageError` if the limits of the command line and the ini file are over their ceilings."""
    try:
        check_ceilings(
            settings, {**settings.limits(from_command_line=False), **settings.limits(from_command_line=True)}
        )
    except OverCeiling as error:
        raise pytest.UsageError(str(error)) from None


class OverCeiling(InvalidConfiguration):
    """The error for a limit that is higher than its ceiling in the ini file."""

    others: tuple[OverCeiling, ...] = ()
    """The other limits that are too high, given together with this one."""

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *map(str, self.others)])


def check_ceilings(settings: Settings, limits: Mapping[str, Given]) -> None:
    """Raise an `OverCeiling` that names every limit (`fuel`, `memory`, `timeout_ms`) over its ceiling in the ini file.

    A value of `None` means unlimited.
    """
    found = []
    for limit, given in limits.items():
        key = f"wasm_max_{limit}"
        ceiling = getattr(settings, key)
        if ceiling is not None and (given.value is None or given.value > ceiling):
            asked: object = "unlimited" if given.value is None else given.value
            found.append(OverCeiling(given.where, asked, f"at most {ceiling:,} (the ceiling {key} of the ini file)"))
    if found:
        first, *others = found
        first.others = tuple(others)
        raise first
