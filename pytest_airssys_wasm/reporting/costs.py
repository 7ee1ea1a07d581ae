"""The costs of the same tests in several reports: what each export used, and where that differs."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from pytest_airssys_wasm.reporting import formatting
from pytest_airssys_wasm.runtime.base.figures import size
from pytest_airssys_wasm.runtime.base.printable import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_airssys_wasm.reporting.model import ExecutionRecord

_Key: TypeAlias = tuple[str, str, str | None]


class Cost(Struct, frozen=True, kw_only=True):
    """The executions of one export in one test, summed up. Times are left out: no two runs have the same."""

    calls: int
    fuel: int
    """The fuel of all calls together."""
    fuel_is_exact: bool
    peak_memory_bytes: int
    """The highest peak of memory."""
    refused_growths: int
    verdicts: tuple[tuple[str, int], ...]
    """The verdicts with their numbers of calls, in alphabetical order."""

    def is_like(self, other: Cost) -> bool:
        """Return whether two costs agree in the figures that are the same in every run, which excludes inexact fuel."""
        mine, theirs = (
            replace(one, fuel=one.fuel if self.fuel_is_exact and other.fuel_is_exact else 0) for one in (self, other)
        )
        return mine == theirs


class CostDifference(Struct, frozen=True, kw_only=True):
    """An export that one test called in several reports, at different costs."""

    test: str
    component: str
    export: str | None
    """The full name of the export; `None` for the instantiation."""
    costs: tuple[Cost | None, ...]
    """One for each report; `None` where the test did not call the export."""


def cost_differences(reports: Sequence[Iterable[ExecutionRecord]]) -> tuple[CostDifference, ...]:
    """Return the exports whose costs differ, in the order of tests, components and exports.

    A test that ran no guest in a report is only compared in the others, because a report may be of some tests only.
    """
    costs = [_costs(executions) for executions in reports]
    tests = [{test for test, _, _ in of_report} for of_report in costs]
    found = []
    for key in sorted({key for of_report in costs for key in of_report}, key=lambda key: (*key[:2], key[2] or "")):
        each = tuple(of_report.get(key) for of_report in costs)
        compared = [cost for cost, of_report in zip(each, tests) if key[0] in of_report]
        known = [cost for cost in compared if cost is not None]
        if len(known) < len(compared) or not all(known[0].is_like(cost) for cost in known):
            test, component, export = key
            found.append(CostDifference(test=test, component=component, export=export, costs=each))
    return tuple(found)


def cost_texts(costs: Sequence[Cost | None]) -> Iterator[str]:
    """Yield the cost in each report as text: fuel with its change from the first report, and the other figures that
    differ.
    """
    known = [cost for cost in costs if cost is not None]
    base = costs[0]
    for cost in costs:
        if cost is None:
            yield "not called"
            continue
        parts = [f"{formatting.fuel(cost.fuel, is_exact=cost.fuel_is_exact)} fuel"]
        if base is not None and cost is not base and cost.fuel != base.fuel:
            parts[0] += f" ({_change(cost.fuel, base.fuel)})"
        if len({one.peak_memory_bytes for one in known}) > 1:
            parts.append(f"peak {size(cost.peak_memory_bytes)}")
        if len({one.calls for one in known}) > 1:
            parts.append(counted(cost.calls, "call"))
        if len({one.refused_growths for one in known}) > 1:
            parts.append(f"{counted(cost.refused_growths, 'growth')} refused")
        if len({one.verdicts for one in known}) > 1:
            parts.append(", ".join(printable(f"{name} {times:,}") for name, times in cost.verdicts))
        yield ", ".join(parts)


def _change(figure: int, base: int) -> str:
    if not base:
        return f"+{figure:,}"
    share = f"{100 * (figure - base) / base:+,.1f} %"
    return f"{figure - base:+,}, {'<0.1 %' if share[1:] == '0.0 %' else share}"


def _costs(executions: Iterable[ExecutionRecord]) -> dict[_Key, Cost]:
    groups: defaultdict[_Key, list[ExecutionRecord]] = defaultdict(list)
    for execution in executions:
        groups[execution.test, execution.component, execution.export].append(execution)
    return {
        key: Cost(
            calls=len(group),
            fuel=sum(one.fuel_consumed for one in group),
            fuel_is_exact=all(one.fuel_is_exact for one in group),
            peak_memory_bytes=max(one.peak_memory_bytes for one in group),
            refused_growths=sum(one.denied_growths for one in group),
            verdicts=tuple(sorted(Counter(one.verdict for one in group).items())),
        )
        for key, group in groups.items()
    }
