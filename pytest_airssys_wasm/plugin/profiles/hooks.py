"""The section `WebAssembly profiles`, in the process that the user started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin import engine
from pytest_airssys_wasm.plugin.output_directory import make_directory
from pytest_airssys_wasm.plugin.profiles.entry import Profiled
from pytest_airssys_wasm.plugin.profiles.lines import profile_lines
from pytest_airssys_wasm.plugin.profiles.names import shown_path
from pytest_airssys_wasm.plugin.profiles.recording import PROFILE, Recorder
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.settings import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_SECTION = "WebAssembly profiles"


def register(config: pytest.Config) -> None:
    """Make the directory, and register the plugin that profiles tests and, in the process that the user started, the
    plugin that lists the profiles.

    Raises `pytest.UsageError` if the directory cannot be made.
    """
    folder = config.stash[SETTINGS].wasm_profile
    assert folder is not None
    make_directory(folder, "--wasm-profile")
    recorder = Recorder(config, folder)
    config.pluginmanager.register(recorder)
    engine.listen(config, recorder.see)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ProfileHooks(config, folder))


class ProfileHooks:
    """A plugin that gathers the results of profiling, and lists them when the session ends."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._found: dict[str, Profiled] = {}
        self._mishaps: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result of profiling from a test report. If a test was run again, its last run counts."""
        found = getattr(report, PROFILE, None)
        if found is not None:
            with telling(self._mishaps.append):
                self._found[report.nodeid] = Profiled(**found)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List the profiles, the dearest call first, and the calls that could not be profiled with the reasons."""
        terminalreporter.section(_SECTION)
        with telling(self._mishaps.append):
            lines = profile_lines(
                list(self._found.values()),
                folder=shown_path(self._folder, self._config.invocation_params.dir),
                columns=self._config.get_terminal_writer().fullwidth,
                is_verbose=self._config.get_verbosity() > 0,
            )
            for line in lines:
                terminalreporter.line(line)
        for mishap in self._mishaps:
            terminalreporter.line(f"a profile cannot be shown: {mishap}", red=True)
