"""The exclusive use of a store by one execution at a time, which ends with the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import allocate_lock
from pytest_airssys_wasm.runtime.execution.host_call_context import RUN

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.capi.guard import GuardRun


class StoreUnusable(RuntimeError):
    """The store is closed, was abandoned, or is in use by a call that has not returned."""


class ExclusiveUse:
    """The right to run executions in the store to which `account` belongs."""

    def __init__(self, account: GuardRun) -> None:
        self._account = account
        self._busy = allocate_lock()
        self._over: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the store has ended, so that it cannot be used any more."""
        return self._over is not None

    def take(self) -> None:
        """Acquire the store. Raises `StoreUnusable` if another execution uses it, or if it cannot be used any more."""
        if not self._busy.acquire(blocking=False):
            running = RUN.get(None)
            if running is not None and running.account is self._account:
                raise StoreUnusable("a host function may not call back into the store that is calling it")
            raise StoreUnusable("this store is in use: a store runs one execution at a time")
        if self._over is not None:
            self._busy.release()
            raise StoreUnusable(f"this store cannot be used any more: {self._over}")

    def give_back(self) -> None:
        """Release the store after `take`."""
        self._busy.release()

    def end(self, why: str) -> None:
        """Prevent further use of the store. Its current user still has to call `give_back`."""
        self._over = why
