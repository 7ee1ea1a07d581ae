"""A store's hold on a process: taken before its first execution, given back when the store is closed or collected."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.errors import RuntimeDied

if TYPE_CHECKING:
    from pytest_airssys_wasm.isolation.artefacts import GuestFiles
    from pytest_airssys_wasm.isolation.pool import WorkerProcess, WorkerProcessPool
    from pytest_airssys_wasm.runtime.execution.run import Run


class Lease:
    """Knows nothing of the store, so that the store can be collected."""

    def __init__(self, workforce: WorkerProcessPool) -> None:
        self._workforce = workforce
        self._lock = threading.Lock()
        self._is_closed = False
        self.mate: WorkerProcess | None = None
        self.session: int | None = None
        """The first that was opened: it stands for the store."""
        self.running: list[Run] = []

    def ready(self, files: GuestFiles) -> None:
        """Have a process that has this guest ready. Raises `RuntimeDied`."""
        if self.mate is not None:
            self.mate.load(files)
            return
        mate = self._workforce.take(files)
        with self._lock:
            if not self._is_closed:
                self.mate = mate
                return
        self._workforce.give_back(mate, is_well=True)  # the store was closed meanwhile

    def end(self) -> None:
        """End the process: nothing can be run in the store any more."""
        mate = self._take()
        if mate is not None:
            self._workforce.give_back(mate, is_well=False)

    def release(self) -> None:
        """The store is closed, or the interpreter ends."""
        if self.running:
            self.end()
            return
        mate = self._take()
        if mate is None:
            return
        is_well = True
        if self.session is not None:
            try:
                mate.close_session(self.session)
            except RuntimeDied:
                is_well = False
        self._workforce.give_back(mate, is_well=is_well)

    def _take(self) -> WorkerProcess | None:
        with self._lock:
            self._is_closed = True
            mate, self.mate = self.mate, None
        return mate
