"""The comparison of several reports, as data and as Markdown: outcomes by requirement, and the cases that differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting import formatting
from pytest_airssys_wasm.reporting.costs import cost_differences
from pytest_airssys_wasm.reporting.markdown import COUNTED, code, escape, more, prose, table_row
from pytest_airssys_wasm.reporting.summaries import CategoryCounts, count_categories
from pytest_airssys_wasm.runtime.base.figures import size
from pytest_airssys_wasm.runtime.base.printable import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_airssys_wasm.reporting.costs import Cost, CostDifference
    from pytest_airssys_wasm.reporting.model import Report, RequirementRecord, SessionInfo, TestRecord

NOT_RUN = "not run"
"""The category of a case that a report does not have."""
MOST_CASES = 2_000
MOST_COSTS = 2_000
_MOST_REASON = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One report: its title, its session, and the numbers of its cases."""

    title: str
    session: SessionInfo
    counts: CategoryCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementLine:
    """A requirement, and the numbers of the cases that prove it in each report."""

    record: RequirementRecord
    counts: tuple[CategoryCounts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOutcome:
    """The category of a case in one report, and the reason unless it passed."""

    category: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A group of cases with the same outcomes in each report, whose category is not the same in all reports."""

    outcomes: tuple[CaseOutcome, ...]
    """One outcome for each report."""
    cases: tuple[TestRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
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


def render(comparison: Comparison) -> str:
    """Write the comparison as Markdown: the reports, the requirements of each chapter, and the cases that differ."""
    return "\n".join(_markdown(comparison)) + "\n"


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


def _markdown(comparison: Comparison) -> Iterator[str]:
    titles = [code(column.title) for column in comparison.columns]
    yield from ("## Side by side", "")
    yield table_row("", "runtime", "version", *COUNTED, "suite", "platform", "started")
    yield table_row("---", "---", "---", *["--:"] * len(COUNTED), "---", "---", "---")
    for title, column in zip(titles, comparison.columns):
        session = column.session
        runtime = (code(session.runtime), code(session.runtime_version))
        where = (code(session.tool_version), code(session.platform), code(session.started_at))
        yield table_row(f"**{title}**", *runtime, *_counts(column.counts, zero="0"), *where)
    yield from ("", "known: failures that were expected. An empty cell is a zero.")
    for chapter, lines in groupby(comparison.lines, key=lambda line: line.record.chapter):
        yield from ("", f"### {prose(chapter)}", "")
        yield table_row("requirement", "statement", *(f"{title} {word}" for title in titles for word in COUNTED))
        yield table_row("---", "---", *["--:"] * len(COUNTED) * len(titles))
        yield from map(_requirement, lines)
    yield from _differing("Cases that differ", "case", comparison.differences, titles)
    if comparison.tests:
        yield from _differing("Tests and checks that differ", "test", comparison.tests, titles)
    if comparison.compared_costs:
        yield from _differing_costs(comparison.costs, titles)


def _requirement(line: RequirementLine) -> str:
    numbers = (number for counts in line.counts for number in _counts(counts, zero=""))
    return table_row(code(line.record.id), prose(line.record.sentence), *numbers)


def _counts(counts: CategoryCounts, *, zero: str) -> Iterator[str]:
    for category in COUNTED:
        number = getattr(counts, category)
        yield formatting.count(number) if number else zero


def _differing(heading: str, noun: str, differences: Sequence[Difference], titles: list[str]) -> Iterator[str]:
    differing = sum(len(difference.cases) for difference in differences)
    yield from ("", f"### {heading}: {formatting.count(differing)}")
    room = MOST_CASES
    for difference in differences:
        if room <= 0:
            break
        yield from _difference(difference, titles, room)
        room -= len(difference.cases)
    yield from more(differing - MOST_CASES, noun)


def _differing_costs(costs: Sequence[CostDifference], titles: list[str]) -> Iterator[str]:
    yield from ("", f"### Costs that differ: {formatting.count(len(costs))}")
    if costs:
        yield from ("", table_row("test", "component", "export", *titles))
        yield table_row("---", "---", "---", *["--:"] * len(titles))
    for one in costs[:MOST_COSTS]:
        export = "*instantiate*" if one.export is None else code(one.export)
        yield table_row(code(one.test), code(one.component), export, *_cost_texts(one.costs))
    yield from more(len(costs) - MOST_COSTS, "export")


def _cost_texts(costs: Sequence[Cost | None]) -> Iterator[str]:
    """Yield the cost in each report: fuel with its change from the first, and the other figures that differ."""
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
            parts.append(", ".join(escape(f"{name} {times:,}") for name, times in cost.verdicts))
        yield ", ".join(parts)


def _change(figure: int, base: int) -> str:
    if not base:
        return f"+{figure:,}"
    return f"{figure - base:+,}, {100 * (figure - base) / base:+,.1f} %"


def _difference(difference: Difference, titles: list[str], room: int) -> Iterator[str]:
    outcomes = (f"{title} {_outcome_text(outcome)}" for title, outcome in zip(titles, difference.outcomes))
    yield from ("", " · ".join(outcomes), "")
    for case in difference.cases[:room]:
        yield f"- {code(case.test)} ({code(case.requirement or '')})"


def _outcome_text(outcome: CaseOutcome) -> str:
    return f"**{outcome.category}**" + (f": {code(outcome.reason, _MOST_REASON)}" if outcome.reason else "")
