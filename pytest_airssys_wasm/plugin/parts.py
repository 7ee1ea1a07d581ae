"""The parts of the plugin that a run needs, which are registered when it starts.

A run in which nothing is set does not load this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_airssys_wasm.plugin.settings import Settings
    from pytest_airssys_wasm.plugin.suite.selection import Selection
    from pytest_airssys_wasm.reporting.model import Report


def register(config: pytest.Config, settings: Settings, *, shows_executions: bool) -> None:
    """Register the parts that the settings ask for.

    `shows_executions` says whether options of pytest itself have executions shown or written.
    """
    if settings.wasm_fuel or settings.wasm_memory or settings.wasm_timeout_ms:
        from pytest_airssys_wasm.plugin.ceilings import check_settings

        check_settings(settings)
    if settings.wasm_cache_clear:
        from pytest_airssys_wasm.plugin.engine import clear_cache

        clear_cache(config)
    _record(config, settings, are_shown=shows_executions)
    if settings.wasm_fuel_snapshot not in (None, "off") and not config.option.collectonly:
        from pytest_airssys_wasm.plugin.snapshot import hooks as snapshot_hooks

        snapshot_hooks.register(config)
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


def _record(config: pytest.Config, settings: Settings, *, are_shown: bool) -> None:
    """Record executions if they will be shown or written."""
    is_wanted = (
        are_shown
        or settings.wasm_report
        or settings.wasm_report_against
        or settings.wasm_summary
        or settings.limits(from_command_line=True)  # which may replace those of manifests
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
