"""The comparison with the snapshot, or its update, in the process in which the session ends."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.analysis.snapshots.comparison import Comparison, Run, State, compare, updated
from pytest_airssys_wasm.analysis.snapshots.file import read_snapshot, write_snapshot
from pytest_airssys_wasm.analysis.snapshots.model import Cost, EntryKey, Snapshot
from pytest_airssys_wasm.plugin import engine
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.snapshot.coverage import GONE, Coverage
from pytest_airssys_wasm.plugin.snapshot.laws import LAW, LawRecorder, law_of
from pytest_airssys_wasm.plugin.snapshot.lines import cause_lines, change_lines, not_run_line, total_line
from pytest_airssys_wasm.plugin.snapshot.recording import COSTS, Recorder
from pytest_airssys_wasm.plugin.stash import COST_CHANGES
from pytest_airssys_wasm.plugin.worker_parts import part_of
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, read_regular
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_airssys_wasm.analysis.snapshots.model import Entry

FILE_NAME = ".fuel-snapshot.json"
"""The name of the snapshot in the root directory."""
_SECTION = "WebAssembly fuel snapshot"
_MOST_NAMED = 5


def register(config: pytest.Config) -> None:
    """Register what records costs, and in the process that the user sees, what compares them.

    Raises `pytest.UsageError` for a snapshot that cannot be read.
    """
    try:
        before = read_snapshot(config.rootpath / FILE_NAME)
    except InvalidConfiguration as error:
        raise pytest.UsageError(str(error)) from None
    recorder = Recorder(config)
    config.pluginmanager.register(recorder)
    engine.listen(config, recorder.see)
    has_laws = config.stash[SETTINGS].wasm_laws
    if has_laws:
        config.pluginmanager.register(LawRecorder(config, before))
    entries = before.entries if before else ()
    # Without `--wasm-laws` no law can be found, and none is gone.
    coverage = Coverage(config, {key.test for key in entries if has_laws or key.kind != "law"})
    config.pluginmanager.register(coverage)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SnapshotHooks(config, before, coverage))


class SnapshotHooks:
    """A plugin that gathers the costs of all tests, and compares or writes the snapshot when the session ends."""

    def __init__(self, config: pytest.Config, before: Snapshot | None, coverage: Coverage) -> None:
        settings = config.stash[SETTINGS]
        self._config = config
        self._path = config.rootpath / FILE_NAME
        self._is_update = settings.wasm_fuel_snapshot == "update"
        self._before = before
        self._gone = coverage.gone
        self._entries: dict[EntryKey, Entry] = {}
        self._reasons: dict[str, str] = {}
        self._passed: set[str] = set()
        self._ambiguous: set[str] = set()
        self._tolerances: dict[str, Fraction] = {}
        self._comparison: Comparison | None = None
        self._told: list[tuple[str, bool]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the costs, or the law, from a test report."""
        law = getattr(report, LAW, None)
        if law is not None:
            self._take_law(law)
        found = getattr(report, COSTS, None)
        if found is None or not report.passed or hasattr(report, "context"):
            return  # a subtest has a part of the costs
        test, tolerance, entries = found
        if entries is None:
            self._ambiguous.add(test)
            return
        self._passed.add(test)
        if tolerance is not None:
            self._tolerances[test] = Fraction(tolerance)
        for kind, name, fuel, peak_memory_bytes, executions, guests in entries:
            self._entries[EntryKey(test, kind, name)] = Cost(
                fuel=fuel, peak_memory_bytes=peak_memory_bytes, executions=executions, guests=tuple(guests)
            )

    def _take_law(self, plain: tuple[str, str | None, str]) -> None:
        test, entry, note = law_of(plain)
        self._passed.add(test)
        if entry is None:
            self._reasons[test] = note
        else:
            key, recorded = entry
            self._entries[key] = recorded

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over from an xdist worker which tests do not exist any more. One that has crashed tells nothing."""
        self._gone.update(part_of(node, GONE) or ())

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Compare the costs with the snapshot, or write it, before the reports are written.

        The run fails if they do not agree.
        """
        if not self._entries and not self._ambiguous and self._before is None and not self._is_update:
            return  # a run without guests, in a project without any
        failed = exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) or session.testsfailed > 0
        if self._ambiguous:
            names = ", ".join(map(printable, sorted(self._ambiguous)[:_MOST_NAMED]))
            more = len(self._ambiguous) - _MOST_NAMED
            self._tell(
                f"not recorded: several tests have the same name, {names}{f' and {more:,} more' if more > 0 else ''}. "
                "Give their parameters other ids."
            )
        is_right = False
        with telling(lambda mishap: self._told.append((f"it could not be compared: {mishap}", True))):
            is_right = self._conclude(failed=failed)
        if not is_right and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _conclude(self, *, failed: bool) -> bool:
        """Compare or write. Return whether the run may succeed."""
        from pytest_airssys_wasm.analysis.snapshots.calibration import calibrate

        run = Run(
            snapshot=Snapshot(engine=calibrate(), guests=self._digests(), entries=self._entries),
            passed=self._passed,
            gone=self._gone,
            tolerance=self._config.stash[SETTINGS].wasm_fuel_tolerance or Fraction(0),
            tolerances=self._tolerances,
            reasons=self._reasons,
        )
        self._comparison = comparison = compare(self._before, run)
        lines = change_lines(comparison, with_not_run=False)
        self._config.stash[COST_CHANGES] = tuple(line for line, _ in lines)
        if self._is_update:
            return self._update(run, comparison, failed=failed)
        if comparison.fails:
            self._tell(self._advice(comparison), is_bad=True)
        return not comparison.fails

    def _update(self, run: Run, comparison: Comparison, *, failed: bool) -> bool:
        name = self._path.name
        if failed:
            self._tell(f"{name} is not written, because the run failed.", is_bad=True)
            return True  # pytest says so itself
        if self._before is None and not run.snapshot.entries:
            self._tell(f"{name} is not written, because no test has run a guest.")
            return True
        snapshot = updated(self._before, run, comparison)
        if snapshot is None:
            number = counted(len(comparison.of(State.NOT_RUN)), "entry", "entries")
            reason = f"the engine differs, and {number} did not run"
            self._tell(f"{name} is not written: {reason}. Update it in a run of all tests.", is_bad=True)
            return False
        try:
            is_changed = write_snapshot(self._path, snapshot)
        except OSError as error:
            self._tell(f"{name} cannot be written: {error.strerror or error}", is_bad=True)
            return False
        number = counted(len(snapshot.entries), "entry", "entries")
        self._tell(f"{name}: {number} written." if is_changed else f"{name}: nothing has changed.")
        return True

    def _advice(self, comparison: Comparison) -> str:
        command = "--wasm-fuel-snapshot=update"
        if self._before is None:
            return f"There is no {self._path.name} in {self._config.rootpath}: {command} records these costs."
        if comparison.engine_changes and comparison.of(State.INCOMPARABLE):
            return f"The costs were recorded with another engine: {command} in a run of all tests records them anew."
        if comparison.of(State.REGRESSED) or comparison.of(State.INCOMPARABLE):
            return f"to do: reduce the costs, or accept them with {command}"
        states = " and ".join(str(state) for state in (State.NEW, State.REMOVED) if comparison.of(state))
        return f"to do: accept the {states} entries with {command}"

    def _tell(self, text: str, *, is_bad: bool = False) -> None:
        self._told.append((text, is_bad))

    def _digests(self) -> dict[str, str]:
        paths = {path for entry in self._entries.values() for path in entry.guests}
        return dict(_with_digests(self._config.rootpath, sorted(paths)))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the entries that differ, the number of entries in each state, and what was done."""
        if self._comparison is None and not self._told:
            return
        terminalreporter.section(_SECTION)
        tell = terminalreporter.line
        if self._comparison is not None:
            is_verbose = self._config.get_verbosity() > 0
            for text, is_bad in change_lines(self._comparison, with_not_run=is_verbose):
                tell(text, red=is_bad and not self._is_update)
            not_run = None if is_verbose else not_run_line(self._comparison)
            if not_run is not None:
                tell(not_run)
            for text in (*cause_lines(self._comparison), total_line(self._comparison)):
                tell(text)
        for text, is_bad in self._told:
            tell(text, red=is_bad)


def _with_digests(root: Path, paths: Iterable[str]) -> Iterable[tuple[str, str]]:
    for path in paths:
        try:
            content = read_regular(root / path, GUEST_BYTES)
        except OSError:  # a fixture has built it, and removed it again
            continue
        yield path, hashlib.sha256(content).hexdigest()
