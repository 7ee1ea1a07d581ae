"""The comparison of several reports: outcomes by requirement, and the tests and costs that differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.reporting.costs import cost_differences
from pytest_airssys_wasm.reporting.summaries import CategoryCounts, count_categories

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_airssys_wasm.reporting.costs import CostDifference
    from pytest_airssys_wasm.reporting.model import Report, RequirementRecord, SessionInfo, TestRecord

NOT_RUN = "not run"
"""The category of a case that a report does not have."""


class Column(Struct, frozen=True, kw_only=True):
    """One report: its title, its session, and the numbers of its cases."""

    title: str
    session: SessionInfo
    counts: CategoryCounts


class RequirementLine(Struct, frozen=True, kw_only=True):
    """A requirement, and the numbers of the cases that prove it in each report."""

    record: RequirementRecord
    counts: tuple[CategoryCounts, ...]


class CaseOutcome(Struct, frozen=True, kw_only=True):
    """The category of a case in one report, and the reason unless it passed."""

    category: str
    reason: str | None


class Difference(Struct, frozen=True, kw_only=True):
    """A group of cases with the same outcomes in each report, whose category is not the same in all reports."""

    outcomes: tuple[CaseOutcome, ...]
    """One outcome for each report."""
    cases: tuple[TestRecord, ...]


class Comparison(Struct, frozen=True, kw_only=True):
    """A comparison of reports, with one column for each."""

    columns: tuple[Column, ...]
    lines: tuple[RequirementLine, ...]
    """The requirements that have a case in any report."""
    differences: tuple[Difference, ...]
    """The differences, those of most cases first."""
    tests: tuple[Difference, ...]
    """The Python tests, checks and laws that several reports have, with different outcomes."""
    costs: tuple[CostDifference, ...]
    """The exports that the same test called at different costs."""
    compared_costs: bool
    """Whether several reports have executions at all. Those of the conformance suite have none."""


def compare(reports: Mapping[str, Report]) -> Comparison:
    """Compare the reports, which are given by their titles.

    Only the conformance cases are counted, because Python tests, checks and laws demand nothing of a runtime. Of these,
    different outcomes and costs are found where several reports have the same test.
    """
    cases = [{one.test: one for one in report.tests if one.kind == "case"} for report in reports.values()]
    known = {record.id: record for report in reports.values() for record in report.requirements}
    return Comparison(
        columns=tuple(
            Column(title=title, session=report.session, counts=count_categories(of_report.values()))
            for (title, report), of_report in zip(reports.items(), cases)
        ),
        # By chapter; within it as in the reports.
        lines=tuple(_lines(sorted(known.values(), key=lambda record: record.chapter), cases)),
        differences=_differences(cases),
        tests=_differences_of_tests(reports.values()),
        costs=cost_differences([report.executions for report in reports.values()]),
        compared_costs=sum(bool(report.executions) for report in reports.values()) > 1,
    )


def _lines(
    records: Iterable[RequirementRecord], cases: Sequence[Mapping[str, TestRecord]]
) -> Iterator[RequirementLine]:
    for record in records:
        counts = tuple(count_categories(case for case in of.values() if case.requirement == record.id) for of in cases)
        if any(one.total for one in counts):
            yield RequirementLine(record=record, counts=counts)


def _differences(cases: Sequence[Mapping[str, TestRecord]]) -> tuple[Difference, ...]:
    together: defaultdict[tuple[CaseOutcome, ...], list[TestRecord]] = defaultdict(list)
    for name in sorted({name for of_report in cases for name in of_report}):
        outcomes = tuple(_outcome(of_report.get(name)) for of_report in cases)
        if len({outcome.category for outcome in outcomes}) > 1:
            together[outcomes].append(next(of_report[name] for of_report in cases if name in of_report))
    found = [Difference(outcomes=outcomes, cases=tuple(records)) for outcomes, records in together.items()]
    return tuple(sorted(found, key=lambda difference: -len(difference.cases)))


def _differences_of_tests(reports: Iterable[Report]) -> tuple[Difference, ...]:
    others = [{one.test: one for one in report.tests if one.kind != "case"} for report in reports]
    times = Counter(name for of_report in others for name in of_report)
    shared = [{name: one for name, one in of_report.items() if times[name] > 1} for of_report in others]
    # A test that only some reports have is compared among them: a run of some tests only is not a finding.
    return tuple(
        one
        for one in _differences(shared)
        if len({outcome.category for outcome in one.outcomes if outcome.category != NOT_RUN}) > 1
    )


def _outcome(case: TestRecord | None) -> CaseOutcome:
    if case is None:
        return CaseOutcome(category=NOT_RUN, reason=None)
    reason = None if case.category == "passed" else (case.reason or "").removeprefix("expected to fail: ")
    return CaseOutcome(category=case.category, reason=reason or None)
