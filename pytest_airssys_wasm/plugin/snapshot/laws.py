"""The laws that `--wasm-laws` finds, as entries of the snapshot: a check whose law is dearer than the recorded one
fails.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_airssys_wasm.analysis.laws.difference import law_difference
from pytest_airssys_wasm.analysis.laws.law import CostLaw
from pytest_airssys_wasm.analysis.snapshots.calibration import calibrate
from pytest_airssys_wasm.analysis.snapshots.comparison import State, engine_changes, law_state
from pytest_airssys_wasm.analysis.snapshots.law_lines import LawLine, law_line, record_law
from pytest_airssys_wasm.analysis.snapshots.model import EntryKey, RecordedLaw
from pytest_airssys_wasm.plugin.item_settings import SOURCE
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.snapshot.law_text import difference_text
from pytest_airssys_wasm.plugin.snapshot.recording import MISHAPS, guest_path, id_of
from pytest_airssys_wasm.plugin.stash import CHECKED_EXPORT, FINDINGS, NOTE, RERUN_FLAGS
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.validation.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_airssys_wasm.analysis.snapshots.model import Snapshot

LAW = "airssys_wasm_law"
"""The attribute of a report that holds the law of a check, as plain data."""
_CHECK = "--wasm-fuel-snapshot=check"


class LawRecorder:
    """A plugin that compares the law of each check with the recorded one, and puts it on the report of the check."""

    def __init__(self, config: pytest.Config, before: Snapshot | None) -> None:
        settings = config.stash[SETTINGS]
        self._root = config.rootpath
        self._is_update = settings.wasm_fuel_snapshot == "update"
        self._before = before
        self._tolerance: Fraction = settings.wasm_fuel_tolerance or Fraction(0)
        self._moved: bool | None = None
        self._found: tuple[str, dict[str, Any] | None] | None = None
        self._mishaps: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Forget the law of the check before."""
        self._found, self._mishaps = None, []

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Take the law of a check that has passed. A law that is dearer than the recorded one fails the check."""
        export, test = item.stash.get(CHECKED_EXPORT, None), id_of(item)
        if export is None or test is None:
            return
        reason = None
        with telling(self._mishaps.append):
            reason = self._judged(item, test, export)
        if reason is not None:
            flags = [flag for flag in item.stash.get(RERUN_FLAGS, ()) if flag != _CHECK]
            item.stash[RERUN_FLAGS] = (*flags, _CHECK)
            advice = "reduce the cost, or accept it with --wasm-fuel-snapshot=update"
            raise Unfit(f"{printable(export)} is dearer than in the snapshot: {reason}", advice)

    def _judged(self, item: pytest.Item, test: str, export: str) -> str | None:
        """Remember the law of a check. Return how it differs from the recorded one, if it has regressed."""
        laws = [one for one in item.stash.get(FINDINGS, ()) if isinstance(one, CostLaw)]
        if any(not law.is_complete for law in laws):
            return None  # its range depends on the speed of the machine
        if not laws:
            self._found = test, None
            return None
        (law,) = laws
        source = item.stash[SOURCE]
        content = None if source is None else source.content
        path = guest_path(content, self._root) if isinstance(content, Path) else None
        recorded = record_law(law, () if path is None else (path,))
        self._found = test, law_line(test, export, recorded)
        before = None if self._before is None else self._before.entries.get(EntryKey(test, "law", export))
        if self._is_update or not isinstance(before, RecordedLaw):
            return None
        difference = law_difference(before.law, recorded.law)
        state = law_state(difference, self._tolerance, is_other_engine=False)
        return difference_text(difference) if state is State.REGRESSED and not self._engine_has_moved() else None

    def _engine_has_moved(self) -> bool:
        if self._moved is None:
            assert self._before is not None
            self._moved = bool(engine_changes(self._before.engine, calibrate()))
        return self._moved

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the law to the report of the call, or the reason why there is none."""
        report = yield
        if call.when == "call" and self._mishaps:
            report.sections.append((MISHAPS, "\n".join(self._mishaps)))
        elif call.when == "call" and self._found is not None and item.stash.get(CHECKED_EXPORT, None) is not None:
            test, line = self._found
            note = str(dict(item.user_properties).get(NOTE, ""))
            setattr(report, LAW, (test, None if line is None else msgspec.json.encode(line).decode(), note))
        return report


def law_of(plain: tuple[str, str | None, str]) -> tuple[str, tuple[EntryKey, RecordedLaw] | None, str]:
    """Return the node id, the entry and the note from a report; the entry is `None` if the check has found no law."""
    test, line, note = plain
    if line is None:
        return test, None, note
    decoded = msgspec.json.decode(line, type=LawLine)
    return test, (EntryKey(test, "law", decoded.export), decoded.recorded()), note
