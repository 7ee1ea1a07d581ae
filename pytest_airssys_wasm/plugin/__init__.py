"""The pytest plugin: hooks, each a few lines. State is in `config.stash`, and goes when pytest ends.

What only some runs need is imported where they need it: a run that uses nothing of the plugin pays nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin import adapter as foreign
from pytest_airssys_wasm.plugin import engine, markers, options
from pytest_airssys_wasm.plugin import marker_checks as checks
from pytest_airssys_wasm.plugin.fixtures import (
    _wasm_source,
    component,
    limited_store,
    wasm_engine,
    wasm_host,
    wasm_limits,
)
from pytest_airssys_wasm.plugin.report import tracebacks
from pytest_airssys_wasm.plugin.settings import SETTINGS, read_settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_airssys_wasm.plugin.settings import Settings

__all__ = ["_wasm_source", "component", "limited_store", "wasm_engine", "wasm_host", "wasm_limits"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the options and ini keys."""
    options.declare(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Offer the hook by which others provide host functions."""
    from pytest_airssys_wasm.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Check the settings; with `--airssys-wasm`, find the suite."""
    markers.declare(config)
    settings = config.stash[SETTINGS] = read_settings(config)
    config.pluginmanager.register(checks.MarkerChecks(settings))
    if not config.getoption("fulltrace"):
        config.pluginmanager.register(tracebacks.Interruptions())
    engine.clear_cache(config)
    _record(config, settings)
    # First: what it adds to the arguments is parted into cases and files with them.
    if settings.airssys_wasm or settings.wasm_component:
        from pytest_airssys_wasm.plugin.components.validation import ValidationHooks

        config.pluginmanager.register(ValidationHooks(config))
    if settings.runs_suite:
        from pytest_airssys_wasm.plugin.suite.collection import SuiteHooks

        config.pluginmanager.register(SuiteHooks(config))
        foreign.introduce(config)


def _record(config: pytest.Config, settings: Settings) -> None:
    """Keep records of executions, where somebody will read them."""
    wanted = settings.wasm_report or settings.wasm_summary or config.get_verbosity() > 0
    if not wanted and not config.getoption("xmlpath", None):
        return
    from pytest_airssys_wasm.plugin.report.records import Collection, Recorder

    recorder = Recorder(config.rootpath)
    config.pluginmanager.register(recorder)
    config.stash[engine.WATCHER] = recorder.see
    if hasattr(config, "workerinput"):
        return
    from pytest_airssys_wasm.plugin.report.summary import Summary

    collection = Collection()
    config.pluginmanager.register(collection)
    config.pluginmanager.register(Summary(config, collection))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Release what the session made."""
    foreign.release(config)
    engine.release(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Version, limits and cache; and the foreign runtime."""
    from pytest_airssys_wasm.plugin.report import report

    return report.header(config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a failure where the test caused it, and under it what the guest used."""
    if call.excinfo is None:
        return (yield)
    from pytest_airssys_wasm.plugin.report import report

    message_is_enough = tracebacks.hide_package(item.config, call.excinfo)
    made = yield
    if message_is_enough and made.failed and not isinstance(made.longrepr, str):
        made.longrepr = call.excinfo.getrepr(style="value")
    report.add_section(item, made, call.excinfo.value)
    return made
