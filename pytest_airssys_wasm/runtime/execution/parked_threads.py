"""The parked threads of an engine: guest threads that wait in the native guard, and make calls without the GIL.

A call of a guest that may be blocked, for example in a host function, is made on a parked thread if everything about
it was prepared before. The caller waits in the guard, too, so that neither thread waits for the GIL of the other.
"""

from __future__ import annotations

from ctypes import addressof
from functools import partial
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, get_ident, start_thread, system
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks
from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.guard import GuardParkedThread, guard
from pytest_airssys_wasm.runtime.execution.clock import cancel, keep_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.execution.run import Run

_STACK_BYTES = 8 * 2**20
"""The size of the stack in bytes: enough for wasmtime's `max_wasm_stack` and Python's frames in host functions."""
_IDLE = 8
"""The maximum number of idle parked threads that are kept."""


class ParkedThread:
    """A thread that makes calls, and the place where one caller at a time asks for them."""

    __slots__ = ("_address", "_guard", "_on_return", "_shared", "identity", "is_given_up")

    def __init__(self) -> None:
        self._guard = guard()
        self._shared = GuardParkedThread()
        self._address = addressof(self._shared)
        self._on_return: Callable[[int | None], object] | None = None
        self.identity = 0
        """The identity of the thread."""
        self.is_given_up = False
        """Whether a guest was abandoned here. The thread ends when the guest returns."""
        is_ready = allocate_lock()
        is_ready.acquire()

        def serve() -> None:
            self.identity = get_ident()
            is_ready.release()
            if self._guard.parked_serve(self._address):
                self._return()

        with naming_lacks():
            start_thread(serve, "airssys-wasm-guest", _STACK_BYTES)
        is_ready.acquire()

    def call(
        self,
        run: Run,
        runs: dict[int, Run],
        on_return: Callable[[Run, int, int | None], object],
        entry: tuple[int, int, int, int, int, int],
        is_module: bool,
    ) -> int | None:
        """Make a call, and return its error. If the guest is blocked at its deadline, `run` is abandoned.

        `entry` is the arguments of `guard_parked_call`. Raises what a signal handler raises. `on_return` is called with
        the run, the address of the results and the error when an abandoned guest has returned, on its thread.
        """
        run.thread = self.identity
        runs[self.identity] = run
        shared = self._shared
        shared.is_module, shared.error = is_module, None
        try:
            if self._guard.parked_call(self._address, *entry):
                keep_time(run, run.limits.timeout_ms, _nothing, self._wait)
            else:
                run.finish()
        except BaseException:
            if not (run.finished or run.abandoned):
                cancel(run, _nothing, wait=self._wait)
            if run.finished and shared.error:
                abi.error_delete(shared.error)
            raise
        finally:
            if run.finished or not run.abandon():
                del runs[self.identity]
            else:
                self._give_up(runs, partial(on_return, run, entry[4]))
        return shared.error

    def close(self) -> None:
        """End the thread. No call may be open."""
        self._guard.parked_close(self._address)

    def _wait(self, run: Run, timeout_s: float | None) -> bool:
        """Wait until the call has ended, and return whether it has."""
        if self._guard.parked_wait(self._address, -1 if timeout_s is None else int(max(0.0, timeout_s) * 1e9)):
            return False
        run.finish()
        return True

    def _give_up(self, runs: dict[int, Run], on_return: Callable[[int | None], object]) -> None:
        """Leave an abandoned call to the thread."""

        def returned(error: int | None) -> None:
            del runs[self.identity]
            on_return(error)

        self._on_return = returned
        self.is_given_up = self._guard.parked_give_up(self._address)
        if not self.is_given_up:
            self._return()  # the guest has returned in the meantime

    def _return(self) -> None:
        on_return, self._on_return = self._on_return, None
        assert on_return is not None
        on_return(self._shared.error)


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
