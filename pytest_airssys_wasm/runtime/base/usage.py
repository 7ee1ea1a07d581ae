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
    """Units spent."""
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
    """The limit of that."""
    denied_growths: int
    """Memory growths (and initial sizes) that the limit refused during the execution."""
    host_calls: int
    """Calls from the guest into host functions."""
    host_transfer_bytes: int
    """Bytes lifted out of and lowered into the guest."""
    denied_capabilities: tuple[str, ...] = ()
    """What the guest asked its host functions for and was not granted; of very many, the first."""


_MOST_DENIALS = 64


class Tally:
    """Usage added up over executions."""

    __slots__ = (
        "_last",
        "_max_fuel",
        "consumed",
        "denied",
        "denied_capabilities",
        "exact",
        "host_calls",
        "moved",
        "peak",
        "wall_ms",
    )

    def __init__(self, max_fuel: int | None) -> None:
        self._max_fuel = max_fuel
        self._last: Usage | None = None
        self.consumed = self.peak = self.denied = self.host_calls = self.moved = 0
        self.wall_ms = 0.0
        self.exact = True
        self.denied_capabilities: tuple[str, ...] = ()

    def add(self, usage: Usage) -> None:
        """One more execution."""
        self._last = usage
        self.consumed += usage.fuel.consumed
        self.exact = self.exact and usage.fuel.is_exact
        self.wall_ms += usage.wall_ms
        self.peak = max(self.peak, usage.peak_memory_bytes)
        self.denied += usage.denied_growths
        self.host_calls += usage.host_calls
        self.moved += usage.host_transfer_bytes
        if usage.denied_capabilities:
            self.denied_capabilities = (*self.denied_capabilities, *usage.denied_capabilities)[:_MOST_DENIALS]

    def usage(self) -> Usage | None:
        """The sums, and the highest peak; `None` before the first execution."""
        if self._last is None:
            return None
        return Usage(
            fuel=FuelMetrics(max_fuel=self._max_fuel, consumed=self.consumed, is_exact=self.exact),
            wall_ms=self.wall_ms,
            peak_memory_bytes=self.peak,
            memory_limit_bytes=self._last.memory_limit_bytes,
            denied_growths=self.denied,
            host_calls=self.host_calls,
            host_transfer_bytes=self.moved,
            denied_capabilities=self.denied_capabilities,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """The value an execution returned, and what it cost."""

    value: Any
    usage: Usage
    stdout: bytes = b""
    """What the guest wrote, up to the output limit; empty where WASI is not granted."""
    stderr: bytes = b""
    """The same."""
