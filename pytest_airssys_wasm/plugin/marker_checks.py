"""The hooks that report wrong markers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.marker_names import marks_of, ours_among

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_airssys_wasm.plugin.settings import Settings

_IS_USAGE_ERROR = "airssys_wasm_usage_error"


class MarkerChecks:
    """A plugin that reports wrong markers when tests are collected, before any of them runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found_usage_error = False

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Turn a wrong marker into a collection error that names the test."""
        collected = yield
        # All items of a file or class have its markers, which are looked through only once.
        outer = ours_among(marks_of(collector))
        marked = [
            (item, marks)
            for item in collected.result or ()
            if outer or item.own_markers
            if (marks := ours_among(item.own_markers) + outer) and isinstance(item, pytest.Item)
        ]
        if not marked:
            return collected
        from pytest_airssys_wasm.plugin import markers

        wrong = markers.wrong_markers(marked, self._settings)
        if wrong is None:
            return collected
        failed = pytest.CollectReport(collector.nodeid, "failed", wrong.text, [])
        setattr(failed, _IS_USAGE_ERROR, wrong.is_usage_error)
        return failed

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record that a limit is over its ceiling, whichever process found it."""
        self._found_usage_error = self._found_usage_error or getattr(report, _IS_USAGE_ERROR, False)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End the run with the exit code of a usage error if a limit is over its ceiling."""
        if self._found_usage_error:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
