"""The wall clock of executions, which the caller's thread keeps while it waits for the guest's thread.

At the deadline it advances the engine's epoch, which makes every guest of that engine call back within microseconds;
the callback ends the run that is marked as stopped and lets the others go on. So deadlines are exact for each store,
and there is no periodic tick.

A guest that is blocked in a WASI call or a host function cannot be interrupted. After a short grace the caller abandons
the run, whose thread releases the store when it returns, if it ever does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.execution.run import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.execution.run import Run

_INTERRUPTED_GRACE_S = 0.05
"""The time in seconds that the guest of an interrupted caller has to return."""
NUDGE_S = 0.001
"""The time in seconds between two advances of the epoch. A run misses an advance that happens while its callback
decides.
"""


def wait_done(run: Run, timeout_s: float | None) -> bool:
    """Wait until the guest's thread has finished, and return whether it has."""
    return run.done.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s))


def keep_time(
    run: Run,
    timeout_ms: float | None,
    interrupt: Callable[[], None],
    wait: Callable[[Run, float | None], bool] = wait_done,
) -> None:
    """Wait for `run`, and stop it at its deadline. Afterwards the run is either finished or abandoned.

    `interrupt` makes guests call back. `wait` may return False early, after setting `run.stop`. An exception in the
    waiting thread (KeyboardInterrupt, a test's time limit) also stops the guest.
    """
    try:
        if timeout_ms is None:
            while not wait(run, None) and run.stop is None:
                pass
        else:
            while not wait(run, run.left_s(timeout_ms)) and run.stop is None:
                if run.left_s(timeout_ms) <= 0:
                    run.stop = Stop.TIMEOUT
        if run.stop is not None and not run.finished:
            _end(run, run.grace_s, interrupt, wait)
    except BaseException:
        run.stop = run.stop or Stop.CANCELLED
        _end(run, _INTERRUPTED_GRACE_S, interrupt, wait)
        raise


def cancel(
    run: Run,
    interrupt: Callable[[], None],
    grace_s: float = _INTERRUPTED_GRACE_S,
    wait: Callable[[Run, float | None], bool] = wait_done,
) -> bool:
    """End a run whose caller no longer waits. Return whether its guest has returned."""
    run.stop = run.stop or Stop.CANCELLED
    run.wake = None
    _end(run, grace_s, interrupt, wait)
    return run.finished


def _end(run: Run, grace_s: float, interrupt: Callable[[], None], wait: Callable[[Run, float | None], bool]) -> None:
    until = monotonic() + max(grace_s, run.cancel_host())
    while not run.finished:
        interrupt()
        if wait(run, NUDGE_S) or run.finished:
            return
        if run.is_blocked() or monotonic() >= until:
            run.abandon()
            return
