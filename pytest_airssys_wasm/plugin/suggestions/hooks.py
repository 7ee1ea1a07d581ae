"""The plugins that search for limits at the end of a session, and write them to the file."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_airssys_wasm.analysis.limit_evidence import Evidence
from pytest_airssys_wasm.analysis.suggestions import Suggestion, merged, suggest
from pytest_airssys_wasm.plugin import engine
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.suggestions.recording import Recorder
from pytest_airssys_wasm.plugin.worker_parts import WorkerPart, part_of
from pytest_airssys_wasm.reporting.write import replace_file
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.runtime.base.regular_files import TEXT_BYTES, read_regular
from pytest_airssys_wasm.runtime.manifest.loading import PLATFORM_RANGE
from pytest_airssys_wasm.validation.limit_evidence_lines import timeout_text
from pytest_airssys_wasm.validation.suggested_limits import FIRST_LINE, KEYS, ComponentLimits, render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART = "airssys_wasm_suggestions"
"""The key, in the output of an xdist worker, of the limits that the worker has found."""
_SECTION = "WebAssembly suggested limits"
_NOT_RUN = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR)


class _Part(msgspec.Struct, kw_only=True):
    """The results of one process."""

    found: dict[str, Suggestion]
    """The limits, by the name of the component."""
    evidence: dict[str, Evidence]
    """The laws, worst cases and times, by the name of the component."""
    failed: dict[str, list[str]]
    """The tests that failed, by the name of their component."""
    mishaps: list[str]
    """The errors because of which the limits may be too low."""


def register(config: pytest.Config) -> None:
    """Register the plugin that records executions and, in the process that the user started, the plugin that writes the
    file.

    Raises `pytest.UsageError` for an existing file that was not written by this option.
    """
    path = config.stash[SETTINGS].wasm_suggest_limits
    assert path is not None
    recorder = Recorder(config)
    engine.listen(config, recorder.see)
    config.pluginmanager.register(recorder)
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(WorkerPart(config, PART, lambda: msgspec.to_builtins(_part_of(recorder))))
    else:
        _check_that_it_may_be_replaced(path)
        config.pluginmanager.register(SuggestionHooks(config, path, recorder))


def _check_that_it_may_be_replaced(path: Path) -> None:
    try:
        begins = read_regular(path, TEXT_BYTES).startswith(FIRST_LINE.encode())
    except FileNotFoundError:
        return
    except OSError as error:
        raise pytest.UsageError(f"--wasm-suggest-limits: {path} cannot be replaced: {error.strerror}") from None
    if not begins:
        raise pytest.UsageError(f"--wasm-suggest-limits: {path} exists, and was not written by this option")


def _part_of(recorder: Recorder) -> _Part:
    """Search for the limits of the tests that ran in this process."""
    found, mishaps = {}, list(recorder.mishaps)
    for name, histories in sorted(recorder.histories.items()):
        if name in recorder.failed:
            continue
        with telling(lambda mishap, name=name: mishaps.append(f"{name}: {mishap}")):  # type: ignore[misc]
            found[name] = suggest(histories)
    failed = {name: sorted(tests) for name, tests in recorder.failed.items()}
    return _Part(found=found, evidence=recorder.evidence, failed=failed, mishaps=mishaps)


class SuggestionHooks:
    """A plugin that merges the limits of all processes, writes the file, and lists the limits in the terminal."""

    def __init__(self, config: pytest.Config, path: Path, recorder: Recorder) -> None:
        self._config = config
        self._path = path
        self._recorder = recorder
        self._parts: list[_Part] = []
        self._obstacle: str | None = None
        self._told: list[tuple[str, bool]] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that tests could not be collected, because their needs are unknown."""
        if report.failed:
            self._obstacle = f"{printable(report.nodeid) or 'the session'} could not be collected"

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the results of an xdist worker. A worker that crashed has none."""
        part = part_of(node, PART)
        if part is None:
            self._obstacle = "a worker process of xdist has ended early, and with it what its tests executed"
        else:
            self._parts.append(msgspec.convert(part, _Part))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the file. The run fails if the file cannot be written."""
        if session.shouldfail or session.shouldstop or exitstatus in _NOT_RUN:
            self._obstacle = self._obstacle or "the run was stopped before its end"
        is_done = False
        with telling(lambda mishap: self._told.append((f"{self._path.name} is not written: {mishap}", True))):
            is_done = self._conclude()
        if not is_done and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _conclude(self) -> bool:
        """Write the file. Return whether the run may pass."""
        if self._obstacle is None:
            self._parts.append(_part_of(self._recorder))
            mishaps = [mishap for part in self._parts for mishap in part.mishaps]
            self._obstacle = mishaps[0] if mishaps else None
        if self._obstacle is not None:
            self._told.append((f"{self._path.name} is not written: {self._obstacle}.", True))
            return False
        components = [*self._components()]
        if not components:
            self._told.append((f"{self._path.name} is not written: no test has run a component.", False))
            return True
        lowest_memory, _ = self._config.stash[SETTINGS].wasm_memory_range or PLATFORM_RANGE
        try:
            replace_file(self._path, render(components, lowest_memory))
        except OSError as error:
            self._told.append((f"{self._path.name} cannot be written: {error.strerror or error}", True))
            return False
        self._told.extend((line, False) for one in components for line in _lines(one))
        self._told.append((f"{self._path.name}: {counted(len(components), 'component')} written.", False))
        return True

    def _components(self) -> Iterator[ComponentLimits]:
        names = {name for part in self._parts for name in (*part.found, *part.failed)}
        for name in sorted(names):
            failed = sorted({test for part in self._parts for test in part.failed.get(name, ())})
            found = [part.found[name] for part in self._parts if name in part.found]
            if failed or any(one.steps or one.unrepeated or one.obstacle for one in found):
                suggestion = merged(found) if found else Suggestion(found={})
                known = (part.evidence[name] for part in self._parts if name in part.evidence)
                evidence = reduce(Evidence.plus, known, Evidence())
                yield ComponentLimits(name=name, suggestion=suggestion, failed=failed, evidence=evidence)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the limits, and whether the file was written."""
        if self._told:
            terminalreporter.section(_SECTION)
            for text, is_bad in self._told:
                terminalreporter.line(text, red=is_bad)


def _lines(one: ComponentLimits) -> Iterator[str]:
    figures = [f"{KEYS[name][1]} = {found.value:,}" for name, found in one.suggested.items()]
    if "fuel" in one.suggested:
        figures.append(timeout_text(one.evidence.longest))
    yield f"{printable(one.name)}: {', '.join(figures) or 'nothing suggested'}"
    for name, reason in one.refusals.items():
        yield printable(f"  no {KEYS[name][1]}: {reason}")
