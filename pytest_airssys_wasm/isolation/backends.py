"""The homes of all stores of one engine, and what they share."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from pytest_airssys_wasm.isolation.artefacts import Guests
from pytest_airssys_wasm.isolation.backend import WorkerBackend
from pytest_airssys_wasm.isolation.pool import WorkerProcessPool

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.guest.backend import Backend, StoreSettings
    from pytest_airssys_wasm.runtime.guest.operations import Runner


class WorkerBackends:
    """The factory of backends in worker processes, for one engine."""

    def __init__(self, *, memory_bytes: int, grace_ms: float) -> None:
        self._grace_ms = grace_ms
        self._workforce = WorkerProcessPool(memory_bytes)
        self._guests = Guests()
        # At the latest when the interpreter ends.
        weakref.finalize(self, self._workforce.kill)

    def new_backend(self, settings: StoreSettings, runner: Runner) -> Backend:
        """Make the backend of a new store.

        Raises `InvalidConfiguration` where the store has something that another process cannot have.
        """
        return WorkerBackend(settings, runner, self._workforce, self._guests, self._grace_ms)

    def close(self) -> None:
        """Release everything that no store uses. Stores that are open go on to work."""
        self._workforce.close()
        self._guests.close()
