"""How the tests of a session ended: counted, ordered, and by requirement."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_airssys_wasm.reporting.model import Report, RequirementRecord, TestRecord

ENDINGS = ("failed", "known", "skipped", "passed")
"""In the order in which readers want to see them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many tests ended how."""

    passed: int
    failed: int
    known: int
    """Failures that were expected."""
    skipped: int

    @property
    def total(self) -> int:
        """All tests."""
        return self.passed + self.failed + self.known + self.skipped

    @property
    def outcome(self) -> str:
        """One word for all: the first of these that any test has; `untested` without tests."""
        order = ("failed", "known", "passed", "skipped")
        return next((outcome for outcome in order if getattr(self, outcome)), "untested")

    def __str__(self) -> str:
        known = f"{self.known:,} known failures, " if self.known else ""
        return f"{self.passed:,} passed, {self.failed:,} failed, {known}{self.skipped:,} skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A requirement, and how the cases that prove it ended."""

    record: RequirementRecord
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """The requirements of one chapter, and how all their cases ended."""

    name: str
    requirements: tuple[Requirement, ...]
    tally: Tally


def tally(tests: Iterable[TestRecord]) -> Tally:
    """The tests, counted."""
    counts = Counter(test.ending for test in tests)
    return Tally(**{ending: counts[ending] for ending in ENDINGS})


def failed_first(tests: Iterable[TestRecord]) -> tuple[TestRecord, ...]:
    """Failed, known failures, skipped, passed; within each in the order in which they ran."""
    return tuple(sorted(tests, key=lambda test: ENDINGS.index(test.ending)))


def by_chapter(report: Report) -> tuple[Chapter, ...]:
    """The requirements in the report's order, each with the cases that name it."""
    cases: defaultdict[str, list[TestRecord]] = defaultdict(list)
    for test in report.tests:
        if test.requirement is not None:
            cases[test.requirement].append(test)
    chapters: defaultdict[str, list[RequirementRecord]] = defaultdict(list)
    for record in report.requirements:
        chapters[record.chapter].append(record)
    return tuple(
        Chapter(
            name=name,
            requirements=tuple(Requirement(record=record, tally=tally(cases[record.id])) for record in records),
            tally=tally(case for record in records for case in cases[record.id]),
        )
        for name, records in chapters.items()
    )
