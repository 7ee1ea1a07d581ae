"""The option `--wasm-expectations-update`, which writes the list of known failures from the findings of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.stash import PINS
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import counted

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_airssys_wasm.conformance.known_failures import FailureGroup

_FOUND = "airssys_wasm_findings"


class ExpectationsUpdate:
    """A plugin that collects the findings of all cases, and writes the list when the session ends."""

    def __init__(self, config: pytest.Config) -> None:
        path = config.stash[SETTINGS].wasm_expectations
        assert path is not None
        self._path = path
        self._is_worker = hasattr(config, "workerinput")
        self._seen: dict[str, list[str]] = {}
        self._told: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the findings of a case to its report, which xdist carries to the controller."""
        report = yield
        if call.when == "call" and PINS in item.stash:
            setattr(report, _FOUND, item.stash[PINS])
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the findings from a test report."""
        found = getattr(report, _FOUND, None)
        if found is not None:
            self._seen[report.nodeid] = found

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the expectations file if any case has run."""
        if self._is_worker or not self._seen:
            return
        from pytest_airssys_wasm.conformance.known_failures import ExpectationsFile
        from pytest_airssys_wasm.conformance.known_failures_update import updated
        from pytest_airssys_wasm.conformance.loader import decode_toml

        text = self._path.read_text("utf-8") if self._path.exists() else ""
        groups = decode_toml(self._path, ExpectationsFile).failures if text else []
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(updated(text, groups, self._seen), encoding="utf-8")
        now = decode_toml(self._path, ExpectationsFile).failures
        self._told = [f"{self._path}: {_difference(_cases(groups), _cases(now))}"]
        dead = sum(any(f"= {Verdict.RUNTIME_DIED}" in pin for pin in pins) for pins in self._seen.values())
        if dead:
            self._told.append(f"The runtime died in {counted(dead, 'case')}, which the list now expects: look at them.")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the changes in the expectations file."""
        for line in self._told:
            terminalreporter.line(line)


def _cases(groups: list[FailureGroup]) -> dict[str, list[str]]:
    return {case: pins for group in groups for case, pins in group.cases.items()}


def _difference(before: dict[str, list[str]], now: dict[str, list[str]]) -> str:
    added, removed = len(now.keys() - before.keys()), len(before.keys() - now.keys())
    changed = sum(now[case] != before[case] for case in now.keys() & before.keys())
    parts = [
        f"{number} {word}" for number, word in ((added, "added"), (removed, "removed"), (changed, "changed")) if number
    ]
    return f"{counted(len(now), 'case')}, {', '.join(parts) or 'nothing changed'}"
