"""The report as Markdown: for the summary of a CI job."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting import figures
from pytest_airssys_wasm.reporting.outcomes import by_chapter, tally
from pytest_airssys_wasm.reporting.rows import summarise
from pytest_airssys_wasm.reporting.text import cut
from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_airssys_wasm.reporting.model import Report, TestRecord
    from pytest_airssys_wasm.reporting.outcomes import Chapter
    from pytest_airssys_wasm.reporting.rows import Row

# GitHub takes a summary of 1 MiB at most.
MOST_FAILED = 200
MOST_ROWS = 400
COUNTED = ("passed", "failed", "known", "skipped")
"""The columns of a table of requirements; known: failures that were expected."""
_MOST_NAME = 160
_MOST_REASON = 300

_MARKUP = re.compile(r"[`*_{}\[\]()#!~^&<>|@$\\\"']|:(?=//)|(?<=www)\.", re.IGNORECASE)
_BY_BACKSLASH = "`*_{}[]()#!~^"
"""What a backslash takes the meaning from everywhere, and stays readable. The rest is written by number."""


def render(report: Report) -> str:
    """Counts, failed tests with their reasons, what each export cost, and the requirements with their outcomes."""
    return "\n".join(_lines(report)) + "\n"


def escape(text: str) -> str:
    """Text from outside as itself: no markup, no cell border, no link."""
    return _MARKUP.sub(_escape, printable(text))


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\{character}" if character in _BY_BACKSLASH else f"&#{ord(character)};"


def code(text: str, most: int = _MOST_NAME) -> str:
    """As code, in which GitHub looks for no mentions."""
    return f"<code>{escape(cut(printable(text), most))}</code>"


def prose(text: str) -> str:
    """As running text. The comment keeps GitHub from seeing a mention, and shows nowhere."""
    return escape(text).replace("&#64;", "&#64;<!-- -->")


def _lines(report: Report) -> Iterator[str]:
    session = report.session
    yield f"## WebAssembly: {tally(report.tests)}"
    yield ""
    yield (
        f"{len(report.executions):,} executions in {session.duration_s:,.1f} s · {code(session.runtime)} "
        f"{code(session.runtime_version)} · Python {code(session.python_version)} · {code(session.platform)} · "
        f"pytest-airssys-wasm {code(session.tool_version)} · {code(session.started_at)}"
    )
    yield ""
    yield f"Limits: {code(session.limits, _MOST_REASON)}"
    yield from _failed([test for test in report.tests if test.outcome == "failed"])
    yield from _exports(summarise(report.executions))
    yield from _requirements(by_chapter(report))


def _failed(tests: Sequence[TestRecord]) -> Iterator[str]:
    if not tests:
        return
    yield from ("", "### Failed", "")
    for test in tests[:MOST_FAILED]:
        reason = f"<br>{code(test.reason, _MOST_REASON)}" if test.reason else ""
        requirement = f" ({code(test.requirement)})" if test.requirement else ""
        yield f"- {code(test.test)}{requirement}{reason}"
    yield from more(len(tests) - MOST_FAILED, "failed tests")


def _exports(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    yield from ("", "### Exports", "")
    titles = ("calls", "fuel min", "median", "max", "limit", "used", "peak memory", "limit", "wall median", "max")
    yield table_row("component", "export", *titles, "verdicts")
    yield table_row("---", "---", *["--:"] * len(titles), "---")
    yield from (table_row(*_cells(row)) for row in rows[:MOST_ROWS])
    if any(row.lower_bounds for row in rows):
        yield from ("", "≥: of some calls only a lower bound is known.")
    yield from more(len(rows) - MOST_ROWS, "exports")


def _cells(row: Row) -> Iterator[str]:
    yield code(row.component)
    yield "*instantiate*" if row.export is None else code(row.export)
    yield figures.count(row.calls)
    yield from (
        figures.fuel(amount, is_exact=row.fuel_is_exact) for amount in (row.fuel_min, row.fuel_median, row.fuel_max)
    )
    yield figures.fuel_limits(row)
    yield figures.percent(row.fuel_used_percent)
    yield figures.size(row.peak_memory_bytes)
    yield figures.memory_limits(row)
    yield from (f"{figures.milliseconds(time_ms)} ms" for time_ms in (row.wall_median_ms, row.wall_max_ms))
    yield ", ".join(map(escape, figures.verdicts(row)))


def _requirements(chapters: Iterable[Chapter]) -> Iterator[str]:
    for chapter in chapters:
        yield from ("", f"### Requirements: {prose(chapter.name)} ({chapter.tally})", "")
        yield table_row("requirement", "what it demands", *COUNTED)
        yield table_row("---", "---", *["--:"] * len(COUNTED))
        for requirement in chapter.requirements:
            record, counted = requirement.record, requirement.tally
            counts = (figures.count(getattr(counted, ending)) for ending in COUNTED)
            yield table_row(code(record.id), prose(record.sentence), *counts)


def table_row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def more(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield from ("", f"… and {count:,} more {what}.")
