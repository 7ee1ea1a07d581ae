"""The homes of all stores of one engine, and what they share."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from pytest_airssys_wasm.isolation.artefacts import Guests
from pytest_airssys_wasm.isolation.backend import ProcessHome
from pytest_airssys_wasm.isolation.pool import Workforce

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.guest.backend import Home
    from pytest_airssys_wasm.runtime.store.store import LimitedStore


class ProcessHomes:
    """See `Homes`."""

    def __init__(self, *, memory_bytes: int, grace_ms: float) -> None:
        self._grace_ms = grace_ms
        self._workforce = Workforce(memory_bytes)
        self._guests = Guests()
        # At the latest when the interpreter ends.
        weakref.finalize(self, self._workforce.kill)

    def home(self, store: LimitedStore) -> Home:
        """See `Homes.home`."""
        return ProcessHome(store, self._workforce, self._guests, self._grace_ms)

    def close(self) -> None:
        """See `Homes.close`."""
        self._workforce.close()
        self._guests.close()
