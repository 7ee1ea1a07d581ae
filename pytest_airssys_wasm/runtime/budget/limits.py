"""The resource limits of a store and its executions, and their ceilings."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from pytest_airssys_wasm.runtime.budget.limit_text import DEFAULT_FUEL, DEFAULT_TIMEOUT_MS
from pytest_airssys_wasm.runtime.budget.units import parse_count, parse_duration_ms, parse_size


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
