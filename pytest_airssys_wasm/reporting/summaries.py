"""The summaries of tests and executions: by outcome, by requirement and chapter, and by export."""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import median, median_low
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.printable import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_airssys_wasm.reporting.model import ExecutionRecord, Report, RequirementRecord, TestRecord

OK = "ok"
"""The verdict of an execution that returned."""
CATEGORIES = ("failed", "known", "skipped", "passed")
"""The categories of tests, in the order in which reports list them."""
_FUZZING = ("fuzz", "fuzz-sequence", "worst-case", "fuzz-limits")
"""The names of the checks of fuzzing; an export in brackets may follow."""


class CategoryCounts(Struct, frozen=True, kw_only=True):
    """The numbers of tests by category."""

    passed: int
    failed: int
    known: int
    """The number of expected failures."""
    skipped: int

    @property
    def total(self) -> int:
        """The number of all tests."""
        return self.passed + self.failed + self.known + self.skipped

    @property
    def category(self) -> str:
        """The first of failed, known, passed and skipped that any test has; `untested` without tests."""
        order = ("failed", "known", "passed", "skipped")
        return next((category for category in order if getattr(self, category)), "untested")

    def __str__(self) -> str:
        known = f"{counted(self.known, 'known failure')}, " if self.known else ""
        return f"{self.passed:,} passed, {self.failed:,} failed, {known}{self.skipped:,} skipped"


class RequirementSummary(Struct, frozen=True, kw_only=True):
    """A requirement, and the numbers of the cases that prove it."""

    record: RequirementRecord
    counts: CategoryCounts


class ChapterSummary(Struct, frozen=True, kw_only=True):
    """The requirements of one chapter, and the numbers of all their cases."""

    name: str
    requirements: tuple[RequirementSummary, ...]
    counts: CategoryCounts


class ExportSummary(Struct, frozen=True, kw_only=True):
    """The executions of one export of one component, or its instantiations, summed up."""

    component: str
    export: str | None
    """The full name of the export; `None` for the instantiation."""
    calls: int
    fuel_min: int
    fuel_median: int
    """The median of the consumed fuel. Of two middle amounts it is the lower one, so that the median is always an
    actual amount.
    """
    fuel_max: int
    lower_bounds: int
    """The number of calls with only a lower bound of fuel. If there is any, all three amounts are lower bounds."""
    fuel_limit_min: int | None
    """The smallest fuel limit; `None` if every call was unlimited."""
    fuel_limit_max: int | None
    """The largest fuel limit of the calls that had one; `None` if every call was unlimited."""
    has_unlimited_fuel: bool
    """Whether any call was unlimited."""
    fuel_used_percent: float | None
    """The largest share of its own limit that a call used; `None` if every call was unlimited."""
    peak_memory_bytes: int
    memory_used_percent: float
    """The largest share of its own memory limit that a call used."""
    refused_calls: int
    """The number of calls of which the memory limit refused a growth or an initial size, however they ended."""
    memory_limit_min_bytes: int
    memory_limit_max_bytes: int
    wall_median_ms: float
    wall_max_ms: float
    verdicts: tuple[tuple[str, int], ...]
    """The verdicts with their numbers of calls: first `ok`, then the others by frequency."""

    @property
    def fuel_is_exact(self) -> bool:
        """Whether the amounts of fuel are exact; otherwise they are lower bounds."""
        return not self.lower_bounds


def cut_off_text(tests: Iterable[TestRecord]) -> str | None:
    """Write how many checks of fuzzing passed because their time was up; `None` if none did."""
    checks = [one for one in tests if one.kind == "check" and _without_export(one) in _FUZZING]
    cut_off = sum(one.is_cut_off for one in checks)
    if not cut_off:
        return None
    return f"the time of {cut_off:,} of {counted(len(checks), 'fuzz check')} was up before all examples were tried"


def _without_export(check: TestRecord) -> str:
    return check.test.partition("::")[2].partition("[")[0]


def count_categories(tests: Iterable[TestRecord]) -> CategoryCounts:
    """Count the tests by category."""
    counts = Counter(test.category for test in tests)
    return CategoryCounts(**{category: counts[category] for category in CATEGORIES})


def failed_first(tests: Iterable[TestRecord]) -> tuple[TestRecord, ...]:
    """Sort tests by category: failed, known failures, skipped, passed. The order within each category is kept."""
    return tuple(sorted(tests, key=lambda test: CATEGORIES.index(test.category)))


def by_chapter(report: Report) -> tuple[ChapterSummary, ...]:
    """Sum up the cases by requirement and chapter, in the order of the report."""
    cases: defaultdict[str, list[TestRecord]] = defaultdict(list)
    for test in report.tests:
        if test.requirement is not None:
            cases[test.requirement].append(test)
    chapters: defaultdict[str, list[RequirementRecord]] = defaultdict(list)
    for record in report.requirements:
        chapters[record.chapter].append(record)
    return tuple(
        ChapterSummary(
            name=name,
            requirements=tuple(
                RequirementSummary(record=record, counts=count_categories(cases[record.id])) for record in records
            ),
            counts=count_categories(case for record in records for case in cases[record.id]),
        )
        for name, records in chapters.items()
    )


def chapter_of(test: TestRecord) -> str | None:
    """Return the node id of the chapter of a case or law of the conformance suite; `None` for any other test."""
    return test.test.rpartition("/")[0] if test.kind in ("case", "law") else None


def suite_by_chapter(tests: Iterable[TestRecord]) -> dict[str, tuple[TestRecord, ...]]:
    """Return the cases and laws of the conformance suite by the node ids of their chapters, in the order of the
    report.
    """
    found: defaultdict[str, list[TestRecord]] = defaultdict(list)
    for test in tests:
        chapter = chapter_of(test)
        if chapter is not None:
            found[chapter].append(test)
    return {chapter: tuple(cases) for chapter, cases in found.items()}


def by_export(executions: Iterable[ExecutionRecord]) -> tuple[ExportSummary, ...]:
    """Sum up executions by export, in alphabetical order of components and exports, instantiations first."""
    groups: defaultdict[tuple[str, bool, str], list[ExecutionRecord]] = defaultdict(list)
    for execution in executions:
        groups[execution.component, execution.export is not None, execution.export or ""].append(execution)
    return tuple(_of_export(group) for _, group in sorted(groups.items()))


def fuel_used_percent(execution: ExecutionRecord) -> float | None:
    """Return the used share of the fuel limit in percent: 100 for a limit of zero, `None` without a limit."""
    if execution.fuel_limit is None:
        return None
    return 100.0 * execution.fuel_consumed / execution.fuel_limit if execution.fuel_limit else 100.0


def memory_used_percent(execution: ExecutionRecord) -> float:
    """Return the used share of the memory limit in percent.

    For a limit of zero it is 0 if no memory was requested, else 100.
    """
    if execution.memory_limit_bytes:
        return 100.0 * execution.peak_memory_bytes / execution.memory_limit_bytes
    return 100.0 if execution.peak_memory_bytes or execution.denied_growths else 0.0


def _of_export(group: Sequence[ExecutionRecord]) -> ExportSummary:
    fuel = [execution.fuel_consumed for execution in group]
    limits = [execution.fuel_limit for execution in group if execution.fuel_limit is not None]
    shares = [share for execution in group if (share := fuel_used_percent(execution)) is not None]
    memory_limits = [execution.memory_limit_bytes for execution in group]
    wall_ms = [execution.wall_ms for execution in group]
    verdicts = Counter(execution.verdict for execution in group)
    return ExportSummary(
        component=group[0].component,
        export=group[0].export,
        calls=len(group),
        fuel_min=min(fuel),
        fuel_median=median_low(fuel),
        fuel_max=max(fuel),
        lower_bounds=sum(not execution.fuel_is_exact for execution in group),
        fuel_limit_min=min(limits, default=None),
        fuel_limit_max=max(limits, default=None),
        has_unlimited_fuel=len(limits) < len(group),
        fuel_used_percent=max(shares, default=None),
        peak_memory_bytes=max(execution.peak_memory_bytes for execution in group),
        memory_used_percent=max(map(memory_used_percent, group)),
        refused_calls=sum(execution.denied_growths > 0 for execution in group),
        memory_limit_min_bytes=min(memory_limits),
        memory_limit_max_bytes=max(memory_limits),
        wall_median_ms=median(wall_ms),
        wall_max_ms=max(wall_ms),
        verdicts=tuple(sorted(verdicts.items(), key=lambda item: (item[0] != OK, -item[1], item[0]))),
    )
