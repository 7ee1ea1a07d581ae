"""The state of one execution while it runs, shared by the guest's thread, the callbacks and the waiting caller."""

from __future__ import annotations

from contextlib import suppress
from ctypes import addressof
from enum import Enum
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.originals import (
    allocate_lock,
    clock_gettime,
    monotonic,
    monotonic_ns,
    thread_time_ns,
)
from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.capi.guard import CANCELLED, FILES, OUTPUT, TIMEOUT, begin_run, guard
from pytest_airssys_wasm.runtime.convert.transfer import Transfer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.capi.failures import Failure
    from pytest_airssys_wasm.runtime.capi.guard import GuardRun


GRACE_S = 0.006
"""The time in seconds that a stopped guest has to return. Even a call with a blocked guest ends within 10 ms of its
deadline.
"""
_ENDING_HOST_S = 0.1
"""The time in seconds that a host function may take to return when its coroutine was ended. Nothing blocks it, but
Python code that has not run for a while may take tens of milliseconds.
"""


class Stop(Enum):
    """The reason for which an execution is stopped."""

    TIMEOUT = "timeout"
    OUTPUT = "output"
    FILES = "files"
    CANCELLED = "cancelled"


_STOPS = {TIMEOUT: Stop.TIMEOUT, OUTPUT: Stop.OUTPUT, FILES: Stop.FILES}
_CODES = {Stop.TIMEOUT: TIMEOUT, Stop.OUTPUT: OUTPUT, Stop.FILES: FILES, Stop.CANCELLED: CANCELLED}


class GuestFailed(Exception):
    """The internal error that wasmtime reported for the entry into guest code, before it is converted to a verdict."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.cause)
        self.failure = failure


class Run:
    """The state of one execution. The guest's thread stores its results before it releases `done`.

    `account` is the store's struct of the native guard, with the figures of the run until `settle` copies them.
    `has_ended` keeps the figures that are there: those of a run that turned out to have failed.
    """

    # Defaults of the class, because most runs change few of them, and setting them all would take a tenth of the time.
    host_error: BaseException | None = None
    host_name = ""
    """The full name of the import whose function raised `host_error`."""
    host_calls = 0
    host_s = 0.0
    """The seconds that host functions took, without those that have not returned."""
    host_entered_at = 0.0
    """The time of `monotonic` at which the last host function was entered."""
    thread: int | None = None
    """The identity of the guest's thread, once guest code of this process is entered on it."""
    in_host = False
    may_block = False
    """Whether wasmtime itself may block the guest, in functions of WASI."""
    loop: asyncio.AbstractEventLoop | None = None
    """The event loop of the coroutine that waits for the run; `None` if there is none."""
    new_host_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] | None = None
    """The function that makes a `HostCoroutine` of that loop."""
    leave_caller: Callable[[], object] | None = None
    """The function that sends the thread of the event loop back to its loop, if it may be waiting for the guest."""
    stop_host: Callable[[], object] | None = None
    """The function that ends the wait for the server of an import, and returns False if somebody else does that.

    `None` if nothing is waited for.
    """
    exit_status: int | None = None
    """The status that a module passed to `proc_exit`; `None` unless it did."""
    copies: int | None = None
    """The number of texts and lists in the result of a call by a scalar lift; `None` for other calls."""
    must_return = False
    """Whether the execution has a result, so that a guest that exits with status 0 has not done what it should."""
    value: Any = None
    error: BaseException | None = None
    fuel_left: int | None = None
    """The remaining fuel at the end, or at the last host call."""
    is_in_process = False
    """Whether the guest runs in this process, so that its time begins when guest code is entered."""
    is_direct = False
    """Whether the guest runs on the thread of its caller."""
    after_ns = after_cpu_ns = 0
    """The time in nanoseconds, and the processor time, in which the result was converted after the guest had returned.
    """
    grace_s = GRACE_S
    """The time in seconds that the guest has to return after it was stopped."""
    finished_at: float | None = None
    wake: Callable[[Run], None] | None = None
    """The function that ends the wait of a caller that does not only wait for `done`."""
    wake_loop: Callable[[], None] | None = None
    """The function that wakes the event loop of the caller when the guest's thread has finished."""
    is_waiting = False
    """Whether a guest thread is to run the guest, and has not begun."""
    finished = False
    abandoned = False
    _is_host_ending = False
    _waited_ns = 0

    def __init__(
        self, limits: ResourceLimits, fuel_budget: int | None, account: GuardRun, *, has_ended: bool = False
    ) -> None:
        self.limits = limits
        self.fuel_budget = fuel_budget
        self.account = account
        if not has_ended:
            begin_run(account, MAX_U64 if fuel_budget is None else fuel_budget, limits.timeout_ms)
        self.transfer = Transfer(limits.transfer, self.is_stopped)
        self.handles: list[int] = []
        """The resource handles that conversions own. They are freed when the guest's thread has finished."""
        self.denied: list[str] = []
        """The capabilities that the guest requested but was not granted."""
        self.done = allocate_lock()
        self.done.acquire()
        self._begun_at = monotonic()
        self._mutex = allocate_lock()

    @property
    def fuel_at_start(self) -> int:
        """The initial value of the store's fuel counter."""
        return MAX_U64 if self.fuel_budget is None else self.fuel_budget

    @property
    def stop(self) -> Stop | None:
        """The reason for which the guest is to end; `None` if it may go on. The first reason counts."""
        code = self.account.stop
        return _STOPS.get(code, Stop.CANCELLED) if code else None

    @stop.setter
    def stop(self, reason: Stop) -> None:
        guard().stop(addressof(self.account), _CODES[reason])

    def is_stopped(self) -> bool:
        """Return whether the guest should end now. Host calls and long conversions call this method.

        The guard keeps the deadline only while guest code runs, so conversions look at the clock themselves.
        """
        account = self.account
        if account.stop:
            return True
        if account.started_ns and monotonic_ns() - self._waited_ns >= account.due_ns:
            self.stop = Stop.TIMEOUT
            return True
        return False

    @property
    def started_at(self) -> float:
        """The time of `monotonic` at which guest code was entered; if it was not yet, at which the run began."""
        started_ns = self.account.started_ns
        return started_ns / 1e9 if started_ns else self._begun_at

    @started_at.setter
    def started_at(self, time_s: float) -> None:
        self._begun_at = time_s

    def left_s(self, timeout_ms: float) -> float:
        """Return the seconds to the deadline, which are all as long as a guest of this process was not entered."""
        if self.is_in_process and not self.account.started_ns and not self.finished:
            return timeout_ms / 1_000
        return self.started_at + timeout_ms / 1_000 - monotonic()

    def cpu_ms(self) -> float | None:
        """Return the milliseconds of processor time of the guest so far; `None` if its thread has ended silently."""
        account = self.account
        total_ms = (account.cpu_ns + self.after_cpu_ns) / 1e6
        if not account.started_ns or account.finished_ns:
            return total_ms
        with suppress(OSError):
            return max(0.0, total_ms + clock_gettime(account.cpu_clock) * 1e3 - account.entered_cpu_ns / 1e6)
        return None

    def host_ms(self) -> float:
        """Return the milliseconds in host functions so far."""
        unfinished_s = monotonic() - self.host_entered_at if self.in_host else 0.0
        return (self.host_s + unfinished_s) * 1_000

    def begin_converting(self) -> tuple[int, int]:
        """Note that guest code has returned. The time until the thread has the GIL again is not the guest's."""
        now_ns = monotonic_ns()
        self._waited_ns = now_ns - self.account.finished_ns
        return now_ns, thread_time_ns()

    def end_converting(self, begun: tuple[int, int]) -> None:
        """Add the time since `begin_converting` to that of the guest."""
        self.after_ns += monotonic_ns() - begun[0]
        self.after_cpu_ns += thread_time_ns() - begun[1]

    def settle(self) -> None:
        """Copy the figures of the run, before the next run of the store overwrites them."""
        self.account = type(self.account).from_buffer_copy(self.account)

    def is_blocked(self) -> bool:
        """Return whether the guest is in a host function that cannot be interrupted, and was not."""
        return self.in_host and self.stop_host is None and not self._is_host_ending

    def cancel_host(self) -> float:
        """End the coroutine that serves an import, if there is one. Return the time in seconds that this may take."""
        stop = self.stop_host
        if stop is None:
            return 0.0
        self._is_host_ending = True
        if stop() is False:
            self._is_host_ending = False
            return 0.0
        return _ENDING_HOST_S

    def finish(self) -> bool:
        """Mark the guest's thread as finished. Return False if the caller has abandoned the run."""
        self.transfer.end()
        with self._mutex:
            finished_ns = self.account.finished_ns
            self.finished_at = (finished_ns + self.after_ns) / 1e9 if finished_ns else monotonic()
            if not self.abandoned:
                if self.wake is not None:
                    self.wake(self)  # before `finished` is seen: then the caller may close what it wakes
                self.finished = True
        self.done.release()
        return self.finished

    def finish_alone(self) -> None:
        """Mark the guest's thread as finished, for a caller that has waited for it where nobody else knows the run.

        `finished_at` stays as it is: only runs that have failed need it.
        """
        self.transfer.end()
        self.finished = True

    def begin(self) -> bool:
        """Note that the guest's thread begins. Return False if the caller has finished the run before."""
        with self._mutex:
            self.is_waiting = False
            return not self.finished

    def abandon(self) -> bool:
        """Abandon the run. Return False if the guest's thread has already finished, or has not begun: then the run is
        finished.
        """
        with self._mutex:
            self.finished = self.finished or self.is_waiting
            self.abandoned = not self.finished
        return self.abandoned


def failed_run(
    limits: ResourceLimits, account: GuardRun, error: BaseException | None, *, moved_bytes: int, after_ns: int
) -> Run:
    """Return the run of an execution that has already failed; without an `error`, because it was late."""
    run = Run(limits, limits.fuel, account, has_ended=True)
    run.is_in_process = True
    run.error, run.fuel_left = error, account.fuel_left
    run.transfer.moved_bytes, run.after_ns, run.after_cpu_ns = moved_bytes, after_ns, after_ns
    if error is None and run.stop is None:
        run.stop = Stop.TIMEOUT
    run.finish()
    run.settle()
    return run
