"""The data of the plots in the HTML page. Its size does not depend on the number of executions."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.reporting import formatting
from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.reporting.summaries import OK
from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.reporting.model import ExecutionRecord, Report

MOST_LANES = 60
BINS = 128
_MOST_NAME = 100
_FAR = 100
"""The factor between the largest consumption and a limit above which the limit is not drawn, because the bars would be
too small.
"""


class Bin(Struct, frozen=True, kw_only=True):
    """The calls that consumed about the same fuel."""

    at: int
    """The position of the bin on the axis, from 0 at the left end to `BINS` - 1 at the right end."""
    ok: int
    other: int
    """The number of calls whose verdict is not `ok`."""


class Lane(Struct, frozen=True, kw_only=True):
    """The distribution of fuel over the calls of one export."""

    component: str
    export: str | None
    calls: int
    figure: str
    """The smallest and the largest amount of fuel, as text."""
    bins: tuple[Bin, ...]
    limits: tuple[float, ...]
    """The positions of the fuel limits on the axis, from 0 to 1."""


class Axis(Struct, frozen=True, kw_only=True):
    """A logarithmic axis, from 10 to the power of `low` to 10 to the power of `high` units of fuel."""

    low: int
    high: int

    def place(self, fuel: int) -> float:
        """Return the position of an amount of fuel, from 0 at the left end to 1 at the right end.

        Zero has the position of one unit.
        """
        return min(1.0, max(0.0, (math.log10(max(1, fuel)) - self.low) / (self.high - self.low)))


class Plots(Struct, frozen=True, kw_only=True):
    """The plots of a report, and the number of all exports, including those that are not shown."""

    axis: Axis
    lanes: tuple[Lane, ...]
    lanes_in_all: int
    bins: int = BINS


def plots(report: Report) -> Plots:
    """Select the exports with the widest distributions."""
    axis = _axis(report.executions)
    groups: defaultdict[tuple[str, str | None], list[ExecutionRecord]] = defaultdict(list)
    for execution in report.executions:
        groups[execution.component, execution.export].append(execution)
    widest = sorted(groups.values(), key=_spread, reverse=True)[:MOST_LANES]
    widest.sort(key=lambda group: (group[0].component, group[0].export is not None, group[0].export or ""))
    return Plots(
        axis=axis,
        lanes=tuple(_lane(group, axis) for group in widest),
        lanes_in_all=len(groups),
    )


def _axis(executions: Sequence[ExecutionRecord]) -> Axis:
    amounts = [max(1, execution.fuel_consumed) for execution in executions] or [1]
    most, low = max(amounts), math.floor(math.log10(min(amounts)))
    limits = (execution.fuel_limit or 0 for execution in executions)
    end = max(most, *(limit for limit in limits if limit <= _FAR * most), 1)
    return Axis(low=low, high=max(low + 1, math.ceil(math.log10(end))))


def _spread(group: Sequence[ExecutionRecord]) -> tuple[float, int]:
    amounts = [max(1, execution.fuel_consumed) for execution in group]
    return max(amounts) / min(amounts), len(group)


def _lane(group: Sequence[ExecutionRecord], axis: Axis) -> Lane:
    counts: Counter[tuple[int, bool]] = Counter()
    for execution in group:
        place = min(BINS - 1, int(axis.place(execution.fuel_consumed) * BINS))
        counts[place, execution.verdict == OK] += 1
    limits = {execution.fuel_limit for execution in group if execution.fuel_limit is not None}
    low, high = (choose(execution.fuel_consumed for execution in group) for choose in (min, max))
    is_exact = all(execution.fuel_is_exact for execution in group)
    largest = formatting.fuel(high, is_exact=is_exact)
    return Lane(
        component=_name(group[0].component),
        export=None if group[0].export is None else _name(group[0].export),
        calls=len(group),
        figure=largest if low == high else f"{formatting.fuel(low, is_exact=is_exact)} to {largest}",
        bins=tuple(Bin(at=at, ok=counts[at, True], other=counts[at, False]) for at in sorted({at for at, _ in counts})),
        limits=tuple(sorted({axis.place(limit) for limit in limits if limit <= 10**axis.high})),
    )


def _name(text: str) -> str:
    return cut(printable(text), _MOST_NAME)
