"""The units in which sizes, durations and counts are written, and the numbers that they denote.

Every run with a marker loads this module, which therefore loads little else.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from pytest_airssys_wasm.runtime.refusal import refuse

MAX_U64 = 2**64 - 1
_A_COUNT = f"a whole number from 0 to {MAX_U64}"

# More than any address space: a larger number is a mistake, and wasmtime-py would wrap it silently.
_MAX_MEMORY_BYTES = 2**48

_SIZE_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
_DURATION_UNITS_MS = {"": 1, "MS": 1, "S": 1_000, "MIN": 60_000}
_QUANTITY = re.compile(r"\s*([0-9](?:_?[0-9])*(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")

# Longer than any number in range: Python itself refuses to read one of several thousand digits.
_MAX_QUANTITY_CHARACTERS = 64


def parse_size(value: object, where: str = "memory") -> int:
    """Return the number of bytes in an int (`1048576`) or a string (`"1 MiB"`, `"512KiB"`, `"1_000_000"`).

    Raises `InvalidConfiguration`, which names `where`, for anything else.
    """
    if isinstance(value, str):
        numerator, denominator = _quantity(value, _SIZE_UNITS, where, "a size such as 1048576, 512 KiB or 1 MiB")
        size, rest = divmod(numerator, denominator)
        if rest:
            refuse(where, value, "a whole number of bytes")
        if size > _MAX_MEMORY_BYTES:
            refuse(where, value, f"a size from 0 to {_MAX_MEMORY_BYTES} bytes")
        return size
    return _whole(value, where, _MAX_MEMORY_BYTES, "a size in bytes such as 1048576, or '1 MiB'")


def parse_duration_ms(value: object, where: str = "timeout_ms") -> float:
    """Return the number of milliseconds in a number or a string with a unit (`"100ms"`, `"0.5 s"`, `"1 min"`).

    Raises `InvalidConfiguration`, which names `where`, for anything that is not finite and non-negative.
    """
    wanted = "a finite, non-negative number of milliseconds such as 100 or 2.5"
    if isinstance(value, str):
        numerator, denominator = _quantity(value, _DURATION_UNITS_MS, where, wanted + ", or '100ms', '2 s'")
        return numerator / denominator
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(where, value, wanted)
    try:
        milliseconds = float(value)
    except OverflowError:
        refuse(where, value, wanted)
    if not math.isfinite(milliseconds) or milliseconds < 0:
        refuse(where, value, wanted)
    return milliseconds


def parse_fuel(value: object, where: str = "fuel") -> int:
    """Return the units of fuel in an int or a string of digits (`"10_000"`).

    Raises `InvalidConfiguration`, which names `where`, for anything that is not a whole number within u64.
    """
    return parse_count(value, where)


def parse_count(value: object, where: str) -> int:
    """Return the number in an int or a string of digits, from 0 to 2**64 - 1.

    Raises `InvalidConfiguration`, which names `where`, for anything else.
    """
    if isinstance(value, str):
        numerator, denominator = _quantity(value, {"": 1}, where, _A_COUNT)
        number, rest = divmod(numerator, denominator)
        value = value if rest else number
    return _whole(value, where, MAX_U64, _A_COUNT)


def _whole(value: object, where: str, most: int, wanted: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(where, value, wanted)
    if not 0 <= value <= most:
        refuse(where, value, f"{wanted} (from 0 to {most})" if most != MAX_U64 else wanted)
    return value


def _quantity(text: str, units: dict[str, int], where: str, wanted: str) -> tuple[int, int]:
    """Return the exact number that a text denotes, as a numerator and a denominator.

    As a float, 1.001 MB would not be a whole number of bytes.
    """
    found = _number_and_unit(text) if len(text) <= _MAX_QUANTITY_CHARACTERS else None
    if found is None or found[2] not in units:
        refuse(where, text, wanted)
    numerator, denominator, unit = found
    return numerator * units[unit], denominator


@lru_cache(maxsize=256)
def _number_and_unit(text: str) -> tuple[int, int, str] | None:
    """Return the numerator, the denominator and the unit in a text; `None` for something else.

    Results are cached, because most tests of a project have the same limits.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    digits, _, decimals = match[1].replace("_", "").partition(".")
    return int(digits + decimals), 10 ** len(decimals), match[2].upper()
