"""The usage of an execution, as data that is available after success and after every failure of guest code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FuelMetrics:
    """The fuel of one execution, in units of wasmtime (about one per WebAssembly instruction)."""

    max_fuel: int | None
    """The budget of the execution; `None` if unlimited."""
    consumed: int
    """The units of fuel that were consumed, at most the budget.

    A call whose last instructions go beyond its budget, and that returns before wasmtime checks it again, has consumed
    all of it.
    """
    is_exact: bool = True
    """Whether `consumed` is exact; otherwise it is a lower bound. wasmtime does not charge the current frame after an
    interrupt or a hardware trap (out of bounds, division by zero), and the count of an abandoned execution cannot be
    read.
    """

    @property
    def remaining(self) -> int | None:
        """The units of fuel that remain of the budget, never negative; `None` if the budget is unlimited."""
        return None if self.max_fuel is None else max(0, self.max_fuel - self.consumed)

    @property
    def usage_percentage(self) -> float:
        """The share of the budget that was consumed, in percent: 0 for an unlimited budget, 100 for a budget of
        zero.
        """
        if self.max_fuel is None:
            return 0.0
        return 100.0 * self.consumed / self.max_fuel if self.max_fuel else 100.0

    @property
    def is_exhausted(self) -> bool:
        """Whether the whole budget was consumed."""
        return self.remaining == 0

    def exceeds_threshold(self, percentage: float) -> bool:
        """Return whether more than `percentage` percent of the budget was consumed."""
        return self.usage_percentage > percentage


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The resources that one execution consumed, beside its limits."""

    fuel: FuelMetrics
    """The consumed fuel, with its budget."""
    wall_ms: float
    """The milliseconds from the entry into guest code to the verdict."""
    peak_memory_bytes: int
    """The peak memory of the execution: the highest total, in bytes, of all memories and GC heaps of the store."""
    memory_limit_bytes: int
    """The memory limit of the store, in bytes."""
    denied_growths: int
    """The number of memory growths and initial sizes that the limit refused during the execution."""
    host_calls: int
    """The number of calls from the guest into host functions."""
    transfer_bytes: int
    """The bytes that were lifted out of the guest and lowered into it."""
    cpu_ms: float | None = None
    """The milliseconds of processor time that the guest's thread used, including host functions; `None` if it is not
    known, for example because the process died."""
    host_ms: float = 0.0
    """The milliseconds in host functions, with those of a function that had not returned at the verdict. Functions of
    WASI are not among them."""
    denied_capabilities: tuple[str, ...] = ()
    """The capabilities that the guest requested from host functions but was not granted, at most the first 64."""


_MOST_DENIALS = 64


class UsageTotals:
    """The total usage of several executions."""

    __slots__ = (
        "_cpu_ms",
        "_denied_capabilities",
        "_denied_growths",
        "_fuel_consumed",
        "_host_calls",
        "_host_ms",
        "_is_exact",
        "_last",
        "_max_fuel",
        "_peak_memory_bytes",
        "_transfer_bytes",
        "_wall_ms",
    )

    def __init__(self, max_fuel: int | None) -> None:
        self._max_fuel = max_fuel
        self._last: Usage | None = None
        self._fuel_consumed = self._peak_memory_bytes = self._denied_growths = 0
        self._host_calls = self._transfer_bytes = 0
        self._wall_ms = self._host_ms = 0.0
        self._cpu_ms: float | None = 0.0
        self._is_exact = True
        self._denied_capabilities: tuple[str, ...] = ()

    def add(self, usage: Usage) -> None:
        """Add the usage of one more execution."""
        self._last = usage
        self._is_exact = self._is_exact and usage.fuel.is_exact
        self.add_figures(
            usage.fuel.consumed,
            usage.wall_ms,
            usage.host_ms,
            usage.cpu_ms,
            usage.peak_memory_bytes,
            usage.denied_growths,
            usage.host_calls,
            usage.transfer_bytes,
        )
        if usage.denied_capabilities:
            self.add_denied(usage.denied_capabilities)

    def add_figures(
        self,
        fuel_consumed: int,
        wall_ms: float,
        host_ms: float,
        cpu_ms: float | None,
        peak_memory_bytes: int,
        denied_growths: int,
        host_calls: int,
        transfer_bytes: int,
    ) -> None:
        """Add the figures of an execution, the last of which is added as a whole."""
        self._fuel_consumed += fuel_consumed
        self._wall_ms += wall_ms
        self._host_ms += host_ms
        self._cpu_ms = None if self._cpu_ms is None or cpu_ms is None else self._cpu_ms + cpu_ms
        if peak_memory_bytes > self._peak_memory_bytes:
            self._peak_memory_bytes = peak_memory_bytes
        self._denied_growths += denied_growths
        self._host_calls += host_calls
        self._transfer_bytes += transfer_bytes

    def add_denied(self, capabilities: tuple[str, ...]) -> None:
        """Add the capabilities that an execution was not granted."""
        self._denied_capabilities = (*self._denied_capabilities, *capabilities)[:_MOST_DENIALS]

    def usage(self) -> Usage | None:
        """Return the sums, with the highest peak memory; `None` before the first execution."""
        if self._last is None:
            return None
        return Usage(
            fuel=FuelMetrics(max_fuel=self._max_fuel, consumed=self._fuel_consumed, is_exact=self._is_exact),
            wall_ms=self._wall_ms,
            cpu_ms=self._cpu_ms,
            host_ms=self._host_ms,
            peak_memory_bytes=self._peak_memory_bytes,
            memory_limit_bytes=self._last.memory_limit_bytes,
            denied_growths=self._denied_growths,
            host_calls=self._host_calls,
            transfer_bytes=self._transfer_bytes,
            denied_capabilities=self._denied_capabilities,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """The result of a successful execution: the returned value, the usage and the output."""

    value: Any
    """The Python value of the export's result; `None` for an export without a result."""
    usage: Usage
    """The resources that the execution consumed, beside its limits."""
    stdout: bytes = b""
    """The bytes that the guest wrote to stdout, up to the output limit; empty unless WASI is granted."""
    stderr: bytes = b""
    """The bytes that the guest wrote to stderr, up to the output limit; empty unless WASI is granted."""
