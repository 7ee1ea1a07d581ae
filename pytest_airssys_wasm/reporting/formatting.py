"""The formatting of figures for people, and the shortening of text to the width of a terminal or a table."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base import figures

if TYPE_CHECKING:
    from pytest_airssys_wasm.reporting.summaries import ExportSummary

UNLIMITED = "unlimited"
REFUSED = "refused: calls of which the memory limit refused a growth; the guest may have gone on without the memory"
"""The note below a table with such calls."""


def count(number: int) -> str:
    """Write a number with thousands separators."""
    return f"{number:,}"


def fuel(number: int, *, is_exact: bool) -> str:
    """Write an amount of fuel, with ≥ before a lower bound."""
    return count(number) if is_exact else f"≥{count(number)}"


def fuel_limits(summary: ExportSummary) -> str:
    """Write the fuel limits of the calls, as a range if they differ."""
    if summary.fuel_limit_min is None or summary.fuel_limit_max is None:
        return UNLIMITED
    most = UNLIMITED if summary.has_unlimited_fuel else count(summary.fuel_limit_max)
    return _range(count(summary.fuel_limit_min), most)


def memory_limits(summary: ExportSummary) -> str:
    """Write the memory limits of the calls, as a range where they differ."""
    return _range(figures.size(summary.memory_limit_min_bytes), figures.size(summary.memory_limit_max_bytes))


def verdicts(summary: ExportSummary) -> list[str]:
    """Write each verdict with its number of calls: `ok 12`, `trap 1`."""
    return [f"{name} {count(times)}" for name, times in summary.verdicts]


def endings(summary: ExportSummary) -> list[str]:
    """Write the verdicts, and `refused 3` where the memory limit refused growths of calls, which may have returned."""
    refused = [f"refused {count(summary.refused_calls)}"] if summary.refused_calls else []
    return [*verdicts(summary), *refused]


def width(text: str) -> int:
    """Return the number of columns that printable text takes in a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut(text: str, columns: int) -> str:
    """Shorten text to at most this many columns, with … in the middle.

    The end keeps twice as much text as the beginning, because it contains the function of an export or the name of a
    test.
    """
    if width(text) <= columns:
        return text
    if columns < 3:
        return "…"[:columns]
    front_columns = (columns - 1) // 3
    back = _first(text[::-1], columns - 1 - front_columns)[::-1]
    return f"{_first(text, front_columns)}…{back}"


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _first(text: str, columns: int) -> str:
    taken = 0
    for index, character in enumerate(text):
        taken += _columns(character)
        if taken > columns:
            return text[:index]
    return text
