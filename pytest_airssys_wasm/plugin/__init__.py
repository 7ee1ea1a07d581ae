"""The pytest plugin: its hooks and fixtures. All state is in `config.stash`, and is released when pytest ends.

Modules that only some runs need are imported on first use, so that other runs do not pay for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin import engine, markers, options
from pytest_airssys_wasm.plugin.fixtures import (
    _wasm_source,
    component,
    limited_store,
    wasm_engine,
    wasm_host,
    wasm_limits,
)
from pytest_airssys_wasm.plugin.preload import preload
from pytest_airssys_wasm.plugin.report import tracebacks
from pytest_airssys_wasm.plugin.report.mishaps import SECTION as NOT_SHOWN
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.settings import SETTINGS, read_settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_airssys_wasm.plugin.settings import Settings
    from pytest_airssys_wasm.plugin.suite.selection import Selection

__all__ = ["_wasm_source", "component", "limited_store", "wasm_engine", "wasm_host", "wasm_limits"]


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
    markers.declare(config)
    settings = config.stash[SETTINGS] = read_settings(config)
    config.pluginmanager.register(markers.MarkerChecks(settings))
    if not config.getoption("fulltrace"):
        config.pluginmanager.register(tracebacks.Interruptions())
    engine.clear_cache(config)
    _record(config, settings)
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


def _record(config: pytest.Config, settings: Settings) -> None:
    """Record executions if they will be shown or written."""
    shows_passed = not set("AP").isdisjoint(config.getoption("reportchars", None) or "")
    is_wanted = (
        settings.wasm_report
        or settings.wasm_summary
        or config.get_verbosity() > 0
        or shows_passed
        or settings.limits(from_command_line=True)  # which may replace those of manifests
        or config.getoption("xmlpath", None)
    )
    if not is_wanted:
        return
    from pytest_airssys_wasm.plugin.report.records import Collection, Recorder

    recorder = Recorder(config.rootpath)
    config.pluginmanager.register(recorder)
    config.stash[engine.ON_EXECUTION] = recorder.see
    if hasattr(config, "workerinput"):
        return
    from pytest_airssys_wasm.plugin.report.summary import Summary

    collection = Collection()
    config.pluginmanager.register(collection)
    config.pluginmanager.register(Summary(config, collection))


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return the header lines: one with version, limits and cache, and one with the runtime behind an adapter."""
    from pytest_airssys_wasm.plugin.report.header import header_lines

    return header_lines(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Import the modules that the collected tests may need, before any test runs."""
    preload(session)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shorten the traceback of a failure to the frames of the test, and add a section with the limits and the usage of
    the guest.
    """
    mishaps: list[str] = []
    if call.excinfo is None:
        made = yield
        with telling(mishaps.append):
            from pytest_airssys_wasm.plugin.report import section

            section.add_remarks(item, made)
        if mishaps:
            made.sections.append((NOT_SHOWN, "\n".join(mishaps)))
        return made
    message_is_enough = False
    with telling(mishaps.append):
        message_is_enough = tracebacks.hide_package(item.config, call.excinfo)
    made = yield
    with telling(mishaps.append):
        if message_is_enough and made.failed and not isinstance(made.longrepr, str):
            made.longrepr = call.excinfo.getrepr(style="value")
    with telling(mishaps.append):
        from pytest_airssys_wasm.plugin.report import section

        section.add_section(item, made, call.excinfo.value)
    if mishaps:
        made.sections.append((NOT_SHOWN, "\n".join(mishaps)))
    return made
