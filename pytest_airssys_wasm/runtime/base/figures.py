"""The text of figures in messages and reports."""

from __future__ import annotations

import math


def size(count_bytes: float) -> str:
    """Write a size in the largest unit that it fills: `64 KiB`."""
    for unit, unit_bytes in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count_bytes >= unit_bytes:
            return f"{_four_digits(count_bytes / unit_bytes)} {unit}"
    return f"{count_bytes:,} B"


def exact_size(count_bytes: int) -> str:
    """Write a size in the largest unit that divides it, as limits are written: `1536 KiB`, `1000`."""
    for unit, unit_bytes in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count_bytes and count_bytes % unit_bytes == 0:
            return f"{count_bytes // unit_bytes} {unit}"
    return str(count_bytes)


def widened_range(low_bytes: int, needed_bytes: int) -> str:
    """Write the setting of the ini file that allows a memory limit of `needed_bytes`; its end is a power of two."""
    high_bytes = 1 << (needed_bytes - 1).bit_length()
    return f"wasm_memory_range = {exact_size(low_bytes)}..{exact_size(high_bytes)}"


def milliseconds(time_ms: float) -> str:
    """Write a time in milliseconds as it was given, without the unit and with thousands separators: `1,500`, `2.5`."""
    return f"{time_ms:,.3f}".rstrip("0").rstrip(".") if time_ms >= 0.001 else f"{time_ms:g}"


def measured_ms(time_ms: float) -> str:
    """Write a measured time in milliseconds with three digits or more, without the unit."""
    return f"{time_ms:.2f}" if time_ms < 10 else f"{time_ms:.1f}" if time_ms < 100 else f"{time_ms:,.0f}"


def seconds(time_s: float) -> str:
    """Write a time in seconds with up to three digits, or whole seconds, without the unit: `0.25`, `150`, `1,200`."""
    return f"{time_s:,.0f}" if time_s >= 100 else f"{time_s:.3g}"


def percent(share: float | None) -> str:
    """Write a share in percent, rounded down, so that only a limit that is used up reads as 100 %; `-` for `None`."""
    if share is None:
        return "-"
    if share >= 1000:  # only a runtime that does not keep its limits gets here
        return ">999 %"
    if share >= 10:
        return f"{math.floor(share)} %"
    return f"{math.floor(share * 10) / 10:g} %" if share >= 0.1 or not share else "<0.1 %"


def _four_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 1_000 else f"{number:.4g}"
