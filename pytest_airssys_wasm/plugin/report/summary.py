"""The summary at the end of a session: the table of executions, and the files of `--wasm-report`."""

from __future__ import annotations

import platform
from collections import Counter
from functools import partial
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin import adapter
from pytest_airssys_wasm.plugin.header import limits_text
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.stash import COST_CHANGES
from pytest_airssys_wasm.reporting import summaries, table, write
from pytest_airssys_wasm.reporting.changes import changes_since, text_lines
from pytest_airssys_wasm.reporting.model import Report, RequirementRecord, SessionInfo
from pytest_airssys_wasm.runtime.base.originals import gmtime, monotonic, strftime
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.validation import ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.plugin.report.records import Collection
    from pytest_airssys_wasm.reporting.changes import Changes
    from pytest_airssys_wasm.reporting.model import TestRecord

_MARKUP: Mapping[table.Tone, dict[str, bool]] = {
    "plain": {},
    "heading": {"bold": True},
    "good": {"green": True},
    "near": {"yellow": True},
    "bad": {"red": True},
}
_MOST_CHANGES = 20
"""The maximum number of tests, and of costs, that the terminal lists as changes since an earlier report."""
_MOST_CUT_OFF = 3
"""The maximum number of checks that the terminal names because their time was up."""


class Summary:
    """A plugin that writes reports and shows the summary, in the process that the user sees."""

    def __init__(self, config: pytest.Config, collection: Collection, earlier: Report | None = None) -> None:
        self._config = config
        self._collection = collection
        self._earlier = earlier
        self._changes: Changes | None = None
        self._started_at = strftime("%Y-%m-%dT%H:%M:%S+00:00", gmtime())
        self._started_s = monotonic()
        self._problems: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Compare with the earlier report, and write the reports. The run fails if a report cannot be written."""
        settings = self._config.stash[SETTINGS]
        if settings.wasm_report or self._earlier is not None:
            with telling(lambda mishap: self._problems.append(f"wasm reports could not be made: {mishap}")):
                report = self._report()
                if self._earlier is not None and settings.wasm_report_against is not None:
                    self._changes = changes_since(self._earlier, report, settings.wasm_report_against.name)
                self._write(report, settings.wasm_report)
        if self._problems:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def _write(self, report: Report, paths: Sequence[Path]) -> None:
        for path in paths:
            with telling(partial(self._tell_unwritten, path)):
                try:
                    write.write(report, path, self._changes)
                except OSError as error:
                    self._tell_unwritten(path, error.strerror or str(error))

    def _tell_unwritten(self, path: Path, mishap: str) -> None:
        self._problems.append(f"wasm report {path} could not be written: {mishap}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the notes of checks and the costs of calls with `-v` or `--wasm-summary`, and the paths of reports."""
        settings = self._config.stash[SETTINGS]
        tell = partial(terminalreporter.line, red=True)
        if settings.wasm_summary or self._config.get_verbosity() > 0:
            with telling(lambda mishap: tell(f"wasm: the checks cannot be shown: {mishap}")):
                self._show_checks(terminalreporter)
            with telling(lambda mishap: tell(f"wasm: the executions cannot be shown: {mishap}")):
                self._show_executions(terminalreporter)
        with telling(tell):
            self._show_changes(terminalreporter)
            self._show_overruled(terminalreporter)
            self._show_cut_off(terminalreporter)
            written = [path for path in settings.wasm_report if path.is_file()]
            if written and not self._problems:
                terminalreporter.line(f"wasm report: {', '.join(map(str, written))}")
        for problem in (*self._collection.mishaps, *self._problems):
            tell(problem)

    def _show_changes(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._changes is None:
            return
        terminalreporter.section(f"WebAssembly: changes since {printable(self._changes.title)}")
        for line, is_bad in text_lines(self._changes, most=_MOST_CHANGES):
            terminalreporter.line(line, red=is_bad)

    def _show_overruled(self, terminalreporter: pytest.TerminalReporter) -> None:
        for text, times in Counter(text for test in self._collection.tests for text in test.overruled).items():
            touched = counted(times, "check or test", "checks and tests")
            terminalreporter.line(printable(f"wasm limit: {text} ({touched})"))

    def _show_cut_off(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell of checks that passed only because their time was up."""
        text = summaries.cut_off_text(self._collection.tests)
        if text is None:
            return
        names = [one.test for one in self._collection.tests if one.is_cut_off]
        more = f" and {len(names) - _MOST_CUT_OFF:,} more" if len(names) > _MOST_CUT_OFF else ""
        longer = "ci" if self._config.stash[SETTINGS].wasm_fuzz == "quick" else "nightly"
        listed = ", ".join(names[:_MOST_CUT_OFF])
        terminalreporter.line(
            printable(f"wasm fuzz: {text}: {listed}{more}; --wasm-fuzz={longer} gives more time"), yellow=True
        )

    def _show_executions(self, terminalreporter: pytest.TerminalReporter) -> None:
        columns = self._config.get_terminal_writer().fullwidth
        lines = table.render(summaries.by_export(self._collection.executions), columns)
        if lines:
            terminalreporter.section("WebAssembly executions")
        for line in lines:
            for piece in line.pieces:
                terminalreporter.write(piece.text, **_MARKUP[piece.tone])
            terminalreporter.line("")

    def _show_checks(self, terminalreporter: pytest.TerminalReporter) -> None:
        passed = [one for one in self._collection.tests if one.kind == "check" and one.outcome == "passed"]
        by_file = groupby(sorted(passed, key=lambda one: (_file(one), _rank(one))), key=_file)
        if passed:
            terminalreporter.section("WebAssembly components")
        for file, checks in by_file:
            terminalreporter.line(printable(file))
            for one in checks:
                note = "; ".join([one.reason or "", *one.overruled])
                terminalreporter.line(f"  {printable(one.test.partition('::')[2])}: {printable(note)}")

    def _report(self) -> Report:
        tests = self._collection.tests
        runtime, runtime_version = adapter.runtime_name(self._config) or ("wasmtime-py", version("wasmtime"))
        session = SessionInfo(
            tool_version=version("pytest-airssys-wasm"),
            runtime=runtime,
            runtime_version=runtime_version,
            python_version=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            started_at=self._started_at,
            duration_s=monotonic() - self._started_s,
            limits=limits_text(self._config.stash[SETTINGS]),
        )
        named = {one.requirement for one in tests}
        requirements = tuple(_requirements()) if any(named) else ()
        return Report(
            session=session,
            tests=tests,
            requirements=requirements,
            executions=tuple(self._collection.executions),
            cost_changes=self._config.stash.get(COST_CHANGES, ()),
        )


def _file(test: TestRecord) -> str:
    return test.test.partition("::")[0]


def _rank(test: TestRecord) -> int:
    """Return the rank of a check in the order of checks; the tests of a manifest come last."""
    name = test.test.partition("::")[2]
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _requirements() -> Iterator[RequirementRecord]:
    from pytest_airssys_wasm.conformance.loader import find_chapters

    for chapter in find_chapters():
        for identifier, requirement in chapter.load().requirements.items():
            yield RequirementRecord(id=identifier, chapter=chapter.name, sentence=requirement.sentence)
