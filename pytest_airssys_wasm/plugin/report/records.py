"""The records of all executions of guest code, with the tests that caused them.

Records are made in the process that runs the test, and collected in the process that ends the session: under xdist,
test reports carry them from the workers to the controller.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from pytest_airssys_wasm.plugin import adapter
from pytest_airssys_wasm.plugin.report import section
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.stash import CUT_OFF, DENIED_GROWTHS, KIND, NOTE, OVERRULED, REQUIREMENT, RUNNING
from pytest_airssys_wasm.reporting.model import ExecutionRecord, TestRecord
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable_lines

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.runtime.base.outcome import Call, Finished

PROPERTIES = (
    "wasm_executions",
    "wasm_verdicts",
    "wasm_fuel",
    "wasm_wall_ms",
    "wasm_peak_memory_bytes",
    DENIED_GROWTHS,
)
"""The names of the user properties of a test that ran guests, which sum up its executions."""
_EXECUTIONS = "airssys_wasm_executions"
_ABOUT = "airssys_wasm_about"
_MOST_CHARACTERS = 2_000
_MOST_SECTION = 20_000
_SECTIONS = (section.SECTION, adapter.SECTION)


class Recorder:
    """A plugin that records the executions of each test, and puts the records on its reports."""

    def __init__(self, rootpath: Path) -> None:
        self._rootpath = rootpath
        self._test: str | None = None
        self._found: list[ExecutionRecord] = []
        self._of_test: list[ExecutionRecord] = []
        self._mishaps: list[str] = []
        self._since = monotonic()

    def see(self, finished: Finished) -> None:
        """Record an execution that has ended.

        Executions of the conformance suite are left out, because it does not test components.
        """
        if self._test is not None:
            with telling(self._mishaps.append):
                self._found.append(_record(self._test, self._name(finished.call), finished))

    def _name(self, call: Call) -> str:
        """Return the path of the guest, since file names alone are not unique in a session."""
        return call.component if call.path is None else os.path.relpath(call.path, self._rootpath)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Remember the test that is running."""
        self._test = item.nodeid if item.stash.get(KIND, "test") in ("test", "check") else None
        self._since = monotonic()
        item.config.stash[RUNNING] = item
        try:
            return (yield)
        finally:
            self._test = None
            del item.config.stash[RUNNING]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the records to the report of their phase, and add their sums to the user properties of the test."""
        found, self._found = self._found, []
        if call.when == "setup":  # of a test, or of another attempt at it
            self._of_test = []
        self._of_test += found
        others = [one for one in item.user_properties if one[0] not in PROPERTIES]
        item.user_properties[:] = [*others, *_properties(self._of_test)]
        report = yield
        if report.skipped and item.stash.get(KIND, None) == "check":
            found = self._of_test = []  # it repeated what an earlier check has reported
            item.user_properties[:] = report.user_properties[:] = others
        # Plain data, because that is what xdist carries.
        setattr(report, _EXECUTIONS, [structs.astuple(one) for one in found])
        setattr(report, _ABOUT, (item.stash.get(KIND, "test"), item.stash.get(REQUIREMENT, None), self._elapsed_s()))
        mishaps, self._mishaps = self._mishaps, []
        if mishaps:
            report.sections.append(("WebAssembly, not recorded", "\n".join(mishaps)))
        return report

    def _elapsed_s(self) -> float:
        """Return the time in seconds since the previous report.

        The clocks of pytest do not advance in a test that has frozen them.
        """
        before, self._since = self._since, monotonic()
        return self._since - before


class Collection:
    """A plugin that collects all records and outcomes, in the process in which the session ends."""

    def __init__(self) -> None:
        self.executions: list[ExecutionRecord] = []
        self._tests: dict[str, TestRecord] = {}
        self._ended: set[str] = set()
        self.mishaps: list[str] = []
        """The errors of collecting records, in one line each, which are shown at the end of the session."""

    @property
    def tests(self) -> tuple[TestRecord, ...]:
        """The outcomes of the tests, in the order in which tests started. A test that was only set up is left out."""
        return tuple(one for one in self._tests.values() if one.test in self._ended)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the records and the outcome from a test report."""
        with telling(lambda mishap: self.mishaps.append(f"wasm: {report.nodeid} is not in the reports: {mishap}")):
            self._collect(report)

    def _collect(self, report: pytest.TestReport) -> None:
        self.executions.extend(
            ExecutionRecord(**dict(zip(ExecutionRecord.__struct_fields__, values)))
            for values in getattr(report, _EXECUTIONS, ())
        )
        if report.outcome not in _WORSE:  # a rerun: another attempt follows, and that one counts
            self._tests.pop(report.nodeid, None)
            return
        if report.when == "call" or not report.passed:
            self._ended.add(report.nodeid)
        kind, requirement, most_s = getattr(report, _ABOUT, ("test", None, report.duration))
        before = self._tests.get(report.nodeid)
        is_worse = before is None or _is_worse(report.outcome, before.outcome)
        is_known = hasattr(report, "wasxfail") and report.skipped
        said = is_worse or report.when == "call"
        self._tests[report.nodeid] = TestRecord(
            test=report.nodeid,
            kind=kind,
            outcome=report.outcome if is_worse or before is None else before.outcome,
            duration_s=min(max(0.0, report.duration), most_s) + (before.duration_s if before else 0.0),
            reason=_reason(report) if said else before.reason if before else None,
            requirement=requirement,
            is_known_failure=is_known if is_worse or before is None else before.is_known_failure,
            overruled=tuple(str(value) for name, value in report.user_properties if name == OVERRULED),
            section=_section(report) if is_worse or before is None else before.section,
            is_cut_off=any(name == CUT_OFF for name, _ in report.user_properties),
        )


def _record(test: str, component: str, finished: Finished) -> ExecutionRecord:
    call, outcome, usage = finished.call, finished.outcome, finished.outcome.usage
    assert usage is not None  # it was executed
    is_ok = outcome.verdict is Verdict.OK
    return ExecutionRecord(
        test=test,
        component=component,
        export=call.export,
        verdict=str(outcome.verdict),
        fuel_consumed=usage.fuel.consumed,
        fuel_is_exact=usage.fuel.is_exact,
        fuel_limit=usage.fuel.max_fuel,
        wall_ms=usage.wall_ms,
        timeout_ms=call.limits["timeout_ms"],
        peak_memory_bytes=usage.peak_memory_bytes,
        memory_limit_bytes=usage.memory_limit_bytes,
        denied_growths=usage.denied_growths,
        host_calls=usage.host_calls,
        transfer_bytes=usage.transfer_bytes,
        cpu_ms=usage.cpu_ms,
        call=None if is_ok else call.text,
        message=None if is_ok else printable_lines(outcome.message)[:_MOST_CHARACTERS],
    )


def _properties(found: Sequence[ExecutionRecord]) -> list[tuple[str, Any]]:
    if not found:
        return []
    values = (
        len(found),
        ", ".join(sorted({one.verdict for one in found})),
        sum(one.fuel_consumed for one in found),
        round(sum(one.wall_ms for one in found), 3),
        max(one.peak_memory_bytes for one in found),
        sum(one.denied_growths for one in found),
    )
    return list(zip(PROPERTIES, values))


_WORSE = ("passed", "skipped", "failed")


def _is_worse(outcome: str, than: str) -> bool:
    return _WORSE.index(outcome) > _WORSE.index(than)


def _section(report: pytest.TestReport) -> str | None:
    """Return the text of this plugin's sections under a failure."""
    found = [text for name, text, _ in getattr(report.longrepr, "sections", ()) if name in _SECTIONS]
    if not report.failed or not found:
        return None
    text = "\n".join(found)
    return text if len(text) <= _MOST_SECTION else text[: _MOST_SECTION - 1] + "…"


def _reason(report: pytest.TestReport) -> str | None:
    if report.passed:
        note = dict(report.user_properties).get(NOTE)
        return None if note is None else str(note)
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}".removesuffix(": ")
    if isinstance(report.longrepr, tuple):  # of a skip: path, line, reason
        return report.longrepr[2].removeprefix("Skipped: ").partition("\n")[0]
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else crash.message
    return text.strip().partition("\n")[0][:_MOST_CHARACTERS]
