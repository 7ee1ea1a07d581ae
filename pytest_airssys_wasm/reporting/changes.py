"""The changes of a session since an earlier report: the outcomes and costs of the tests that both have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.reporting.comparison import NOT_RUN, compare
from pytest_airssys_wasm.reporting.costs import cost_texts
from pytest_airssys_wasm.runtime.base.printable import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.reporting.comparison import CaseOutcome, Difference
    from pytest_airssys_wasm.reporting.costs import CostDifference
    from pytest_airssys_wasm.reporting.model import Report, SessionInfo


class Changes(Struct, frozen=True, kw_only=True):
    """The differences between an earlier report and a session, in the tests that both of them have."""

    title: str
    """The name of the earlier report."""
    session: SessionInfo
    """The session of the earlier report."""
    outcomes: tuple[Difference, ...]
    """The tests with different outcomes; those that fail now come first. Each difference has the earlier outcome and
    the one of the session.
    """
    costs: tuple[CostDifference, ...]
    """The exports whose calls in the same test had different costs. Each has the earlier cost and the one of the
    session.
    """
    new: int
    """The number of tests that only the session has."""
    not_run: int
    """The number of tests of the earlier report that the session did not run, for whatever reason."""

    @property
    def session_text(self) -> str:
        """The runtime and the time of the earlier session, as text."""
        return f"{self.session.runtime} {self.session.runtime_version}, {self.session.started_at}"

    @property
    def summary(self) -> tuple[str, ...]:
        """The numbers of changes of each kind, as text. A kind that does not occur is left out, unless all are."""
        differing = sum(len(one.cases) for one in self.outcomes)
        parts = (
            (differing, counted(differing, "test") + " with another outcome"),
            (len(self.costs), counted(len(self.costs), "cost differs", "costs differ")),
            (self.new, counted(self.new, "test") + " not in the earlier report"),
            (self.not_run, counted(self.not_run, "test") + " not run this time"),
        )
        return tuple(text for number, text in parts if number) or ("no differences",)


def changes_since(earlier: Report, report: Report, title: str) -> Changes:
    """Compare a session with an earlier report, whose name is `title`.

    The differences are the same as in the comparison of the two reports. A test that only one of them has is counted,
    but it is not a difference, because either may be a run of some tests only.
    """
    comparison = compare({"earlier": earlier, "now": report})
    before, now = ({test.test for test in one.tests} for one in (earlier, report))
    outcomes = [
        one
        for one in (*comparison.tests, *comparison.differences)
        if NOT_RUN not in {outcome.category for outcome in one.outcomes}
    ]
    return Changes(
        title=title,
        session=earlier.session,
        outcomes=tuple(sorted(outcomes, key=lambda one: one.outcomes[-1].category != "failed")),
        costs=comparison.costs,
        new=len(now - before),
        not_run=len(before - now),
    )


def text_lines(changes: Changes, *, most: int) -> Iterator[tuple[str, bool]]:
    """Yield the lines of the changes for a terminal, each with a flag: whether it is about a test that fails now, or a
    call that costs more. At most this many tests, and as many costs, are listed.
    """
    yield printable(", ".join(changes.summary)), False
    outcomes = [(one.outcomes, test.test) for one in changes.outcomes for test in one.cases]
    for (earlier, now), test in outcomes[:most]:
        reason = f" ({now.reason})" if now.reason else ""
        yield printable(f"outcome  {test}: {earlier.category} before, {now.category} now{reason}"), is_failure(now)
    for cost in changes.costs[:most]:
        earlier_text, now_text = cost_texts(cost.costs)
        export = "(instantiate)" if cost.export is None else cost.export
        text = f"cost     {cost.test}: {cost.component} {export}: {earlier_text} before, {now_text} now"
        yield printable(text), costs_more(cost)
    left_out = max(0, len(outcomes) - most) + max(0, len(changes.costs) - most)
    if left_out:
        yield f"… and {counted(left_out, 'more change')}; the .md and .html reports have more of them", False


def is_failure(outcome: CaseOutcome) -> bool:
    """Return whether the test failed unexpectedly."""
    return outcome.category == "failed"


def costs_more(difference: CostDifference) -> bool:
    """Return whether the last report has a higher cost in fuel or memory than the first, or more refused growths."""
    first, last = difference.costs[0], difference.costs[-1]
    if first is None or last is None:
        return False
    return (
        last.fuel > first.fuel
        or last.peak_memory_bytes > first.peak_memory_bytes
        or last.refused_growths > first.refused_growths
    )
