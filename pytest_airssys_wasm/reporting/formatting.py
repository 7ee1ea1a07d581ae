"""The formatting of figures for people, and the shortening of text to the width of a terminal or a table."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_airssys_wasm.reporting.summaries import ExportSummary

UNLIMITED = "unlimited"


def count(number: int) -> str:
    """Write a number with thousands separators."""
    return f"{number:,}"


def fuel(number: int, *, is_exact: bool) -> str:
    """Write an amount of fuel, with ≥ before a lower bound."""
    return count(number) if is_exact else f"≥{count(number)}"


def size(count_bytes: int) -> str:
    """Write a size in the largest unit that it fills: `64 KiB`."""
    for unit, unit_bytes in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count_bytes >= unit_bytes:
            return f"{count_bytes / unit_bytes:.4g} {unit}"
    return f"{count_bytes} B"


def milliseconds(time_ms: float) -> str:
    """Write a time in milliseconds with at least three significant digits, without the unit."""
    return f"{time_ms:.2f}" if time_ms < 10 else f"{time_ms:.1f}" if time_ms < 100 else f"{time_ms:,.0f}"


def percent(share: float | None) -> str:
    """Write a share in percent, rounded down, so that only a limit that is used up shows 100 %; `-` for `None`."""
    if share is None:
        return "-"
    if share >= 1000:  # only a runtime that does not keep its limits gets here
        return ">999 %"
    if share >= 10:
        return f"{math.floor(share)} %"
    return f"{math.floor(share * 10) / 10:g} %" if share >= 0.1 or not share else "<0.1 %"


def fuel_limits(summary: ExportSummary) -> str:
    """Write the fuel limits of the calls, as a range if they differ."""
    if summary.fuel_limit_min is None or summary.fuel_limit_max is None:
        return UNLIMITED
    most = UNLIMITED if summary.has_unlimited_fuel else count(summary.fuel_limit_max)
    return _range(count(summary.fuel_limit_min), most)


def memory_limits(summary: ExportSummary) -> str:
    """Write the memory limits of the calls, as a range if they differ."""
    return _range(size(summary.memory_limit_min_bytes), size(summary.memory_limit_max_bytes))


def verdicts(summary: ExportSummary) -> list[str]:
    """Write each verdict with its number of calls: `ok 12`, `trap 1`."""
    return [f"{name} {count(times)}" for name, times in summary.verdicts]


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
