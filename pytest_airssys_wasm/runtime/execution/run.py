"""The state of one execution while it runs, shared by the guest's thread, the callbacks and the waiting caller."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, monotonic
from pytest_airssys_wasm.runtime.budget.limits import MAX_U64
from pytest_airssys_wasm.runtime.convert.transfer import Transfer
from pytest_airssys_wasm.runtime.execution.processor_time import ProcessorTime

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.budget.memory_account import MemoryAccount
    from pytest_airssys_wasm.runtime.capi.failures import Failure


GRACE_S = 0.008
"""The time in seconds that a stopped guest has to return. Even a call with a blocked guest ends within 10 ms of its
deadline.
"""


class Stop(Enum):
    """The reason for which an execution is stopped."""

    TIMEOUT = "timeout"
    OUTPUT = "output"
    FILES = "files"
    CANCELLED = "cancelled"


class GuestFailed(Exception):
    """The internal error that wasmtime reported for the entry into guest code, before it is converted to a verdict."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.cause)
        self.failure = failure


class Run:
    """The state of one execution. The guest's thread stores its results before it releases `done`."""

    __slots__ = (
        "_mutex",
        "abandoned",
        "account",
        "cpu",
        "denied",
        "done",
        "error",
        "exit_status",
        "finished",
        "finished_at",
        "fuel_budget",
        "fuel_left",
        "fuel_meter",
        "grace_s",
        "handles",
        "host_calls",
        "host_error",
        "host_name",
        "host_s",
        "in_host",
        "limits",
        "loop",
        "may_block",
        "must_return",
        "started_at",
        "stop",
        "stop_host",
        "thread",
        "transfer",
        "value",
        "wake",
        "wake_loop",
    )

    def __init__(self, limits: ResourceLimits, fuel_budget: int | None, account: MemoryAccount) -> None:
        self.limits = limits
        self.fuel_budget = fuel_budget
        self.account = account
        self.transfer = Transfer(limits.transfer, self.is_stopped)
        self.stop: Stop | None = None
        self.handles: list[int] = []
        """The resource handles that conversions own. They are freed when the guest's thread has finished."""
        self.denied: list[str] = []
        """The capabilities that the guest requested but was not granted."""
        self.host_error: BaseException | None = None
        self.host_name = ""
        """The full name of the import whose function raised `host_error`."""
        self.host_calls = 0
        self.host_s = 0.0
        """The seconds that host functions took, without those that have not returned."""
        self.thread: int | None = None
        """The identity of the guest's thread, once guest code of this process is entered on it."""
        self.in_host = False
        self.may_block = False
        """Whether wasmtime itself may block the guest, in functions of WASI."""
        self.cpu = ProcessorTime()
        """The processor time of the guest's thread."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop of the coroutine that waits for the run; `None` if there is none."""
        self.stop_host: Callable[[], object] | None = None
        """The function that cancels the coroutine that serves an import; `None` if no such coroutine is running."""
        self.exit_status: int | None = None
        """The status that a module passed to `proc_exit`; `None` unless it did."""
        self.must_return = False
        """Whether the execution has a result, so that a guest that exits with status 0 has not done what it should."""
        self.value: Any = None
        self.error: BaseException | None = None
        self.fuel_left: int | None = None
        """The remaining fuel at the end, or at the last host call."""
        self.fuel_meter: Callable[[], int] | None = None
        self.started_at = monotonic()
        self.finished_at: float | None = None
        self.grace_s = GRACE_S
        """The time in seconds that the guest has to return after it was stopped."""
        self.done = allocate_lock()
        self.done.acquire()
        self._mutex = allocate_lock()
        self.wake: Callable[[Run], None] | None = None
        """The function that ends the wait of a caller that does not only wait for `done`."""
        self.wake_loop: Callable[[], None] | None = None
        """The function that wakes the event loop of the caller when the guest's thread has finished."""
        self.finished = False
        self.abandoned = False

    @property
    def fuel_at_start(self) -> int:
        """The initial value of the store's fuel counter."""
        return MAX_U64 if self.fuel_budget is None else self.fuel_budget

    def is_stopped(self) -> bool:
        """Return whether the guest should end now.

        The epoch callback, host calls and long conversions call this method.
        """
        return self.stop is not None

    def is_blocked(self) -> bool:
        """Return whether the guest is in a host function that cannot be interrupted."""
        return self.in_host and self.stop_host is None

    def cancel_host(self) -> None:
        """End the coroutine that serves an import, if there is one."""
        stop = self.stop_host
        if stop is not None:
            stop()

    def finish(self) -> bool:
        """Mark the guest's thread as finished. Return False if the caller has abandoned the run."""
        self.transfer.end()
        with self._mutex:
            self.finished_at = monotonic()
            if not self.abandoned:
                if self.wake is not None:
                    self.wake(self)  # before `finished` is seen: then the caller may close what it wakes
                self.finished = True
        self.done.release()
        return self.finished

    def abandon(self) -> bool:
        """Abandon the run. Return False if the guest's thread has already finished."""
        with self._mutex:
            self.abandoned = not self.finished
        return self.abandoned
