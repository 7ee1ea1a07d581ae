"""Executions summed up: one row for each export of each component."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median, median_low
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_airssys_wasm.reporting.model import ExecutionRecord

OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the executions of one export had in common, and how they differed."""

    component: str
    export: str | None
    """`None`: the instantiation."""
    calls: int
    fuel_min: int
    fuel_median: int
    """The lower of the two in the middle: always an amount that was consumed."""
    fuel_max: int
    lower_bounds: int
    """Calls of which the fuel consumed is only known as a lower bound. So are the three figures then."""
    fuel_limit_min: int | None
    """`None` when every call was unlimited."""
    fuel_limit_max: int | None
    """Of the calls that had a limit."""
    has_unlimited_fuel: bool
    """Whether any call was unlimited."""
    fuel_used_percent: float | None
    """The largest share of its own limit that a call used; `None` when every call was unlimited."""
    peak_memory_bytes: int
    memory_limit_min_bytes: int
    memory_limit_max_bytes: int
    wall_median_ms: float
    wall_max_ms: float
    verdicts: tuple[tuple[str, int], ...]
    """Verdict and number of calls, `ok` first, then the most frequent."""

    @property
    def fuel_is_exact(self) -> bool:
        """Whether the amounts of fuel are more than lower bounds."""
        return not self.lower_bounds


def summarise(executions: Iterable[ExecutionRecord]) -> tuple[Row, ...]:
    """The rows in alphabetical order of components and exports, instantiations first."""
    groups: defaultdict[tuple[str, bool, str], list[ExecutionRecord]] = defaultdict(list)
    for execution in executions:
        groups[execution.component, execution.export is not None, execution.export or ""].append(execution)
    return tuple(_row(group) for _, group in sorted(groups.items()))


def fuel_used_percent(execution: ExecutionRecord) -> float | None:
    """Share of the limit in percent: 100 of a limit of zero, `None` without a limit."""
    if execution.fuel_limit is None:
        return None
    return 100.0 * execution.fuel_consumed / execution.fuel_limit if execution.fuel_limit else 100.0


def memory_used_percent(execution: ExecutionRecord) -> float:
    """Share of the limit in percent: of a limit of zero, 0 when nothing was asked for, else 100."""
    if execution.memory_limit_bytes:
        return 100.0 * execution.peak_memory_bytes / execution.memory_limit_bytes
    return 100.0 if execution.peak_memory_bytes or execution.denied_growths else 0.0


def _row(group: Sequence[ExecutionRecord]) -> Row:
    fuel = [execution.fuel_consumed for execution in group]
    limits = [execution.fuel_limit for execution in group if execution.fuel_limit is not None]
    shares = [share for execution in group if (share := fuel_used_percent(execution)) is not None]
    memory_limits = [execution.memory_limit_bytes for execution in group]
    wall_ms = [execution.wall_ms for execution in group]
    verdicts = Counter(execution.verdict for execution in group)
    return Row(
        component=group[0].component,
        export=group[0].export,
        calls=len(group),
        fuel_min=min(fuel),
        fuel_median=median_low(fuel),
        fuel_max=max(fuel),
        lower_bounds=sum(not execution.fuel_is_exact for execution in group),
        fuel_limit_min=min(limits, default=None),
        fuel_limit_max=max(limits, default=None),
        has_unlimited_fuel=len(limits) < len(group),
        fuel_used_percent=max(shares, default=None),
        peak_memory_bytes=max(execution.peak_memory_bytes for execution in group),
        memory_limit_min_bytes=min(memory_limits),
        memory_limit_max_bytes=max(memory_limits),
        wall_median_ms=median(wall_ms),
        wall_max_ms=max(wall_ms),
        verdicts=tuple(sorted(verdicts.items(), key=lambda item: (item[0] != OK, -item[1], item[0]))),
    )
