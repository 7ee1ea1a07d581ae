"""Wrong markers are found when tests are collected, before any of them runs.

A limit over its ceiling is a usage error. It is found in the process that collects, which under xdist is a
worker whose `UsageError` nobody sees: so it is reported like any collection error, and decides the exit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin import markers
from pytest_airssys_wasm.plugin.settings import OverCeiling, check_ceiling
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_airssys_wasm.plugin.settings import Settings

_IS_USAGE_ERROR = "airssys_wasm_usage_error"


class MarkerChecks:
    """A plugin of its own, for what it remembers from the collection to the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found_usage_error = False

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Turn a wrong marker into a collection error that names the test."""
        collected = yield
        for item in collected.result or ():
            if isinstance(item, pytest.Item):
                try:
                    _check(item, self._settings)
                except InvalidConfiguration as error:
                    failed = pytest.CollectReport(collector.nodeid, "failed", f"{item.nodeid}: {error}", [])
                    setattr(failed, _IS_USAGE_ERROR, isinstance(error, OverCeiling))
                    return failed
        return collected

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """See the reports, those of workers too."""
        self._found_usage_error = self._found_usage_error or getattr(report, _IS_USAGE_ERROR, False)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """After a limit over its ceiling the exit code is that of a usage error."""
        if self._found_usage_error:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR


def _check(item: pytest.Item, settings: Settings) -> None:
    seen: set[str] = set()
    for name, data in markers.of_item(item):
        if name in ("fuel", "memory", "timeout_ms") and name not in seen:
            value = data.fuel if isinstance(data, markers.FuelMark) else data
            check_ceiling(settings, name, value, f"marker {name}")
        seen.add(name)
