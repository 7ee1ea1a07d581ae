"""The executions for which an asyncio event loop waits, and the coroutines for which guests wait.

The guest runs on a guest thread, as always, and a timer wakes the loop at the deadline. The loop reads captured output,
and is woken by the guest's thread at the end. A coroutine that serves an import runs on the loop of its execution; if
the caller is not a coroutine, it runs on a new loop on the guest's thread.
"""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_airssys_wasm.runtime.base.originals import monotonic, start_thread
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks
from pytest_airssys_wasm.runtime.execution.awaiting.host_coroutines import HostCoroutine
from pytest_airssys_wasm.runtime.execution.awaiting.immediate_future import ImmediateFuture
from pytest_airssys_wasm.runtime.execution.awaiting.loop_turn import NextTurn
from pytest_airssys_wasm.runtime.execution.awaiting.reusable_timer import ReusableTimer
from pytest_airssys_wasm.runtime.execution.clock import NUDGE_S, cancel
from pytest_airssys_wasm.runtime.execution.open_files import TICK_S
from pytest_airssys_wasm.runtime.execution.run import GRACE_S, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWaker, LoopWakers
    from pytest_airssys_wasm.runtime.execution.open_files import OpenFiles
    from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
    from pytest_airssys_wasm.runtime.execution.run import Run

T = TypeVar("T")


class OnLoop:
    """The part of a store that belongs to an event loop.

    It creates the clocks of runs, and keeps the timer and the waker for the next run.
    """

    def __init__(self, wakers: LoopWakers) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("no asyncio event loop is running; guests can be awaited only with asyncio") from None
        with naming_lacks():
            self._waker = wakers.waker_of(self._loop)
        self._timekeeper = wakers.timekeeper
        self._new_host_coroutine = partial(HostCoroutine, self._loop, self._waker)
        # The loop keeps it. A store is held by the thread of its guest, and must not hold the task that waits.
        self._timer: weakref.ref[ReusableTimer] | None = None

    def is_running(self) -> bool:
        """Return whether the loop of this object is running on this thread."""
        return asyncio._get_running_loop() is self._loop

    async def wait(self, run: Run, timeout_ms: float | None) -> None:
        """Wait for a run without output whose guest may have returned already, and stop it at its deadline."""
        clock = self.clock(run, _nothing, None)
        if not run.finished:
            await clock.keep_time(timeout_ms)

    def has_waited_long(self) -> bool:
        """Return whether the running task should let the loop go on, although it need not wait."""
        return self._waker.turn.is_over(self._loop)

    def next_turn(self) -> NextTurn:
        """Return an awaitable that lets the loop go on."""
        return NextTurn()

    def adopt(self, run: Run) -> None:
        """Let the coroutines that serve the imports of a run be run by this loop."""
        run.loop, run.new_host_coroutine = self._loop, self._new_host_coroutine

    async def off_the_loop(self, work: Callable[[T], object], argument: T) -> None:
        """Do blocking work on another thread, and raise its error. If the caller is cancelled, the work continues."""
        await off_the_loop(work, argument)

    def clock(
        self,
        run: Run,
        interrupt: Callable[[], None],
        output: CapturedOutput | None,
        open_files: OpenFiles | None = None,
    ) -> LoopClock:
        """Create the clock of the next run, before its guest starts."""
        self.adopt(run)
        timer = None if self._timer is None else self._timer()
        if timer is None:
            timer = ReusableTimer(self._timekeeper, self._waker)
            self._timer = weakref.ref(timer)
        return LoopClock(run, interrupt, output, open_files, self._loop, timer, self._waker)


def _nothing() -> None:
    pass


async def off_the_loop(work: Callable[..., T], /, *args: Any, **named: Any) -> T:
    """Do blocking work on another thread, and return its result or raise its error.

    If the caller is cancelled, the work continues. It runs on a separate thread, because the threads of the loop's
    executor are few and may all be busy.
    """
    loop = asyncio.get_running_loop()
    through: asyncio.Future[T] = loop.create_future()

    def tell(value: Any, error: BaseException | None) -> None:
        if through.cancelled():
            return
        if error is None:
            through.set_result(value)
        else:
            through.set_exception(error)

    def run() -> None:
        value, error = None, None
        try:
            value = work(*args, **named)
        except BaseException as raised:  # noqa: BLE001 raised again for the caller
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, value, error)

    with naming_lacks():
        start_thread(run, "airssys-wasm-preparation")
    return await asyncio.shield(through)


class LoopClock:
    """The clock of one run on its event loop. It is created on the loop's thread, before the guest starts."""

    def __init__(
        self,
        run: Run,
        interrupt: Callable[[], None],
        output: CapturedOutput | None,
        open_files: OpenFiles | None,
        loop: asyncio.AbstractEventLoop,
        timer: ReusableTimer,
        waker: LoopWaker,
    ) -> None:
        self._run = run
        self._interrupt = interrupt
        self._output = output
        self._open_files = open_files
        self._loop = loop
        self._timer = timer
        self._through = ImmediateFuture(loop)
        # Holds no clock: the thread would keep the waiting task alive, and a task that is collected ends its guest.
        run.wake_loop = partial(waker.wake, weakref.ref(self._through))
        self._give_up_at = 0.0

    async def keep_time(self, timeout_ms: float | None) -> None:
        """Wait for the run, and stop it at its deadline. Afterwards the run is either finished or abandoned.

        Cancelling the waiting task also stops the guest.
        """
        run = self._run
        watched = self._output.descriptors if self._output else ()
        for descriptor in watched:
            self._loop.add_reader(descriptor, self._read)
        if self._open_files is not None:
            self._count_files(self._open_files, timeout_ms)
        elif timeout_ms is not None:
            self._watch_deadline(timeout_ms)
        try:
            await self._through
        except BaseException:
            cancel(run, self._interrupt, GRACE_S)  # the loop waits for it
            raise
        finally:
            run.wake_loop = None
            self._timer.clear()
            for descriptor in watched:
                self._loop.remove_reader(descriptor)
        if not run.abandoned:
            self._read()
            if self._open_files is not None:
                self._open_files.judge(run)

    def _count_files(self, open_files: OpenFiles, timeout_ms: float | None) -> None:
        """Keep the deadline, and stop a guest that holds too many files open."""
        left_s = TICK_S if timeout_ms is None else self._run.left_s(timeout_ms)
        if left_s <= 0:
            self._stop(Stop.TIMEOUT)
        elif open_files.are_too_many():
            self._stop(Stop.FILES)
        else:
            due_at = monotonic() + min(TICK_S, left_s)
            self._timer.set(due_at, partial(self._count_files, open_files, timeout_ms))

    def _watch_deadline(self, timeout_ms: float) -> None:
        left_s = self._run.left_s(timeout_ms)
        if left_s > 0:  # else the guest was entered later than the timer was set
            self._timer.set(monotonic() + left_s, partial(self._watch_deadline, timeout_ms))
        else:
            self._stop(Stop.TIMEOUT)

    def _stop(self, reason: Stop) -> None:
        self._timer.clear()  # a deadline that is still to come would hold the run until then
        self._run.stop = reason
        self._give_up_at = monotonic() + max(self._run.grace_s, self._run.cancel_host())
        self._nudge()

    def _nudge(self) -> None:
        """Interrupt the guest until it ends, or abandon it if it is blocked."""
        if self._run.finished:
            return
        self._interrupt()
        if self._run.is_blocked() or monotonic() >= self._give_up_at:
            self._run.abandon()
            self._loop.call_soon(self._through.resolve)
        else:
            self._timer.set(monotonic() + NUDGE_S, self._nudge)

    def _read(self) -> None:
        if self._output is None:
            return
        self._output.drain()
        if self._output.is_over and self._run.stop is None:
            self._stop(Stop.OUTPUT)


def wait_for(coroutine: Coroutine[Any, Any, Any], run: Run) -> Any:
    """Run a coroutine for the guest's thread, and return its result or raise its error.

    Stopping the run cancels the coroutine.
    """
    if run.loop is None:
        return asyncio.run(_on_own_loop(coroutine, run))
    if run.leave_caller is not None:
        run.leave_caller()
    assert run.new_host_coroutine is not None
    served = run.new_host_coroutine(coroutine)
    run.stop_host = served.stop
    try:
        if run.is_stopped():
            served.stop()
        return served.result()
    finally:
        run.stop_host = None


async def _on_own_loop(coroutine: Coroutine[Any, Any, Any], run: Run) -> Any:
    loop = asyncio.get_running_loop()
    task = loop.create_task(coroutine)

    def stop() -> None:
        with suppress(RuntimeError):  # the loop is through
            loop.call_soon_threadsafe(task.cancel)

    run.stop_host = stop
    try:
        if run.is_stopped():
            task.cancel()
        return await task
    finally:
        run.stop_host = None
