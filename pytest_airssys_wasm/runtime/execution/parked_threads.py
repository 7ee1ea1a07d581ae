"""The parked threads of an engine: guest threads that wait in the native guard, and make calls without the GIL.

A call of a guest that may be blocked, for example in a host function, or that is awaited, is made on a parked thread if
everything about it was prepared before. The caller waits in the guard, too, so that neither thread waits for the GIL of
the other. The thread of an event loop waits there only for a moment, and then for the waker of its loop.
"""

from __future__ import annotations

from ctypes import addressof
from functools import partial
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, get_ident, start_thread, system
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks
from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.guard import (
    PARKED_DONE,
    PARKED_LEFT,
    SERVED_CLOSED,
    WRITE_CALL,
    GuardParkedThread,
    guard,
)
from pytest_airssys_wasm.runtime.execution.clock import cancel, keep_time, wait_done

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from pytest_airssys_wasm.runtime.execution.run import Run

    Entry: TypeAlias = tuple[int, int, int, int, int, int]
    """The fields of a call behind its error: see `WRITE_CALL`. The fifth is the address of the results."""

_STACK_BYTES = 8 * 2**20
"""The size of the stack in bytes: enough for wasmtime's `max_wasm_stack` and Python's frames in host functions."""
_IDLE = 8
"""The maximum number of idle parked threads that are kept."""


class ParkedThread:
    """A thread that makes calls, and the place where one caller at a time asks for them."""

    __slots__ = ("_address", "_guard", "_leave", "_on_end", "_shared", "identity", "is_given_up")

    def __init__(self) -> None:
        self._guard = guard()
        self._shared = GuardParkedThread()
        self._address = addressof(self._shared)
        self._on_end: Callable[[int | None], bool] | None = None
        self._leave = partial(self._guard.parked_leave, self._address)
        self.identity = 0
        """The identity of the thread."""
        self.is_given_up = False
        """Whether a guest was abandoned here. The thread ends when the guest returns."""
        is_ready = allocate_lock()
        is_ready.acquire()

        def serve() -> None:
            self.identity = get_ident()
            is_ready.release()
            while self._guard.parked_serve(self._address) != SERVED_CLOSED:
                if not self._tell_end():
                    return

        with naming_lacks():
            start_thread(serve, "airssys-wasm-guest", _STACK_BYTES)
        is_ready.acquire()

    def call(
        self,
        run: Run,
        runs: dict[int, Run],
        on_return: Callable[[Run, int, int | None], object],
        entry: Entry,
        kind: int,
    ) -> int | None:
        """Make a call, and return its error. If the guest is blocked at its deadline, `run` is abandoned.

        `kind` tells what the function is: one of those of the guard. Raises what a signal handler raises. `on_return`
        is called with the run, the address of the results and the error when an abandoned guest has returned, on its
        thread.
        """
        self._prepare(run, runs, entry, kind)
        try:
            if self._guard.parked_call(self._address):
                keep_time(run, run.limits.timeout_ms, _nothing, self._wait)
            else:
                run.finish_alone()
        except BaseException:
            self._end_interrupted(run)
            raise
        finally:
            if run.finished or not run.abandon():
                del runs[self.identity]
            else:
                self._give_up(runs, partial(on_return, run, entry[4]))
        return self.error

    def ask(
        self,
        run: Run,
        runs: dict[int, Run],
        on_end: Callable[[Run, int, int | None], bool],
        entry: Entry,
        kind: int,
        wait_ns: int,
    ) -> bool:
        """Make a call, wait for its end for `wait_ns` nanoseconds, and return whether it has ended.

        If it has, its error is `error`. Otherwise `on_end` is called with the run, the address of the results and the
        error when it has, on the thread of the guest. It finishes the run, and returns False if the run was abandoned.
        Then the thread ends. Raises what a signal handler raises.
        """
        self._prepare(run, runs, entry, kind)
        run.leave_caller = self._leave
        self._on_end = partial(on_end, run, entry[4])
        try:
            if self._guard.parked_ask(self._address, wait_ns) == PARKED_LEFT:
                return False
            run.finish_alone()
        except BaseException:
            self._end_interrupted(run)
            raise
        finally:
            if run.finished:
                self._on_end = None
                runs.pop(self.identity, None)
        return True

    def withdraw(self, run: Run, runs: dict[int, Run]) -> None:
        """Finish a run of which the thread knows nothing, because a signal handler has raised too early."""
        if not run.finished and (run.thread is None or not self._shared.state):
            run.finish()
            runs.pop(self.identity, None)

    @property
    def error(self) -> int | None:
        """The address of the error of the call that has ended; `None` if it has returned."""
        return self._shared.error

    def close(self) -> None:
        """End the thread. No call may be open."""
        self._guard.parked_close(self._address)

    def _wait(self, run: Run, timeout_s: float | None) -> bool:
        """Wait until the call has ended, and return whether it has."""
        end = self._guard.parked_wait(self._address, -1 if timeout_s is None else int(max(0.0, timeout_s) * 1e9))
        if end == PARKED_LEFT:
            return wait_done(run, timeout_s)
        if end == PARKED_DONE:
            run.finish()
        return run.finished

    def _prepare(self, run: Run, runs: dict[int, Run], entry: Entry, kind: int) -> None:
        WRITE_CALL(self._shared, 0, 0, kind, 0, *entry)
        run.thread = self.identity
        runs[self.identity] = run

    def _end_interrupted(self, run: Run) -> None:
        """End a call whose caller was interrupted, and delete its error, which nobody will take."""
        if not (run.finished or run.abandoned):
            cancel(run, _nothing, wait=self._wait)
        if run.finished and self._shared.error:
            abi.error_delete(self._shared.error)

    def _give_up(self, runs: dict[int, Run], on_return: Callable[[int | None], object]) -> None:
        """Leave an abandoned call to the thread."""

        def returned(error: int | None) -> bool:
            del runs[self.identity]
            on_return(error)
            return False

        self._on_end = returned
        self.is_given_up = self._guard.parked_give_up(self._address)
        if not self.is_given_up:
            self._tell_end()  # the guest has returned in the meantime

    def _tell_end(self) -> bool:
        """Tell that a call has ended for which nobody waits in the guard, and return whether another may follow."""
        on_end, self._on_end = self._on_end, None
        error, self._shared.error = self._shared.error, None
        assert on_end is not None
        return on_end(error)


class ParkedThreads:
    """The idle parked threads of an engine."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._idle: list[ParkedThread] = []
        self._process_id = system.os.getpid()

    def take(self) -> ParkedThread:
        """Return a parked thread for one call. Raises `UnfitHost` if no thread can be started."""
        if self._process_id != system.os.getpid():
            self._begin()  # a forked process has none of the threads
        try:
            return self._idle.pop()
        except IndexError:
            return ParkedThread()

    def put_back(self, thread: ParkedThread) -> None:
        """Keep a parked thread for the next call, unless its thread has been left to an abandoned guest."""
        if thread.is_given_up:
            return
        if len(self._idle) < _IDLE:
            self._idle.append(thread)
        else:
            thread.close()

    def close(self) -> None:
        """End the idle parked threads."""
        while self._idle:
            self._idle.pop().close()


def _nothing() -> None:
    pass
