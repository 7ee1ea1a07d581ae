"""The usage of the executions of a store, of which records are made when they are read."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.usage import FuelMetrics, Usage, UsageTotals
from pytest_airssys_wasm.runtime.capi.guard import Figures

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

_MOST_PENDING = 1_024


class Ledger:
    """The usage of the last execution, and the total of all."""

    def __init__(self, limits: ResourceLimits, *, is_shared: bool) -> None:
        self._max_fuel = limits.fuel
        self._totals = UsageTotals(limits.fuel if is_shared else None)
        self._last: Usage | None = None
        self._pending: deque[tuple[Any, ...]] = deque()
        self._added = 0

    def add(self, usage: Usage) -> None:
        """Add the usage of an execution."""
        self._fold()
        self._added += 1
        self._totals.add(usage)
        self._last = usage

    def note(self, entry: tuple[Any, ...]) -> None:
        """Add a call that has returned, by its figures, transferred bytes, and nanoseconds of conversion afterwards; if
        host functions were called, also by the number of calls, their seconds, and what they have denied.
        """
        pending = self._pending
        pending.append(entry)
        if len(pending) > _MOST_PENDING:
            self._fold()

    @property
    def executions(self) -> int:
        """The number of executions so far."""
        return self._added + len(self._pending)

    @property
    def last(self) -> Usage | None:
        """The usage of the last execution; `None` before the first."""
        self._fold()
        return self._last

    @property
    def total(self) -> Usage | None:
        """The total usage; `None` before the first execution."""
        self._fold()
        return self._totals.usage()

    def _fold(self) -> None:
        pending = self._pending
        self._added += len(pending)
        while len(pending) > 1:  # only the last one is needed as a record
            self._add(*pending.popleft())
        if pending:
            self._last = usage = self._usage(*pending.popleft())
            self._totals.add(usage)

    def _add(
        self,
        values: Any,
        transfer_bytes: int,
        after_ns: int,
        host_calls: int = 0,
        host_s: float = 0.0,
        denied: tuple[str, ...] = (),
    ) -> None:
        _, fuel, fuel_left, started_ns, finished_ns, _, cpu_ns, peak_bytes, denied_growths = values  # as in `Figures`
        self._totals.add_figures(
            fuel - fuel_left,
            (finished_ns - started_ns + after_ns) / 1e6,
            1_000 * host_s,
            (cpu_ns + after_ns) / 1e6,
            peak_bytes,
            denied_growths,
            host_calls,
            transfer_bytes,
        )
        if denied:
            self._totals.add_denied(denied)

    def _usage(
        self,
        values: Any,
        transfer_bytes: int,
        after_ns: int,
        host_calls: int = 0,
        host_s: float = 0.0,
        denied: tuple[str, ...] = (),
    ) -> Usage:
        figures = Figures(*values)
        return Usage(
            fuel=FuelMetrics(max_fuel=self._max_fuel, consumed=figures.fuel - figures.fuel_left),
            wall_ms=(figures.finished_ns - figures.started_ns + after_ns) / 1e6,
            host_ms=1_000 * host_s,
            cpu_ms=(figures.cpu_ns + after_ns) / 1e6,
            peak_memory_bytes=figures.peak_bytes,
            memory_limit_bytes=figures.limit_bytes,
            denied_growths=figures.denied_growths,
            host_calls=host_calls,
            transfer_bytes=transfer_bytes,
            denied_capabilities=denied,
        )
