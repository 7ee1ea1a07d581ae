"""What an execution cost: data that is present after success and after every failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FuelMetrics:
    """Fuel of one execution, in wasmtime's units (about one per WebAssembly instruction)."""

    max_fuel: int | None
    """The budget the execution began with; `None` when it was unlimited."""
    consumed: int
    is_exact: bool = True
    """False when `consumed` is a lower bound. wasmtime does not bill the current frame after an interrupt or a
    hardware trap (out of bounds, division by zero), and the count of an execution that was given up on cannot
    be read."""

    @property
    def remaining(self) -> int | None:
        """What was left of the budget; `None` when it was unlimited."""
        return None if self.max_fuel is None else max(0, self.max_fuel - self.consumed)

    @property
    def usage_percentage(self) -> float:
        """Share of the budget in percent: 0 for an unlimited one, 100 for a budget of zero."""
        if self.max_fuel is None:
            return 0.0
        return 100.0 * self.consumed / self.max_fuel if self.max_fuel else 100.0

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing was left."""
        return self.remaining == 0

    def exceeds_threshold(self, percentage: float) -> bool:
        """Whether more than `percentage` percent of the budget was used."""
        return self.usage_percentage > percentage


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one execution used, beside the limits it ran under."""

    fuel: FuelMetrics
    wall_ms: float
    """Milliseconds from the entry into guest code to the verdict."""
    peak_memory_bytes: int
    """The most that all memories of the store held together during the execution."""
    memory_limit_bytes: int
    denied_growths: int
    """Memory growths (and initial sizes) that the limit refused during the execution."""
    host_calls: int
    host_transfer_bytes: int
    """Bytes lifted out of and lowered into the guest."""


def add_usage(one: Usage, other: Usage) -> Usage:
    """Both together: sums, the highest peak, and the budget only where both had the same."""
    same_budget = one.fuel.max_fuel == other.fuel.max_fuel
    return Usage(
        fuel=FuelMetrics(
            max_fuel=one.fuel.max_fuel if same_budget else None,
            consumed=one.fuel.consumed + other.fuel.consumed,
            is_exact=one.fuel.is_exact and other.fuel.is_exact,
        ),
        wall_ms=one.wall_ms + other.wall_ms,
        peak_memory_bytes=max(one.peak_memory_bytes, other.peak_memory_bytes),
        memory_limit_bytes=other.memory_limit_bytes,
        denied_growths=one.denied_growths + other.denied_growths,
        host_calls=one.host_calls + other.host_calls,
        host_transfer_bytes=one.host_transfer_bytes + other.host_transfer_bytes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """The value an execution returned, and what it cost."""

    value: Any
    usage: Usage
