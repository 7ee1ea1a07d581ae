"""The histories of the stores of all tests, by guest, in the process that runs these tests."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pytest_airssys_wasm.analysis.guest_coverage.calls import binary_of
from pytest_airssys_wasm.analysis.histories import History
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.running_item import RunningItem, collected_id, path_from
from pytest_airssys_wasm.plugin.stash import KIND
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.binary.probes import CannotInstrument
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.store.repetition import repetition_of

if TYPE_CHECKING:
    import pytest

    from pytest_airssys_wasm.runtime.base.outcome import Finished
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.store.repetition import Repetition

MOST_HISTORIES = 5_000
"""The maximum number of stores of one guest whose executions are repeated."""
MOST_GUESTS = 200
"""The maximum number of guests that are measured."""
_DIGITS = 8


class RecordedStore(Struct, kw_only=True, eq=False):
    """A store of a guest, with the number of its executions."""

    history: History
    executions: int = 0
    tests: set[str] = field(default_factory=set)


class RecordedGuest(Struct, kw_only=True, eq=False):
    """A guest that tests have run."""

    name: str
    """The path of its file, relative to the root directory; without a file, what it was loaded from, and a digest."""
    path: str | None
    """The absolute path of its file; `None` without one."""
    binary: bytes
    """The binary of the guest; empty if it cannot be read."""
    digest: str
    """The SHA-256 digest of the binary."""
    engine: WasmEngine
    obstacle: str | None = None
    """The reason why the guest cannot be measured; `None` if it can."""
    stores: list[RecordedStore] = field(default_factory=list)


class Recorder(RunningItem):
    """A plugin that keeps the histories of the stores of each guest.

    Cases and laws of the conformance suite are left out: their guests are those of this package.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._stores: dict[int, tuple[object, RecordedStore | None]] = {}
        self._guests: dict[int, tuple[Component, RecordedGuest]] = {}
        self.guests: dict[tuple[str, str], RecordedGuest] = {}
        """The guests, by name and digest."""
        self.left_out: set[tuple[str, str]] = set()
        """The guests that are too many to be measured, by name and digest."""
        self.mishaps: list[str] = []
        """The errors because of which something was not recorded, each in one line."""

    def see(self, finished: Finished) -> None:
        """Add an execution that has ended to the history of its store."""
        item, repetition = self._item, repetition_of(finished.call)
        if item is None or repetition is None:
            return
        with telling(self.mishaps.append):
            key = id(repetition.store)
            if key not in self._stores:
                self._stores[key] = repetition.store, self._begun(item, repetition)
            recorded = self._stores[key][1]
            usage = finished.outcome.usage
            if recorded is None or usage is None:
                return
            recorded.executions += 1
            test = printable(collected_id(item))
            recorded.tests.add(test)
            if usage.fuel.max_fuel != repetition.limits.fuel:
                recorded.history.is_shared_budget = True
            recorded.history.add(test, finished, repetition)

    def _begun(self, item: pytest.Item, repetition: Repetition) -> RecordedStore | None:
        """Return a new history for a store; `None` if it is not to be recorded."""
        if item.stash.get(KIND, None) in ("case", "law") or not isinstance(repetition.engine, WasmEngine):
            return None
        guest = self._guest(repetition.component, repetition.engine)
        if guest is None:
            return None
        too_many = f"its guest has run in more than {MOST_HISTORIES:,} stores"
        obstacle = too_many if len(guest.stores) >= MOST_HISTORIES else None
        history = History.begun_by(repetition, tightens=frozenset(), obstacle=obstacle)
        recorded = RecordedStore(history=history)
        guest.stores.append(recorded)
        return recorded

    def _guest(self, component: Component, engine: WasmEngine) -> RecordedGuest | None:
        """Return the record of a guest; `None` if there are too many guests."""
        known = self._guests.get(id(component))
        if known is not None:
            return known[1]
        binary, obstacle = b"", None
        try:
            # At once: the file may be another one when the session ends.
            binary = binary_of(component, engine)
        except CannotInstrument as error:
            obstacle = str(error)
        digest = hashlib.sha256(binary).hexdigest()
        path = None if component.path is None else Path(os.path.normpath(Path.cwd() / component.path))
        name = self._name(component, path, digest)
        guest = self.guests.get((name, digest))
        if guest is None and len(self.guests) >= MOST_GUESTS:
            self.left_out.add((name, digest))
            return None
        if guest is None:
            guest = self.guests[name, digest] = RecordedGuest(
                name=name,
                path=None if path is None else str(path),
                binary=binary,
                digest=digest,
                engine=engine,
                obstacle=obstacle,
            )
        self._guests[id(component)] = component, guest
        return guest

    def _name(self, component: Component, path: Path | None, digest: str) -> str:
        if path is None:
            return f"{component.name.strip('<>')}-{digest[:_DIGITS]}"
        return printable(path_from(self._root, path))
