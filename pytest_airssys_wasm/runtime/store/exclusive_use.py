"""One execution at a time: who may use a store, and why nobody may any more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.execution.host_call_context import RUN

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.budget.memory_account import MemoryAccount


class StoreUnusable(RuntimeError):
    """The store is closed, was given up on, or is in use by a call that has not returned."""


class Claim:
    """The right to run something in the store that `account` is of."""

    def __init__(self, account: MemoryAccount) -> None:
        self._account = account
        self._busy = threading.Lock()
        self._over: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nobody can have it any more."""
        return self._over is not None

    def take(self) -> None:
        """Raises `StoreUnusable` when another execution has it, or when it is over."""
        if not self._busy.acquire(blocking=False):
            running = RUN.get(None)
            if running is not None and running.account is self._account:
                raise StoreUnusable("a host function may not call back into the store that is calling it")
            raise StoreUnusable("this store is in use: a store runs one execution at a time")
        if self._over is not None:
            self._busy.release()
            raise StoreUnusable(f"this store cannot be used any more: {self._over}")

    def give_back(self) -> None:
        """After `take`."""
        self._busy.release()

    def end(self, why: str) -> None:
        """Nobody gets it any more; to be given back still."""
        self._over = why
