"""The pytest plugin: its hooks and fixtures. All state is in `config.stash`, and is released when pytest ends.

Modules that only some runs need are imported on first use, so that other runs do not pay for them. A test lists all
modules that every run imports.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
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
from pytest_airssys_wasm.plugin.settings import SETTINGS, read_settings

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


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
    _find_plainly(config)
    marker_names.declare(config)
    settings = config.stash[SETTINGS] = read_settings(config)
    config.pluginmanager.register(MarkerChecks(settings))
    if not config.getoption("fulltrace"):
        config.pluginmanager.register(_Interruptions())
    shows_executions = _shows_executions(config)
    if shows_executions or not settings.are_defaults:
        from pytest_airssys_wasm.plugin import parts

        parts.register(config, settings, shows_executions=shows_executions)


def _shows_executions(config: pytest.Config) -> bool:
    """Return whether options of pytest itself have executions shown or written, also those of passed tests."""
    return bool(
        config.get_verbosity() > 0
        or not set("AP").isdisjoint(config.getoption("reportchars", None) or "")
        or config.getoption("xmlpath", None)
    )


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


class _PlainFinder:
    """A finder of the modules of this package, which are then loaded as in any other program.

    pytest would have their assertions show values, as those of all packages with a plugin. But they are for type
    checkers, and never fail. pytest loads such modules from files of its own, which takes several times as long, and
    compiles them in each run if it cannot write there.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path, target) if name.startswith("pytest_airssys_wasm.") else None


def _find_plainly(config: pytest.Config) -> None:
    """Find modules of this package before pytest does, until the session ends."""
    finder = _PlainFinder()
    sys.meta_path.insert(0, finder)

    def remove() -> None:
        if finder in sys.meta_path:  # unless a test has put another list there
            sys.meta_path.remove(finder)

    config.add_cleanup(remove)


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
    if call.excinfo is not None and _ERRORS in sys.modules:
        from pytest_airssys_wasm.plugin.report import making

        made = yield from making.tell_failure(item, call.excinfo)
    else:  # no failure, or one with which no guest and no setting of one can have anything to do
        made = yield
    if call.excinfo is None and item.user_properties:  # there are remarks among them
        from pytest_airssys_wasm.plugin.report import making

        making.add_remarks(item, made)
    if call.when == "teardown" and _STASH in sys.modules:
        from pytest_airssys_wasm.plugin.stash import STORE

        # Items stay until the session ends, and each store takes some kilobytes.
        if STORE in item.stash:
            del item.stash[STORE]
    return made
