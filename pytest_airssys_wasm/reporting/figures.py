"""Figures as people read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_airssys_wasm.reporting.rows import Row

UNLIMITED = "unlimited"


def count(number: int) -> str:
    """With thousands separators."""
    return f"{number:,}"


def fuel(number: int, *, is_exact: bool) -> str:
    """A count, or what it was at least."""
    return count(number) if is_exact else f"≥{count(number)}"


def size(count_bytes: int) -> str:
    """Bytes in the largest unit that they fill."""
    for unit, unit_bytes in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count_bytes >= unit_bytes:
            return f"{count_bytes / unit_bytes:.4g} {unit}"
    return f"{count_bytes} B"


def milliseconds(time_ms: float) -> str:
    """Without the unit, three digits or more."""
    return f"{time_ms:.2f}" if time_ms < 10 else f"{time_ms:.1f}" if time_ms < 100 else f"{time_ms:,.0f}"


def percent(share: float | None) -> str:
    """A share in percent, rounded down: what is not used up does not look so."""
    if share is None:
        return "-"
    if share >= 1000:  # no runtime that keeps its limits comes here
        return ">999 %"
    if share >= 10:
        return f"{math.floor(share)} %"
    return f"{math.floor(share * 10) / 10:g} %" if share >= 0.1 or not share else "<0.1 %"


def fuel_limits(row: Row) -> str:
    """The limits that the calls had, as a range where they differ."""
    if row.fuel_limit_min is None or row.fuel_limit_max is None:
        return UNLIMITED
    return _range(count(row.fuel_limit_min), UNLIMITED if row.has_unlimited_fuel else count(row.fuel_limit_max))


def memory_limits(row: Row) -> str:
    """The limits that the calls had, as a range where they differ."""
    return _range(size(row.memory_limit_min_bytes), size(row.memory_limit_max_bytes))


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def verdicts(row: Row) -> list[str]:
    """How often each verdict was given: `ok 12`, `trap 1`."""
    return [f"{name} {count(times)}" for name, times in row.verdicts]
