"""A comparison as Markdown: a table of the reports, one of requirements for each chapter, and the cases that differ."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting import figures
from pytest_airssys_wasm.reporting.markdown import COUNTED, code, more, prose, table_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.reporting.comparison import Comparison, Difference, Ending, Line
    from pytest_airssys_wasm.reporting.outcomes import Tally

MOST_CASES = 2_000
_MOST_REASON = 300


def render(comparison: Comparison) -> str:
    """Who ran, what each made of every requirement, and the cases by which they differ."""
    return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    titles = [code(column.title) for column in comparison.columns]
    yield from ("## Side by side", "")
    yield table_row("", "runtime", "version", *COUNTED, "suite", "platform", "started")
    yield table_row("---", "---", "---", *["--:"] * len(COUNTED), "---", "---", "---")
    for title, column in zip(titles, comparison.columns):
        session = column.session
        who = (code(session.runtime), code(session.runtime_version))
        where = (code(session.tool_version), code(session.platform), code(session.started_at))
        yield table_row(f"**{title}**", *who, *_counts(column.tally, zero="0"), *where)
    yield from ("", "known: failures that were expected. A cell that is empty is a zero.")
    for chapter, lines in groupby(comparison.lines, key=lambda line: line.record.chapter):
        yield from ("", f"### {prose(chapter)}", "")
        yield table_row("requirement", "what it demands", *(f"{title} {word}" for title in titles for word in COUNTED))
        yield table_row("---", "---", *["--:"] * len(COUNTED) * len(titles))
        yield from map(_requirement, lines)
    yield from _differing(comparison, titles)


def _requirement(line: Line) -> str:
    counts = (count for tally in line.tallies for count in _counts(tally, zero=""))
    return table_row(code(line.record.id), prose(line.record.sentence), *counts)


def _counts(tally: Tally, *, zero: str) -> Iterator[str]:
    for ending in COUNTED:
        number = getattr(tally, ending)
        yield figures.count(number) if number else zero


def _differing(comparison: Comparison, titles: list[str]) -> Iterator[str]:
    differing = sum(len(difference.cases) for difference in comparison.differences)
    yield from ("", f"### Cases that differ: {figures.count(differing)}")
    room = MOST_CASES
    for difference in comparison.differences:
        if room <= 0:
            break
        yield from _difference(difference, titles, room)
        room -= len(difference.cases)
    yield from more(differing - MOST_CASES, "cases")


def _difference(difference: Difference, titles: list[str], room: int) -> Iterator[str]:
    endings = (f"{title} {_how(ending)}" for title, ending in zip(titles, difference.endings))
    yield from ("", " · ".join(endings), "")
    for case in difference.cases[:room]:
        yield f"- {code(case.test)} ({code(case.requirement or '')})"


def _how(ending: Ending) -> str:
    return f"**{ending.word}**" + (f": {code(ending.reason, _MOST_REASON)}" if ending.reason else "")
