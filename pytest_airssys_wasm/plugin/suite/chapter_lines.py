"""The lines of the suite in the terminal: one for each chapter, as pytest shows one for each test file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin.suite.selection import ROOT

if TYPE_CHECKING:
    import pytest


def show_chapters(config: pytest.Config) -> None:
    """Have the terminal reporter show the results of a chapter's cases in one line.

    It begins a line for each new path in a node id, and every case has a path of its own.
    """
    reporter = config.pluginmanager.getplugin("terminalreporter")
    show = getattr(reporter, "write_fspath_result", None)
    if show is None:  # another reporter, which has lines of its own
        return

    def write_fspath_result(nodeid: str, res: str, **markup: bool) -> None:
        show(_chapter(str(nodeid)), res, **markup)

    reporter.write_fspath_result = write_fspath_result


def _chapter(node_id: str) -> str:
    """Return the node id of the chapter of a case; any other node id as it is."""
    return node_id.rpartition("/")[0] if node_id.startswith(f"{ROOT}/") and "::" not in node_id else node_id
