"""The histories of the stores of all tests, by component, in the process that runs these tests."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_airssys_wasm.analysis.histories import History
from pytest_airssys_wasm.analysis.laws.law import CostLaw
from pytest_airssys_wasm.analysis.limit_evidence import Evidence
from pytest_airssys_wasm.analysis.worst.search import WorstCase
from pytest_airssys_wasm.plugin.item_settings import OriginatedLimits, settings_of
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.running_item import RunningItem, collected_id, path_from
from pytest_airssys_wasm.plugin.stash import FINDINGS, KIND
from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.store.repetition import repetition_of
from pytest_airssys_wasm.validation.cut_off import SearchCutOff

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_airssys_wasm.plugin.sources import Source
    from pytest_airssys_wasm.runtime.base.outcome import Finished
    from pytest_airssys_wasm.runtime.store.repetition import Repetition
    from pytest_airssys_wasm.validation.candidate import Finding

_LIMITS = frozenset(["fuel", "memory"])


class Recorder(RunningItem):
    """A plugin that keeps the histories of the stores of each component, and the names of the tests that failed.

    Only stores with the limits of their test are recorded. The limits of other stores do not come from a manifest.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._known: dict[int, tuple[object, History | None]] = {}
        self.histories: dict[str, list[History]] = {}
        """The histories, by the path of the manifest, or of the binary if there is none."""
        self.evidence: dict[str, Evidence] = {}
        """The laws and worst cases that checks have found, and the times of the executions, by the same paths."""
        self.failed: dict[str, set[str]] = {}
        """The tests that failed, by the same paths."""
        self.mishaps: list[str] = []
        """The errors because of which something was not recorded, each in one line."""

    def see(self, finished: Finished) -> None:
        """Add an execution that has ended to the history of its store."""
        item, repetition = self._item, repetition_of(finished.call)
        if item is None or repetition is None:
            return
        with telling(self.mishaps.append):
            key = id(repetition.store)
            if key not in self._known:
                self._known[key] = repetition.store, self._begun(item, repetition)
            history = self._known[key][1]
            if history is not None:
                history.add(collected_id(item), finished, repetition)
                self._take_time(item, finished, repetition)

    def _take_time(self, item: pytest.Item, finished: Finished, repetition: Repetition) -> None:
        usage, verdict = finished.outcome.usage, finished.outcome.verdict
        source = settings_of(item).source
        name = None if source is None else self._component(source)
        if usage is None or name is None or verdict in (Verdict.TIMEOUT, Verdict.RUNTIME_DIED):
            return
        may_wait = any(True for _ in repetition.component.needed_from_host())
        known = self.evidence.get(name, Evidence())
        self.evidence[name] = known.with_execution(usage, collected_id(item), may_wait=may_wait)

    def _begun(self, item: pytest.Item, repetition: Repetition) -> History | None:
        """Return a new history for a store; `None` if its limits are not those of the test."""
        rank = _rank_of(item)
        if rank is None:
            return None
        settings = settings_of(item)
        limits, source = settings.limits, settings.source
        if source is None or not isinstance(limits, OriginatedLimits) or limits.values != repetition.limits:
            return None
        name = self._component(source)
        if name is None or repetition.component.path != source.content:
            return None
        is_generated = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        history = History.begun_by(
            repetition,
            tightens=_LIMITS - {limit for limit in _LIMITS if limit in settings.marks.limits},
            rank=rank,
            is_shared_budget=settings.marks.fuel_per == "test",
            obstacle="its arguments are generated anew in each run" if is_generated else None,
        )
        self.histories.setdefault(name, []).append(history)
        return history

    def _component(self, source: Source) -> str | None:
        path = source.content if source.manifest is None else source.manifest.path
        if not isinstance(path, Path):
            return None
        return path_from(self._root, path)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that has failed, for the component that it names, and what a check has found.

        A check that cannot be a witness, such as `law[<export>]`, makes no executions that are repeated, so nothing is
        missing if it fails.
        """
        item = self._item
        if item is None:
            return
        findings = item.stash.get(FINDINGS, []) if report.when == "call" else []
        is_failed = report.failed and _rank_of(item) is not None
        if not is_failed and not findings:
            return
        with telling(self.mishaps.append), suppress(InvalidConfiguration):  # the manifest is wrong
            source = settings_of(item).source
            name = None if source is None else self._component(source)
            if name is not None and is_failed:
                self.failed.setdefault(name, set()).add(collected_id(item))
            if name is not None:
                self._take_findings(name, findings)

    def _take_findings(self, name: str, findings: Iterable[Finding]) -> None:
        for finding in findings:
            known = self.evidence.get(name, Evidence())
            match finding:
                case CostLaw():
                    self.evidence[name] = known.with_law(finding)
                case WorstCase():
                    self.evidence[name] = known.with_worst_case(finding)
                case SearchCutOff():
                    pass  # the dearest call that was found is told all the same
                case _:
                    assert_never(finding)


def _rank_of(item: pytest.Item) -> int | None:
    """Return the rank of an item as a witness: tests come first, then `[[tests]]` entries, then the instantiation.

    Returns `None` for an item that cannot be a witness, because it does not expect a particular end of its executions.
    """
    kind = item.stash.get(KIND, None)
    if kind is None:
        return 0
    if kind == "check" and item.name.startswith("tests["):
        return 1
    return 2 if kind == "check" and item.name == "instantiates" else None
