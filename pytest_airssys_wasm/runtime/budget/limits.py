"""The resource limits of a store and its executions, the units in which they are written, and their ceilings."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from pytest_airssys_wasm.runtime.budget.limit_text import DEFAULT_FUEL, DEFAULT_TIMEOUT_MS
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

MAX_U64 = 2**64 - 1

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
        number, divisor = _quantity(value, _SIZE_UNITS, where, "a size such as 1048576, 512 KiB or 1 MiB")
        size, rest = divmod(number, divisor)
        if rest:
            raise InvalidConfiguration(where, value, "a whole number of bytes")
        if size > _MAX_MEMORY_BYTES:
            raise InvalidConfiguration(where, value, f"a size from 0 to {_MAX_MEMORY_BYTES} bytes")
        return size
    return _whole(value, where, _MAX_MEMORY_BYTES, "a size in bytes such as 1048576, or '1 MiB'")


def parse_duration_ms(value: object, where: str = "timeout_ms") -> float:
    """Return the number of milliseconds in a number or a string with a unit (`"100ms"`, `"0.5 s"`, `"1 min"`).

    Raises `InvalidConfiguration`, which names `where`, for anything that is not finite and non-negative.
    """
    wanted = "a finite, non-negative number of milliseconds such as 100 or 2.5"
    if isinstance(value, str):
        number, divisor = _quantity(value, _DURATION_UNITS_MS, where, wanted + ", or '100ms', '2 s'")
        return number / divisor
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidConfiguration(where, value, wanted)
    try:
        milliseconds = float(value)
    except OverflowError:
        raise InvalidConfiguration(where, value, wanted) from None
    if not math.isfinite(milliseconds) or milliseconds < 0:
        raise InvalidConfiguration(where, value, wanted)
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
    wanted = f"a whole number from 0 to {MAX_U64}"
    if isinstance(value, str):
        number, divisor = _quantity(value, {"": 1}, where, wanted)
        value = value if number % divisor else number // divisor
    return _whole(value, where, MAX_U64, wanted)


def _whole(value: object, where: str, most: int, wanted: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidConfiguration(where, value, wanted)
    if not 0 <= value <= most:
        raise InvalidConfiguration(where, value, f"{wanted} (from 0 to {most})" if most != MAX_U64 else wanted)
    return value


def _quantity(text: str, units: dict[str, int], where: str, wanted: str) -> tuple[int, int]:
    """Return the exact number that a text denotes, as a fraction of whole numbers.

    As a float, 1.001 MB would not be a whole number of bytes.
    """
    match = _QUANTITY.fullmatch(text) if len(text) <= _MAX_QUANTITY_CHARACTERS else None
    if match is None or match[2].upper() not in units:
        raise InvalidConfiguration(where, text, wanted)
    whole, _, decimals = match[1].replace("_", "").partition(".")
    return int(whole + decimals) * units[match[2].upper()], 10 ** len(decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """The immutable limits of a store and of each execution in it; `None` means unlimited.

    `memory` has no default on purpose. Sizes and durations may be given with units (`"1 MiB"`, `"2 s"`); the fields
    hold the plain numbers. Memory, output and counts are limits for the life of the store; fuel, timeout and
    transfer are limits for each execution (one instantiation or one call).

    Raises `InvalidConfiguration`, which names the field, for a value out of range.
    """

    DEFAULT_FUEL: ClassVar[int] = DEFAULT_FUEL
    DEFAULT_TIMEOUT_MS: ClassVar[float] = DEFAULT_TIMEOUT_MS

    memory: int
    """The limit in bytes on all linear memories and GC heaps of the store together."""
    fuel: int | None = DEFAULT_FUEL
    """The limit in units of fuel on each execution."""
    timeout_ms: float | None = DEFAULT_TIMEOUT_MS
    """The limit in milliseconds on the wall-clock time of each execution."""
    tables: int = 16
    """The limit on the number of tables."""
    table_elements: int = 20_000
    """The limit on the number of elements of any one table. Real guests were observed to use up to 7,700."""
    instances: int = 64
    """The limit on the number of core instances. Real components were observed to use up to 14."""
    memories: int = 16
    """The limit on the number of linear memories."""
    transfer: int = 16 * 2**20
    """The limit in bytes on the values that are lifted out of the guest and lowered into it, for each execution."""
    output: int = 2**20
    """The limit in bytes on captured stdout and stderr together."""

    if TYPE_CHECKING:
        # The fields are plain numbers; the arguments that they are made from may have units.
        def __init__(
            self,
            *,
            memory: int | str,
            fuel: int | str | None = DEFAULT_FUEL,
            timeout_ms: float | str | None = DEFAULT_TIMEOUT_MS,
            tables: int = ...,
            table_elements: int = ...,
            instances: int = ...,
            memories: int = ...,
            transfer: int | str = ...,
            output: int | str = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Replace every field by its plain number. Raises `InvalidConfiguration` for a wrong value."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("fuel", "timeout_ms") and value is None:
                continue
            if field.name in ("memory", "transfer", "output"):
                plain: float = parse_size(value, field.name)
            elif field.name == "timeout_ms":
                plain = parse_duration_ms(value)
            else:
                plain = parse_count(value, field.name)
            object.__setattr__(self, field.name, plain)

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes; the same number as `memory`."""
        return self.memory


class Ceilings(Struct, frozen=True, kw_only=True):
    """The highest value of each limit that a platform allows; `None` if any value is allowed, including unlimited."""

    fuel: int | None = None
    """The highest fuel limit, in units of fuel."""
    memory: int | None = None
    """The highest memory limit, in bytes."""
    timeout_ms: float | None = None
    """The longest timeout, in milliseconds."""

    def lower(self, limits: ResourceLimits) -> ResourceLimits:
        """Return limits that are at most as high as the ceilings."""
        lowered: dict[str, Any] = {}
        for name in ("fuel", "memory", "timeout_ms"):
            ceiling, value = getattr(self, name), getattr(limits, name)
            if ceiling is not None and (value is None or value > ceiling):
                lowered[name] = ceiling
        return replace(limits, **lowered) if lowered else limits
