"""The pytest plugin: its hooks and fixtures. All state is in `config.stash`, and is released when pytest ends.

Modules that only some runs need are imported on first use, so that other runs do not pay for them. A test lists all
modules that every run imports.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.plugin import marker_names, options
from pytest_airssys_wasm.plugin.fixtures import (
    _wasm_source,
    component,
    component_factory,
    fuel_snapshot,
    limited_store,
    wasm_engine,
    wasm_host,
    wasm_limits,
)
from pytest_airssys_wasm.plugin.marker_checks import MarkerChecks
from pytest_airssys_wasm.plugin.settings import SETTINGS, Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_airssys_wasm.plugin.suite.selection import Selection
    from pytest_airssys_wasm.reporting.model import Report

__all__ = [
    "_wasm_source",
    "component",
    "component_factory",
    "fuel_snapshot",
    "limited_store",
    "wasm_engine",
    "wasm_host",
    "wasm_limits",
]

_ENGINE, _ERRORS = "pytest_airssys_wasm.runtime.engine", "pytest_airssys_wasm.runtime.errors"
_VALUES = "pytest_airssys_wasm.runtime.base.values"
_PAIRS = "pytest_airssys_wasm.plugin.fuel_against_time"
_STASH = "pytest_airssys_wasm.plugin.stash"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options and ini keys."""
    options.declare(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hook by which conftest files and other plugins provide host functions."""
    from pytest_airssys_wasm.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Write a manifest for the binary of `--wasm-init`, instead of running tests. Otherwise return `None`."""
    if config.getoption("--wasm-init") is None:
        return None
    from pytest_airssys_wasm.plugin.components.initial import write_manifest

    settings = config.stash[SETTINGS] = read_settings(config)
    assert settings.wasm_init is not None
    return write_manifest(config, settings.wasm_init)


def pytest_configure(config: pytest.Config) -> None:
    """Check the settings, and register the parts of the plugin that this run needs."""
    marker_names.declare(config)
    settings = config.stash[SETTINGS] = read_settings(config)
    if settings.wasm_fuel or settings.wasm_memory or settings.wasm_timeout_ms:
        from pytest_airssys_wasm.plugin.ceilings import check_settings

        check_settings(settings)
    config.pluginmanager.register(MarkerChecks(settings))
    if not config.getoption("fulltrace"):
        config.pluginmanager.register(_Interruptions())
    if settings.wasm_cache_clear:
        from pytest_airssys_wasm.plugin.engine import clear_cache

        clear_cache(config)
    _record(config, settings)
    if settings.wasm_fuel_snapshot not in (None, "off") and not config.option.collectonly:
        from pytest_airssys_wasm.plugin.snapshot.hooks import register

        register(config)
    if settings.wasm_profile is not None and not config.option.collectonly:
        from pytest_airssys_wasm.plugin.profiles import hooks

        hooks.register(config)
    if settings.wasm_coverage is not None and not config.option.collectonly:
        from pytest_airssys_wasm.plugin.coverage import hooks as coverage_hooks

        coverage_hooks.register(config)
    if settings.wasm_suggest_limits is not None and not config.option.collectonly:
        from pytest_airssys_wasm.plugin.suggestions import hooks as suggestion_hooks

        suggestion_hooks.register(config)
    # Before the suite, which divides the arguments that this one adds to into cases and files.
    if settings.airssys_wasm or settings.wasm_component:
        from pytest_airssys_wasm.plugin.components.validation import ValidationHooks

        config.pluginmanager.register(ValidationHooks(config))
    if settings.may_run_suite:
        from pytest_airssys_wasm.plugin.suite.selection import select

        selection = select(config)
        if selection.node_ids:
            _run_suite(config, settings, selection)


def _run_suite(config: pytest.Config, settings: Settings, selection: Selection) -> None:
    """Register what runs the selected cases of the suite, and shows their results."""
    from pytest_airssys_wasm.plugin import adapter
    from pytest_airssys_wasm.plugin.suite.collection import SuiteHooks

    config.pluginmanager.register(SuiteHooks(config, selection))
    if settings.wasm_expectations_update:
        from pytest_airssys_wasm.plugin.suite.expectations import ExpectationsUpdate

        config.pluginmanager.register(ExpectationsUpdate(config))
    adapter.introduce(config)
    if settings.wasm_runtime is not None and not hasattr(config, "workerinput"):
        from pytest_airssys_wasm.plugin.suite.tally import Tally

        config.pluginmanager.register(Tally())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # a WorkerController of xdist, which has no types
    """Tell an xdist worker the paths of the user's directories, because the worker may run on a copy elsewhere."""
    from pytest_airssys_wasm.plugin.stash import ROOT_AND_START

    node.workerinput[ROOT_AND_START] = (str(node.config.rootpath), str(node.config.invocation_params.dir))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take from an xdist worker the limits that are to be judged when the session ends."""
    from pytest_airssys_wasm.plugin.stash import LIMIT_PAIRS

    output = getattr(node, "workeroutput", None) or {}  # a worker that crashed has none
    if LIMIT_PAIRS in output:
        from pytest_airssys_wasm.plugin.fuel_against_time import take_from_worker

        take_from_worker(node.config, output)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which fuel limits cannot be used up before their timeouts."""
    if _PAIRS in sys.modules:
        from pytest_airssys_wasm.plugin.fuel_against_time import lines_at_the_end
        from pytest_airssys_wasm.plugin.report.mishaps import telling

        with telling(lambda mishap: terminalreporter.line(f"wasm: the limits cannot be judged: {mishap}")):
            for line in lines_at_the_end(config):
                terminalreporter.line(line)


class _Interruptions:
    """A plugin that shows a Ctrl-C while a guest runs at the line at which the test called the guest, not inside this
    package.

    Other interruptions are not changed. With `--full-trace` the plugin is not registered.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remove this package's frames at the end of the traceback, before the terminal shows the last one."""
        if _ENGINE in sys.modules:
            from pytest_airssys_wasm.plugin.report import tracebacks

            tracebacks.cut_interruption(excinfo)


def _record(config: pytest.Config, settings: Settings) -> None:
    """Record executions if they will be shown or written."""
    shows_passed = not set("AP").isdisjoint(config.getoption("reportchars", None) or "")
    is_wanted = (
        settings.wasm_report
        or settings.wasm_report_against
        or settings.wasm_summary
        or config.get_verbosity() > 0
        or shows_passed
        or settings.limits(from_command_line=True)  # which may replace those of manifests
        or config.getoption("xmlpath", None)
    )
    if not is_wanted:
        return
    from pytest_airssys_wasm.plugin import engine
    from pytest_airssys_wasm.plugin.report.records import Collection, Recorder

    recorder = Recorder(config.rootpath)
    config.pluginmanager.register(recorder)
    engine.listen(config, recorder.see)
    if hasattr(config, "workerinput"):
        return
    from pytest_airssys_wasm.plugin.report.summary import Summary

    collection = Collection()
    config.pluginmanager.register(collection)
    config.pluginmanager.register(Summary(config, collection, _earlier_report(config, settings)))


def _earlier_report(config: pytest.Config, settings: Settings) -> Report | None:
    """Read the report of `--wasm-report-against` before this run can replace the file."""
    if settings.wasm_report_against is None:
        return None
    from pytest_airssys_wasm.reporting import json_report
    from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

    try:
        return json_report.read(settings.wasm_report_against)
    except InvalidConfiguration as error:
        flag = "--wasm-report-against"
        where = "ini value wasm_report_against" if config.getoption(flag) is None else flag
        raise pytest.UsageError(f"{where}: {error}") from None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return the header lines: one with version, limits and cache, and one with the runtime behind an adapter.

    There are none in a run in which nothing is set, which may not have any guests, except with `-v`.
    """
    if config.stash[SETTINGS].are_defaults and config.get_verbosity() <= 0:
        return []
    from pytest_airssys_wasm.plugin.header import header_lines

    return header_lines(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Import the modules that the collected tests may need, before any test runs."""
    if session.config.option.collectonly:
        return
    makes_items = session.config.stash[SETTINGS].makes_items
    if makes_items or _ENGINE in sys.modules or any(map(marker_names.uses_guests, session.items)):
        from pytest_airssys_wasm.plugin.preload import preload

        preload(session.config)


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """Explain a failed `==` of WIT values by their first difference."""
    if op != "==" or _VALUES not in sys.modules:  # without this module there are no WIT values
        return None
    from pytest_airssys_wasm.plugin.report import differences, mishaps

    told: list[str] = []
    with mishaps.telling(told.append):  # foreign values may raise any error when they are compared
        return differences.explain(config, left, right)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shorten the traceback of a failure to the frames of the test, and add a section with the limits and the usage of
    the guest. After the last report of the test, release its store.
    """
    made = yield from _told(item, call)
    if call.when == "teardown" and _STASH in sys.modules:
        from pytest_airssys_wasm.plugin.stash import STORE

        # Items stay until the session ends, and each store takes some kilobytes.
        if STORE in item.stash:
            del item.stash[STORE]
    return made


def _told(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.excinfo is None:
        made = yield
        if item.user_properties:  # there are remarks among them
            _add_remarks(item, made)
        return made
    if _ERRORS not in sys.modules:
        return (yield)  # no guest, and no setting of one, can have anything to do with it
    from pytest_airssys_wasm.plugin.report import mishaps, section, tracebacks

    told: list[str] = []
    message_is_enough = False
    with mishaps.telling(told.append):
        message_is_enough = tracebacks.hide_package(item.config, call.excinfo)
    made = yield
    with mishaps.telling(told.append):
        if message_is_enough and made.failed and not isinstance(made.longrepr, str):
            made.longrepr = call.excinfo.getrepr(style="value")
    with mishaps.telling(told.append):
        section.add_section(item, made, call.excinfo.value)
    if told:
        made.sections.append((mishaps.SECTION, "\n".join(told)))
    return made


def _add_remarks(item: pytest.Item, made: pytest.TestReport) -> None:
    from pytest_airssys_wasm.plugin.report import mishaps, section

    told: list[str] = []
    with mishaps.telling(told.append):
        section.add_remarks(item, made)
    if told:
        made.sections.append((mishaps.SECTION, "\n".join(told)))
