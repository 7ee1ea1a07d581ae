"""The report as Markdown, for the summary of a CI job."""

from __future__ import annotations

from html import escape as escape_html
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting import formatting
from pytest_airssys_wasm.reporting.markup import COUNTED, MOST_REASON, code, escape, more, prose, table_row
from pytest_airssys_wasm.reporting.side_by_side import change_lines
from pytest_airssys_wasm.reporting.summaries import (
    by_chapter,
    by_export,
    count_categories,
    cut_off_text,
    suite_by_chapter,
)
from pytest_airssys_wasm.runtime.base.figures import measured_ms, percent, size
from pytest_airssys_wasm.runtime.base.printable import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_airssys_wasm.reporting.changes import Changes
    from pytest_airssys_wasm.reporting.model import Report, TestRecord
    from pytest_airssys_wasm.reporting.summaries import CategoryCounts, ChapterSummary, ExportSummary

# GitHub takes a summary of 1 MiB at most.
MOST_FAILED = 200
MOST_ROWS = 400
MOST_SECTIONS = 300_000
"""The maximum number of characters of all sections under failures together."""
MOST_CHANGES = 200
MOST_CUT_OFF = 20


def render(report: Report, changes: Changes | None = None) -> str:
    """Write the report: counts, failed tests with reasons, changes since an earlier report and of the fuel snapshot,
    the cost of each export, and outcomes by chapter.
    """
    return "\n".join(_lines(report, changes)) + "\n"


def _lines(report: Report, changes: Changes | None) -> Iterator[str]:
    session = report.session
    yield f"## WebAssembly: {count_categories(report.tests)}"
    yield ""
    yield (
        f"{counted(len(report.executions), 'execution')} in {session.duration_s:,.1f} s · {code(session.runtime)} "
        f"{code(session.runtime_version)} · Python {code(session.python_version)} · {code(session.platform)} · "
        f"pytest-airssys-wasm {code(session.tool_version)} · {code(session.started_at)}"
    )
    yield ""
    yield f"Limits: {code(session.limits, MOST_REASON)}"
    yield from _cut_off(report.tests)
    yield from _failed([test for test in report.tests if test.outcome == "failed"])
    if changes is not None:
        yield from change_lines(changes, most=MOST_CHANGES)
    yield from _cost_changes(report.cost_changes)
    yield from _exports(by_export(report.executions))
    yield from _chapters(report)


def _cut_off(tests: Sequence[TestRecord]) -> Iterator[str]:
    text = cut_off_text(tests)
    if text is not None:
        names = [code(one.test) for one in tests if one.is_cut_off]
        yield from ("", f"Fuzzing: {text}: {', '.join(names[:MOST_CUT_OFF])}.")
        yield from more(len(names) - MOST_CUT_OFF, "check")


def _failed(tests: Sequence[TestRecord]) -> Iterator[str]:
    if not tests:
        return
    yield from ("", "### Failed", "")
    room, left_out = MOST_SECTIONS, 0
    for test in tests[:MOST_FAILED]:
        reason = f"<br>{code(test.reason, MOST_REASON)}" if test.reason else ""
        requirement = f" ({code(test.requirement)})" if test.requirement else ""
        limits = "".join(f"<br>{escape(text)}" for text in test.overruled)
        yield f"- {code(test.test)}{requirement}{reason}{limits}"
        section = "" if test.section is None else _section(test.section)
        left_out += len(section) > room
        if section and len(section) <= room:
            room -= len(section)
            yield section
    yield from more(len(tests) - MOST_FAILED, "failed test")
    if left_out:
        yield from ("", f"{counted(left_out, 'section')} about guests left out; the JSON report has all of them.")


def _section(text: str) -> str:
    """Write the section under a failure, folded: one line of HTML, in which nothing is Markdown."""
    lines = "&#10;".join(escape_html(printable(line)).replace("@", "&#64;") for line in text.split("\n"))
    return f"  <details><summary>WebAssembly</summary><pre>{lines}</pre></details>"


def _cost_changes(lines: Sequence[str]) -> Iterator[str]:
    if not lines:
        return
    yield from ("", "### Fuel snapshot", "")
    for line in lines[:MOST_ROWS]:
        state, _, text = line.partition(" ")
        yield f"- {escape(state)} {code(text.strip(), MOST_REASON)}"
    yield from more(len(lines) - MOST_ROWS, "entry", "entries")


def _exports(summaries: Sequence[ExportSummary]) -> Iterator[str]:
    if not summaries:
        return
    yield from ("", "### Exports", "")
    titles = (
        *("calls", "fuel min", "median", "max", "limit", "used"),
        *("peak memory", "limit", "used", "wall median", "max"),
    )
    yield table_row("component", "export", *titles, "verdicts")
    yield table_row("---", "---", *["--:"] * len(titles), "---")
    yield from (table_row(*_cells(one)) for one in summaries[:MOST_ROWS])
    if any(one.lower_bounds for one in summaries):
        yield from ("", "≥: only a lower bound is known for some calls.")
    if any(one.refused_calls for one in summaries):
        yield from ("", f"{formatting.REFUSED}.")
    yield from more(len(summaries) - MOST_ROWS, "export")


def _cells(summary: ExportSummary) -> Iterator[str]:
    yield code(summary.component)
    yield "*instantiate*" if summary.export is None else code(summary.export)
    yield formatting.count(summary.calls)
    yield from (
        formatting.fuel(amount, is_exact=summary.fuel_is_exact)
        for amount in (summary.fuel_min, summary.fuel_median, summary.fuel_max)
    )
    yield formatting.fuel_limits(summary)
    yield percent(summary.fuel_used_percent)
    yield size(summary.peak_memory_bytes)
    yield formatting.memory_limits(summary)
    yield percent(summary.memory_used_percent)
    yield from (f"{measured_ms(time_ms)} ms" for time_ms in (summary.wall_median_ms, summary.wall_max_ms))
    yield ", ".join(map(escape, formatting.endings(summary)))


def _chapters(report: Report) -> Iterator[str]:
    """Write one row for each chapter of the suite, and the requirements of those in which something failed."""
    chapters = suite_by_chapter(report.tests)
    if chapters:
        yield from ("", "### Conformance suite", "")
        yield table_row("chapter", *COUNTED)
        yield table_row("---", *["--:"] * len(COUNTED))
    for name, cases in chapters.items():
        yield table_row(code(name), *_numbers(count_categories(cases)))
    yield from _requirements(one for one in by_chapter(report) if one.counts.failed)


def _requirements(chapters: Iterable[ChapterSummary]) -> Iterator[str]:
    for chapter in chapters:
        yield from ("", f"### Requirements: {prose(chapter.name)} ({chapter.counts})", "")
        yield table_row("requirement", "statement", *COUNTED)
        yield table_row("---", "---", *["--:"] * len(COUNTED))
        for requirement in chapter.requirements:
            record = requirement.record
            yield table_row(code(record.id), prose(record.sentence), *_numbers(requirement.counts))


def _numbers(counts: CategoryCounts) -> Iterator[str]:
    return (formatting.count(getattr(counts, category)) for category in COUNTED)
