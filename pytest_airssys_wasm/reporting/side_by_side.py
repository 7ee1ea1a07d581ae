"""The comparison of several reports as Markdown, and the changes since one earlier report."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting import formatting
from pytest_airssys_wasm.reporting.costs import cost_texts
from pytest_airssys_wasm.reporting.markup import COUNTED, MOST_REASON, code, more, prose, table_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.reporting.changes import Changes
    from pytest_airssys_wasm.reporting.comparison import CaseOutcome, Comparison, Difference, RequirementLine
    from pytest_airssys_wasm.reporting.costs import CostDifference
    from pytest_airssys_wasm.reporting.summaries import CategoryCounts

MOST_CASES = 2_000
MOST_COSTS = 2_000


def render(comparison: Comparison) -> str:
    """Write the comparison as Markdown: the reports, the requirements of each chapter, and the cases that differ."""
    return "\n".join(_markdown(comparison)) + "\n"


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
    yield from _differing("Cases that differ", "case", comparison.differences, titles, MOST_CASES)
    if comparison.tests:
        yield from _differing("Tests and checks that differ", "test", comparison.tests, titles, MOST_CASES)
    if comparison.compared_costs:
        yield from _differing_costs(comparison.costs, titles, MOST_COSTS)


def _requirement(line: RequirementLine) -> str:
    numbers = (number for counts in line.counts for number in _counts(counts, zero=""))
    return table_row(code(line.record.id), prose(line.record.sentence), *numbers)


def _counts(counts: CategoryCounts, *, zero: str) -> Iterator[str]:
    for category in COUNTED:
        number = getattr(counts, category)
        yield formatting.count(number) if number else zero


def change_lines(changes: Changes, *, most: int) -> Iterator[str]:
    """Yield the lines of the changes since an earlier report, with at most this many tests, and as many costs."""
    yield from ("", f"### Changes since {code(changes.title)}", "")
    yield " · ".join([code(changes.session_text), *changes.summary])
    titles = ["earlier", "now"]
    if changes.outcomes:
        yield from _differing("Outcomes that differ", "test", changes.outcomes, titles, most)
    if changes.costs:
        yield from _differing_costs(changes.costs, titles, most)


def _differing(
    heading: str, noun: str, differences: Sequence[Difference], titles: list[str], most: int
) -> Iterator[str]:
    differing = sum(len(difference.cases) for difference in differences)
    yield from ("", f"### {heading}: {formatting.count(differing)}")
    room = most
    for difference in differences:
        if room <= 0:
            break
        yield from _difference(difference, titles, room)
        room -= len(difference.cases)
    yield from more(differing - most, noun)


def _differing_costs(costs: Sequence[CostDifference], titles: list[str], most: int) -> Iterator[str]:
    yield from ("", f"### Costs that differ: {formatting.count(len(costs))}")
    if costs:
        yield from ("", table_row("test", "component", "export", *titles))
        yield table_row("---", "---", "---", *["--:"] * len(titles))
    for one in costs[:most]:
        export = "*instantiate*" if one.export is None else code(one.export)
        yield table_row(code(one.test), code(one.component), export, *cost_texts(one.costs))
    yield from more(len(costs) - most, "export")


def _difference(difference: Difference, titles: list[str], room: int) -> Iterator[str]:
    outcomes = (f"{title} {_outcome_text(outcome)}" for title, outcome in zip(titles, difference.outcomes))
    yield from ("", " · ".join(outcomes), "")
    for case in difference.cases[:room]:
        requirement = f" ({code(case.requirement)})" if case.requirement else ""
        yield f"- {code(case.test)}{requirement}"


def _outcome_text(outcome: CaseOutcome) -> str:
    return f"**{outcome.category}**" + (f": {code(outcome.reason, MOST_REASON)}" if outcome.reason else "")
