"""The costs of each test, which are measured in the process that runs it and travel on its report."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.analysis.snapshots.model import Cost, EntryKey
from pytest_airssys_wasm.plugin import markers
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.running_item import CollectedIds, collected_id
from pytest_airssys_wasm.plugin.snapshot.sections import sections_of
from pytest_airssys_wasm.plugin.sources import in_utf_8
from pytest_airssys_wasm.plugin.stash import KIND

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_airssys_wasm.runtime.base.outcome import Finished

COSTS = "airssys_wasm_costs"
"""The attribute of a report that holds the costs of a test that has passed, as plain data."""
MISHAPS = "WebAssembly fuel snapshot, not recorded"
"""The section of a report about costs that could not be recorded."""


class Recorder(CollectedIds):
    """A plugin that sums up the executions of each test, and puts the sums on its report.

    Only the call of a test counts, without its fixtures: those of a class, module or session run in whichever test
    comes first.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._sections = sections_of(config)
        self._test: str | None = None
        self._costs: dict[EntryKey, Cost] = {}
        self._inexact: set[EntryKey] = set()
        self._mishaps: list[str] = []
        self._namesakes: dict[str, list[pytest.Item]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Remember the items of each node id. Stacked parametrisations may give several tests the same one."""
        super().pytest_itemcollected(item)
        known = self._namesakes.setdefault(collected_id(item), [])
        if item not in known:
            known.append(item)

    def see(self, finished: Finished) -> None:
        """Add an execution that has ended to the costs of the test that is running."""
        if self._test is not None:
            with telling(self._mishaps.append):
                self._add(self._test, finished)

    def _add(self, test: str, finished: Finished) -> None:
        usage = finished.outcome.usage
        assert usage is not None  # it was executed
        key = self._key(test, finished.call.export)
        if not usage.fuel.is_exact:
            self._inexact.add(key)
        path = None if finished.call.path is None else guest_path(finished.call.path, self._root)
        cost = Cost(
            fuel=usage.fuel.consumed,
            peak_memory_bytes=usage.peak_memory_bytes,
            executions=1,
            guests=() if path is None else (path,),
        )
        known = self._costs.get(key)
        self._costs[key] = cost if known is None else known.plus(cost)

    def _key(self, test: str, export: str | None) -> EntryKey:
        if export is None:
            return EntryKey(test, "instantiation", "")
        if self._sections.current is not None:
            return EntryKey(test, "section", in_utf_8(self._sections.current))
        return EntryKey(test, "export", export)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Begin to measure, also at another attempt. A wrapper of this hook would be a frame in tracebacks of users."""
        self._costs, self._inexact, self._mishaps = {}, set(), []
        self._test = _test_of(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        """End the measurement."""
        self._test = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the costs of a test that has passed to the report of its call."""
        report = yield
        if call.when == "call" and self._mishaps:
            report.sections.append((MISHAPS, "\n".join(self._mishaps)))
        elif call.when == "call" and report.passed and self._test is not None:
            setattr(report, COSTS, self._plain(item, self._test))
        return report

    def _plain(self, item: pytest.Item, test: str) -> tuple[Any, ...]:
        """Return the costs as plain data, because that is what xdist carries; without entries for a test whose name
        others have, too.
        """
        if self._costs and len(self._namesakes.get(test, ())) > 1:
            return test, None, None
        tolerance = markers.of_item(item, bare_ones=False).fuel_tolerance
        entries = [
            (*key[1:], cost.fuel, cost.peak_memory_bytes, cost.executions, cost.guests)
            for key, cost in self._costs.items()
            if key not in self._inexact
        ]
        return test, None if tolerance is None else str(tolerance), entries


def _test_of(item: pytest.Item) -> str | None:
    """Return the name of a test in the snapshot; `None` if its costs are not recorded.

    They are recorded of Python tests without generated arguments, and of `[[tests]]` entries.
    """
    kind = item.stash.get(KIND, "test")
    if kind == "check":
        is_wanted = item.name.startswith("tests[")
    else:
        is_wanted = kind == "test" and not getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return id_of(item) if is_wanted else None


def id_of(item: pytest.Item) -> str | None:
    """Return the node id of a test, by which the snapshot names it; `None` for a test outside of the root directory,
    whose node id differs between machines.
    """
    test = collected_id(item)
    return None if test.startswith(("/", "../")) else test


def guest_path(path: Path, root: Path) -> str | None:
    """Return the path of a guest relative to the root directory; `None` for a guest elsewhere."""
    relative = PurePath(os.path.relpath(path, root))
    return None if relative.parts[:1] == ("..",) else in_utf_8(relative.as_posix())
