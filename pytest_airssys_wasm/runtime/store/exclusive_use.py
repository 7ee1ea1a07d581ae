"""The exclusive use of a store by one execution at a time, which ends with the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pytest_airssys_wasm.runtime.execution.host_call_context import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.runtime.capi.guard import GuardRun
    from pytest_airssys_wasm.runtime.execution.run import Run

T = TypeVar("T")


class StoreUnusable(RuntimeError):
    """The store is closed, was abandoned, or is in use by a call that has not returned."""

    __module__ = "pytest_airssys_wasm"  # where users import it from, and what pytest shows


class ExclusiveUse:
    """The right to run executions in the store to which `account` belongs."""

    def __init__(self, account: GuardRun) -> None:
        self._account = account
        self.claims: list[object] = []
        """The claims on the store, of which the first holds it.

        A claim is removed with `if claim in claims: claims.remove(claim)`. A signal handler cannot raise in between, as
        it can after a lock was acquired, which then would never be released.
        """
        self._over: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the store has ended, so that it cannot be used any more."""
        return self._over is not None

    def take(self, claim: object) -> None:
        """Claim the store. The caller removes the claim in any case.

        Raises `StoreUnusable` if another execution uses it, or if it cannot be used any more.
        """
        self.claims.append(claim)
        if self._over is not None:
            raise StoreUnusable(f"this store cannot be used any more: {self._over}; use another store")
        if self.claims[0] is not claim:
            running = RUN.get(None)
            if running is not None and running.account is self._account:
                raise StoreUnusable(
                    "a host function may not call back into the store that is calling it; use another store"
                )
            raise StoreUnusable(
                "this store is in use: a store runs one execution at a time, so wait for it or use another store"
            )

    def if_free(self, work: Callable[[], T]) -> T | None:
        """Call a function while nothing else uses the store, and return its result; `None` if something does."""
        claims, claim = self.claims, object()
        try:
            claims.append(claim)
            return work() if claims[0] is claim else None
        finally:
            if claim in claims:
                claims.remove(claim)

    def end(self, why: str) -> None:
        """Prevent further use of the store, also by those who only look for the first claim."""
        self._over = why
        self.claims.insert(0, why)


def end_and_release(use: ExclusiveUse, release: Callable[[], None], running: Sequence[Run]) -> None:
    """Release a store that was closed or garbage-collected, or at the end of the process.

    Only at the end may another thread still call guests in it. The next call is refused, and the store stays if the
    present one has no run in `running`, since nobody can wait for it.
    """
    is_in_use = bool(use.claims) and not use.is_over
    if not use.is_over:
        use.end("the process is ending")
    if running or not is_in_use:
        release()
