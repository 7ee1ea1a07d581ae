"""The tests that a run could have found: the others of its files do not exist any more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.sources import MANIFEST_NAME, in_utf_8, path_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

GONE = "airssys_wasm_gone"
"""The key of the tests that do not exist any more, in what an xdist worker tells the controller."""


class Coverage:
    """A plugin that finds out which tests of a snapshot do not exist any more.

    A test is gone if its file was collected as a whole without it, or if its file is gone from a folder that was
    collected. Everything else is a part of the project that this run leaves out.
    """

    def __init__(self, config: pytest.Config, known: Collection[str]) -> None:
        self._config = config
        self._known = known
        self._collected: set[str] = set()
        self._complete: set[str] = set()
        self._incomplete: set[str] = set()
        self.gone: set[str] = set()
        """The tests of the snapshot that do not exist any more."""

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note a test, also one that is deselected afterwards."""
        self._collected.add(in_utf_8(item.nodeid))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file, or a part of it, that was collected or could not be."""
        file = report.nodeid.partition("::")[0]
        if not report.passed or _lacks_checks(report):
            self._incomplete.add(file)
        elif "::" not in report.nodeid:
            self._complete.add(file)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """Find the tests that are gone, when everything is collected."""
        arguments = self._config.args
        if self._config.getoption("pyargs", default=False) and any("::" in argument for argument in arguments):
            return  # the files of these tests are not known
        named, folders = self._arguments()
        root = self._config.rootpath
        selects_by_cache = bool(self._config.getoption("lf", default=False))
        for test in self._known:
            if test in self._collected:
                continue
            file = test.partition("::")[0]
            path = root / file
            if not os.path.lexists(path):
                is_gone = any(path.is_relative_to(folder) for folder in folders)
            else:
                is_whole = file in self._complete and os.path.realpath(path) not in named and not selects_by_cache
                is_gone = is_whole and not self._is_incomplete(file)
            if is_gone:
                self.gone.add(test)

    def pytest_sessionfinish(self) -> None:
        """Tell the controller of xdist."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[GONE] = sorted(self.gone)

    def _is_incomplete(self, file: str) -> bool:
        return any(not part or file == part or file.startswith(f"{part}/") for part in self._incomplete)

    def _arguments(self) -> tuple[set[str], set[Path]]:
        """Return the files of which the command line names single tests, and the folders that it names."""
        paths = [(path_of(argument, self._config), "::" in argument) for argument in self._config.args]
        return {os.path.realpath(path) for path, is_part in paths if is_part}, {
            path for path, _ in paths if path.is_dir()
        }


def _lacks_checks(report: pytest.CollectReport) -> bool:
    """Return whether checks of a component could not be collected: those of a manifest that is not valid, whose only
    item is then the check that says so, or the laws of a component that cannot be loaded, whose check is then `law`.
    """
    names = [item.name for item in report.result if isinstance(item, pytest.Item)]
    return (report.nodeid.endswith(MANIFEST_NAME) and names == ["manifest"]) or "law" in names
