"""The report as one HTML page without other files, and without access to the network."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from pytest_airssys_wasm.reporting import formatting
from pytest_airssys_wasm.reporting.anchors import Anchors
from pytest_airssys_wasm.reporting.changes import costs_more
from pytest_airssys_wasm.reporting.components import by_component
from pytest_airssys_wasm.reporting.costs import cost_texts
from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.reporting.page import PageTemplate
from pytest_airssys_wasm.reporting.plots import plots
from pytest_airssys_wasm.reporting.summaries import (
    CATEGORIES,
    OK,
    by_chapter,
    by_export,
    chapter_of,
    count_categories,
    cut_off_text,
    failed_first,
    fuel_used_percent,
    memory_used_percent,
    suite_by_chapter,
)
from pytest_airssys_wasm.runtime.base.figures import measured_ms, percent, size
from pytest_airssys_wasm.runtime.base.printable import counted, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_airssys_wasm.reporting.changes import Changes
    from pytest_airssys_wasm.reporting.comparison import CaseOutcome
    from pytest_airssys_wasm.reporting.model import ExecutionRecord, Report, TestRecord
    from pytest_airssys_wasm.reporting.summaries import CategoryCounts

MOST_TESTS = 2_000
MOST_ROWS = 1_000
MOST_BARS = 400
MOST_CHANGES = 500
MOST_EXECUTIONS = 2_000
MOST_EXECUTIONS_OF_A_TEST = 8
_MOST_NAME = 160
_MOST_TEXT = 2_000

_FILTERS: dict[str, Callable[..., Any]] = {
    "count": formatting.count,
    "counted": counted,
    "size": size,
    "milliseconds": measured_ms,
    "percent": percent,
    "name": lambda text: cut(printable(text), _MOST_NAME),
    "fuel_used_percent": fuel_used_percent,
    "memory_used_percent": memory_used_percent,
    "fuel_limits": formatting.fuel_limits,
    "memory_limits": formatting.memory_limits,
    "verdicts": formatting.verdicts,
    "cost_texts": lambda difference: list(cost_texts(difference.costs)),
    "costs_more": costs_more,
    "fuel": lambda amount, is_exact: formatting.fuel(amount, is_exact=is_exact),
}
_PAGE = PageTemplate("report", most_text=_MOST_TEXT, filters=_FILTERS)


class _Entry(Struct, frozen=True, kw_only=True):
    """A test with those of its executions that the page shows."""

    record: TestRecord
    executions: tuple[ExecutionRecord, ...]
    left_out: int
    """The number of executions of the test that the page does not show."""


class _OutcomeChange(Struct, frozen=True, kw_only=True):
    """A test that has another outcome in the earlier report."""

    test: str
    outcomes: tuple[CaseOutcome, ...]


class _Chapter(Struct, frozen=True, kw_only=True):
    """A chapter of the suite in which nothing failed, as one row among the tests."""

    node_id: str
    counts: CategoryCounts
    duration_s: float


def render(report: Report, changes: Changes | None = None) -> str:
    """Write the report as an HTML page, with the changes since an earlier report.

    If there are very many tests, exports or executions, some are left out, and the page says how many.
    """
    summaries = by_export(report.executions)
    components = by_component(report, MOST_BARS)
    folded = list(_folded(report))
    chapters = {one.node_id for one in folded}
    unfolded = [test for test in report.tests if chapter_of(test) not in chapters]
    content = {
        "session": report.session,
        "counts": count_categories(report.tests),
        "cut_off": cut_off_text(report.tests),
        "tests_cut_off": [one.test for one in report.tests if one.is_cut_off],
        "categories": CATEGORIES,
        **_changes(changes),
        "entries": list(_entries(report, unfolded)),
        "folded": folded,
        "tests_left_out": max(0, len(unfolded) - MOST_TESTS),
        "executions": len(report.executions),
        "summaries": summaries[:MOST_ROWS],
        "summaries_left_out": max(0, len(summaries) - MOST_ROWS),
        "has_refusals": any(one.refused_calls for one in summaries),
        "refused_note": formatting.REFUSED,
        "has_lower_bounds": any(one.lower_bounds for one in summaries),
        "chapters": by_chapter(report),
        "components": components,
        "bars_left_out": max(0, len(summaries) - MOST_BARS),
        "drawn": {(row.summary.component, row.summary.export) for one in components for row in one.exports},
        "anchor": Anchors.of,
        "new_anchor": Anchors().give,
        "shown_tests": {one.test for one in failed_first(unfolded)[:MOST_TESTS]},
        "plots": to_builtins(plots(report)),
    }
    return _PAGE.render(content)


def _changes(changes: Changes | None) -> dict[str, Any]:
    if changes is None:
        return {"changes": None}
    outcomes = [_OutcomeChange(test=test.test, outcomes=one.outcomes) for one in changes.outcomes for test in one.cases]
    left_out = max(0, len(outcomes) - MOST_CHANGES) + max(0, len(changes.costs) - MOST_CHANGES)
    return {
        "changes": changes,
        "outcome_changes": outcomes[:MOST_CHANGES],
        "cost_changes": changes.costs[:MOST_CHANGES],
        "changes_left_out": left_out,
    }


def _folded(report: Report) -> Iterator[_Chapter]:
    for node_id, cases in suite_by_chapter(report.tests).items():
        counts = count_categories(cases)
        if not counts.failed:
            yield _Chapter(node_id=node_id, counts=counts, duration_s=sum(case.duration_s for case in cases))


def _entries(report: Report, tests: Iterable[TestRecord]) -> Iterator[_Entry]:
    executions: defaultdict[str, list[ExecutionRecord]] = defaultdict(list)
    for execution in report.executions:
        executions[execution.test].append(execution)
    room = MOST_EXECUTIONS
    for record in failed_first(tests)[:MOST_TESTS]:
        all_of_it = sorted(executions[record.test], key=lambda execution: execution.verdict == OK)
        some = tuple(all_of_it[: min(room, MOST_EXECUTIONS_OF_A_TEST)])
        room -= len(some)
        yield _Entry(record=record, executions=some, left_out=len(all_of_it) - len(some))
