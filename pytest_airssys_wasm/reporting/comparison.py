"""Several reports beside each other: what each runtime made of every requirement, and which cases tell them apart."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting.outcomes import Tally, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_airssys_wasm.reporting.model import Report, RequirementRecord, SessionInfo, TestRecord

NOT_RUN = "not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One report: its title, who ran where, and how its cases ended."""

    title: str
    session: SessionInfo
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A requirement, and how the cases that prove it ended in each report."""

    record: RequirementRecord
    tallies: tuple[Tally, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a case ended in one report, and why if it did not pass."""

    word: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Cases that ended alike in each report, and not in all of them alike."""

    endings: tuple[Ending, ...]
    """One for each report."""
    cases: tuple[TestRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Reports, one column each."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    """Without requirements of which no report has a case."""
    differences: tuple[Difference, ...]
    """Those of most cases first."""


def compare(reports: Mapping[str, Report]) -> Comparison:
    """The conformance cases of the reports, which are given by their titles.

    Python tests, checks and laws are left out: they are no demands on a runtime.
    """
    cases = [{one.test: one for one in report.tests if one.kind == "case"} for report in reports.values()]
    known = {record.id: record for report in reports.values() for record in report.requirements}
    return Comparison(
        columns=tuple(
            Column(title=title, session=report.session, tally=tally(of_report.values()))
            for (title, report), of_report in zip(reports.items(), cases)
        ),
        # By chapter; within it as in the reports.
        lines=tuple(_lines(sorted(known.values(), key=lambda record: record.chapter), cases)),
        differences=_differences(cases),
    )


def _lines(records: Iterable[RequirementRecord], cases: Sequence[Mapping[str, TestRecord]]) -> Iterator[Line]:
    for record in records:
        tallies = tuple(tally(case for case in of.values() if case.requirement == record.id) for of in cases)
        if any(one.total for one in tallies):
            yield Line(record=record, tallies=tallies)


def _differences(cases: Sequence[Mapping[str, TestRecord]]) -> tuple[Difference, ...]:
    together: defaultdict[tuple[Ending, ...], list[TestRecord]] = defaultdict(list)
    for name in sorted({name for of_report in cases for name in of_report}):
        endings = tuple(_ending(of_report.get(name)) for of_report in cases)
        if len({ending.word for ending in endings}) > 1:
            together[endings].append(next(of_report[name] for of_report in cases if name in of_report))
    found = [Difference(endings=endings, cases=tuple(records)) for endings, records in together.items()]
    return tuple(sorted(found, key=lambda difference: -len(difference.cases)))


def _ending(case: TestRecord | None) -> Ending:
    if case is None:
        return Ending(word=NOT_RUN, reason=None)
    reason = None if case.ending == "passed" else (case.reason or "").removeprefix("expected to fail: ")
    return Ending(word=case.ending, reason=reason or None)
