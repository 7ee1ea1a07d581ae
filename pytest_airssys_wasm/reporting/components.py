"""The exports of a report by component, with bars of fuel and memory against their limits."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.reporting import formatting
from pytest_airssys_wasm.reporting.summaries import OK, by_export, fuel_used_percent, memory_used_percent
from pytest_airssys_wasm.runtime.base.figures import percent, size
from pytest_airssys_wasm.runtime.base.printable import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.reporting.model import ExecutionRecord, Report
    from pytest_airssys_wasm.reporting.summaries import ExportSummary


class Bar(Struct, frozen=True, kw_only=True):
    """The usage of one resource by the call of an export that came nearest to the limit."""

    percent: float | None
    """The share of the limit in percent, at most 100; `None` without a limit."""
    figure: str
    mark: str
    """A remark about the limit, such as `out-of-fuel` or `2 growths refused`, or an empty string."""
    test: str
    """The node id of the test that made the call."""


class ExportBars(Struct, frozen=True, kw_only=True):
    """An export, and its bars of fuel and of memory."""

    summary: ExportSummary
    fuel: Bar
    memory: Bar


class ComponentBars(Struct, frozen=True, kw_only=True):
    """A component with its exports."""

    name: str
    exports: tuple[ExportBars, ...]

    @property
    def calls(self) -> int:
        """The number of calls and instantiations."""
        return sum(one.summary.calls for one in self.exports)

    @property
    def not_ok(self) -> int:
        """The number of calls and instantiations with another verdict than `ok`."""
        return sum(times for one in self.exports for verdict, times in one.summary.verdicts if verdict != OK)


def by_component(report: Report, most: int) -> tuple[ComponentBars, ...]:
    """Return the components in alphabetical order, each with its instantiation and then its exports.

    No more than `most` exports are included: those that did not always return, and those that came nearest to a limit.
    """
    groups: defaultdict[tuple[str, str | None], list[ExecutionRecord]] = defaultdict(list)
    for execution in report.executions:
        groups[execution.component, execution.export].append(execution)
    found: defaultdict[str, list[ExportBars]] = defaultdict(list)
    summaries = by_export(report.executions)
    chosen = {id(one) for one in sorted(summaries, key=_urgency, reverse=True)[:most]}
    for summary in (one for one in summaries if id(one) in chosen):
        group = groups[summary.component, summary.export]
        found[summary.component].append(ExportBars(summary=summary, fuel=_fuel(group), memory=_memory(group)))
    return tuple(ComponentBars(name=name, exports=tuple(exports)) for name, exports in found.items())


def _urgency(summary: ExportSummary) -> tuple[bool, float]:
    is_bad = any(verdict != OK for verdict, _ in summary.verdicts)
    return is_bad, max(summary.fuel_used_percent or 0, summary.memory_used_percent)


def _fuel(group: Sequence[ExecutionRecord]) -> Bar:
    worst = max(group, key=lambda execution: (fuel_used_percent(execution) or 0, execution.fuel_consumed))
    share = fuel_used_percent(worst)
    limit = formatting.UNLIMITED if worst.fuel_limit is None else formatting.count(worst.fuel_limit)
    used = formatting.fuel(worst.fuel_consumed, is_exact=worst.fuel_is_exact)
    stopped = any(execution.verdict == "out-of-fuel" for execution in group)
    return Bar(
        percent=None if share is None else min(100.0, share),
        figure=f"{used} of {limit}" + ("" if share is None else f" ({percent(share)})"),
        mark="out-of-fuel" if stopped else "",
        test=worst.test,
    )


def _memory(group: Sequence[ExecutionRecord]) -> Bar:
    worst = max(group, key=lambda execution: (memory_used_percent(execution), execution.peak_memory_bytes))
    share = memory_used_percent(worst)
    stopped = any(execution.verdict == "out-of-memory" for execution in group)
    refused = sum(execution.denied_growths for execution in group)
    return Bar(
        percent=min(100.0, share),
        figure=f"{size(worst.peak_memory_bytes)} of {size(worst.memory_limit_bytes)} ({percent(share)})",
        mark="out-of-memory" if stopped else f"{counted(refused, 'growth')} refused" if refused else "",
        test=worst.test,
    )
