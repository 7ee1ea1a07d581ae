"""The pytest plugin: hooks, each a few lines. State is in `config.stash`, and goes when pytest ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin import checks, markers, options, report, tracebacks
from pytest_airssys_wasm.plugin.collect import PLAN, plan_suite, suite_of
from pytest_airssys_wasm.plugin.engine import clear_cache, close_engine
from pytest_airssys_wasm.plugin.fixtures import (
    _wasm_source,
    component,
    limited_store,
    wasm_engine,
    wasm_host,
    wasm_limits,
)
from pytest_airssys_wasm.plugin.runtime_under_test import close_runner

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["_wasm_source", "component", "limited_store", "wasm_engine", "wasm_host", "wasm_limits"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the options and ini keys."""
    options.declare(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Check the settings; with `--airssys-wasm`, find the suite."""
    markers.declare(config)
    config.pluginmanager.register(checks.CeilingWatch())
    settings = config.stash[options.SETTINGS] = options.read_settings(config)
    clear_cache(config)
    if settings.airssys_wasm:
        config.stash[PLAN] = plan_suite(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Release what the session made."""
    close_runner(config)
    close_engine(config)


def pytest_report_header(config: pytest.Config) -> str:
    """Version, limits and cache."""
    return report.header(config.stash[options.SETTINGS])


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Keep the node ids of cases from pytest, which would look for files of that name."""
    plan = session.config.stash.get(PLAN, None)
    if plan is None:
        return (yield)
    arguments = session.config.args
    session.config.args = list(plan.selection.files)
    try:
        return (yield)
    finally:
        session.config.args = arguments


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Add the suite to the session, and turn wrong markers into collection errors."""
    collected = yield
    if isinstance(collector, pytest.Session) and PLAN in collector.config.stash:
        collected.result = [*collected.result, suite_of(collector)]
    return checks.check_markers(collector, collected)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a failure where the test caused it, and under it what the guest used."""
    excinfo = call.excinfo
    message_is_enough = excinfo is not None and tracebacks.hide_package(item.config, excinfo)
    made = yield
    if excinfo is not None and message_is_enough and made.failed and not isinstance(made.longrepr, str):
        made.longrepr = excinfo.getrepr(style="value")
    report.add_section(item, made, excinfo.value if excinfo else None)
    return made
