"""The wall clock. The caller's thread waits for the guest's thread and keeps the time meanwhile.

At the deadline it advances the engine's epoch, which makes every guest of that engine call back within
microseconds; the callback ends the run that is marked as stopped and lets the others go on. So deadlines are
exact per store, nothing ticks while nothing runs, and nothing runs between the ticks.

A guest blocked in a WASI call or a host function does not come back. After a short grace the caller gives up: the
run is abandoned and its thread releases the store when, and if, it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.execution.run import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.execution.run import Run

_INTERRUPTED_GRACE_S = 0.05
"""The time that the guest of an interrupted caller has to come back."""
NUDGE_S = 0.001
"""The time between two advances of the epoch: one that comes while the callback decides is lost on that run."""


def wait_done(run: Run, timeout_s: float | None) -> bool:
    """Wait until the guest's thread is through. Return whether it is."""
    return run.done.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s))


def keep_time(
    run: Run,
    timeout_ms: float | None,
    interrupt: Callable[[], None],
    wait: Callable[[Run, float | None], bool] = wait_done,
) -> None:
    """Wait for `run`, and stop it at its deadline. Afterwards it is either finished or abandoned.

    `interrupt` makes guests call back; `wait` may return early with False, when `run.stop` was set by itself.
    An exception raised in the waiting thread (KeyboardInterrupt, a test's time limit) stops the guest too.
    """
    try:
        if timeout_ms is None:
            while not wait(run, None) and run.stop is None:
                pass
        else:
            deadline = run.started_at + timeout_ms / 1_000
            while not wait(run, deadline - monotonic()) and run.stop is None:
                if monotonic() >= deadline:
                    run.stop = Stop.TIMEOUT
        if run.stop is not None and not run.finished:
            _end(run, run.grace_s, interrupt, wait)
    except BaseException:
        run.stop = run.stop or Stop.CANCELLED
        _end(run, _INTERRUPTED_GRACE_S, interrupt, wait)
        raise


def cancel(run: Run, interrupt: Callable[[], None], grace_s: float = _INTERRUPTED_GRACE_S) -> bool:
    """End a run that nobody waits for any more. Return whether its guest came back."""
    run.stop = run.stop or Stop.CANCELLED
    run.wake = None
    _end(run, grace_s, interrupt, wait_done)
    return run.finished


def _end(run: Run, grace_s: float, interrupt: Callable[[], None], wait: Callable[[Run, float | None], bool]) -> None:
    until = monotonic() + grace_s
    run.cancel_host()
    while not run.finished:
        interrupt()
        if wait(run, NUDGE_S) or run.finished:
            return
        if run.is_blocked() or monotonic() >= until:
            run.abandon()
            return
