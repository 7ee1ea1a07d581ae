"""Deadlines that are not kept, are kept late or early, or hit the wrong guest."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Timer

from mutants.mutant import Family, around, reading
from pytest_airssys_wasm.runtime.execution import clock as deadline
from pytest_airssys_wasm.runtime.execution import run as run_module
from pytest_airssys_wasm.runtime.execution.run import Run, Stop
from pytest_airssys_wasm.runtime.store import store
from pytest_airssys_wasm.runtime.store.store import LimitedStore

FAMILY = Family("timeout")


def _with_timeout(patch, change):
    """`change(timeout_ms)` is the timeout that is kept; `None`: none."""
    around(
        patch,
        store,
        "keep_time",
        lambda keep, run, timeout_ms, *rest: keep(run, None if timeout_ms is None else change(timeout_ms), *rest),
    )
    _guarding(patch, change)


def _guarding(patch, change):
    """`change(timeout_ms)` is the timeout that the guard keeps."""
    around(
        patch,
        run_module,
        "begin_run",
        lambda begin, account, fuel, timeout_ms: begin(
            account, fuel, None if timeout_ms is None else change(timeout_ms)
        ),
    )


@FAMILY.lone_mutant
def no_timeout(patch):
    """The clock is not looked at."""
    _with_timeout(patch, lambda timeout_ms: None if timeout_ms else timeout_ms)


def _untimed(patch, is_free):
    """No clock for the executions of which `is_free(component, function)`."""

    def run(original, self, operation):
        timed = self.limits
        if is_free(operation.component, operation.function) and timed.timeout_ms:
            self.limits = replace(timed, timeout_ms=None)
        try:
            return original(self, operation)
        finally:
            self.limits = timed

    around(patch, LimitedStore, "run", run)


@FAMILY.lone_mutant
def no_timeout_in_start_functions(patch):
    """The clock starts with the first call."""
    _untimed(patch, lambda _, function: function is None)


@FAMILY.lone_mutant
def no_timeout_in_components(patch):
    """Only core modules are watched."""
    _untimed(patch, lambda component, _: component.kind == "component")


@FAMILY.lone_mutant
def the_timeout_is_looked_at_between_calls(patch):
    """A call that took too long is said to have, once it has returned."""

    def keep_time(original, run, timeout_ms, *rest):
        original(run, None, *rest)
        late = timeout_ms is not None and (run.finished_at - run.started_at) * 1_000 >= timeout_ms
        if late and run.error is None:
            run.stop = Stop.TIMEOUT

    around(patch, store, "keep_time", keep_time)
    _guarding(patch, lambda _: None)


def _gives_up(patch, may_give_up):
    """At the deadline the caller gives up on a guest that does not come back only if it `may_give_up`."""

    def end(run, grace_s, interrupt, wait):
        until = time.monotonic() + grace_s
        run.cancel_host()
        while not run.finished:
            interrupt()
            if wait(run, 0.001) or run.finished:
                return
            if (run.is_blocked() or time.monotonic() >= until) and may_give_up(run):
                run.abandon()
                return

    patch.setattr(deadline, "_end", end)


@FAMILY.mutant
def no_timeout_in_host_functions(patch):
    """The caller waits until the host function has returned."""
    _gives_up(patch, lambda run: not run.in_host)


@FAMILY.mutant
def no_timeout_in_wasi(patch):
    """The caller waits until the WASI call has returned."""
    _gives_up(patch, lambda run: run.in_host)


@FAMILY.mutant
def a_host_function_is_an_alibi(patch):
    """The deadline is forgotten when a host function is running as it comes."""

    def keep_time(original, run, timeout_ms, interrupt, wait):
        def wait_and_see(run, timeout_s):
            done = wait(run, timeout_s)
            while not done and run.in_host:
                done = wait(run, None)
            return done

        original(run, timeout_ms, interrupt, wait_and_see)

    around(patch, store, "keep_time", keep_time)


@FAMILY.mutant
def fifty_milliseconds_late(patch):
    """A guest runs for 50 ms more than it may."""
    _with_timeout(patch, lambda timeout_ms: timeout_ms + 50)


@FAMILY.mutant
def blocked_guests_are_given_up_late(patch):
    """A guest in a host function has 50 ms of grace."""

    def end(original, run, grace_s, interrupt, wait):
        if run.in_host:
            wait(run, 0.05)
        original(run, grace_s, interrupt, wait)

    around(patch, deadline, "_end", end)


@FAMILY.mutant
def half_the_time(patch):
    """A guest is ended when half of its time is over."""
    _with_timeout(patch, lambda timeout_ms: timeout_ms / 2)


@FAMILY.mutant
def the_clock_ticks_every_hundred_milliseconds(patch):
    """Deadlines are rounded up to the next tick."""
    _with_timeout(patch, lambda timeout_ms: -(-timeout_ms // 100) * 100)


@FAMILY.mutant
def the_clock_runs_through_all_calls(patch):
    """The deadline is that of the store, and not of each call."""

    def begin(original, self, run, *rest):
        self._first_start = getattr(self, "_first_start", time.monotonic())
        if self.limits.timeout_ms is not None:
            gone_ns = int(1e9 * (time.monotonic() - self._first_start))
            run.account.timeout_ns = max(0, run.account.timeout_ns - gone_ns)
        original(self, run, *rest)

    around(patch, LimitedStore, "_begin", begin)


@FAMILY.mutant
def a_deadline_ends_all_guests(patch):
    """The interruption reaches every guest of the engine, and each takes it for its own."""

    def end(original, self, operation, run):
        if run.stop is Stop.TIMEOUT:
            for one in [*self.engine.runs.values()]:
                one.stop = Stop.TIMEOUT
        original(self, operation, run)

    around(patch, LimitedStore, "_end", end)


@FAMILY.lasting_mutant
def the_timer_outlives_its_call(patch):
    """The timer is not cancelled when a call returns, and goes off in a later one."""

    def run(original, self, *what):
        def go_off():
            for one in self._backend.running:
                one.stop = Stop.TIMEOUT

        if self.limits.timeout_ms:
            # Not at the deadline itself: which of the two comes first would be chance.
            timer = Timer(self.limits.timeout_ms / 1_000 + 0.02, go_off)
            timer.daemon = True
            timer.start()
        return original(self, *what)

    around(patch, LimitedStore, "run", run)


@FAMILY.lasting_mutant
def the_stop_flag_is_not_cleared(patch):
    """After a timeout the next execution is ended as it begins."""
    flag: list[Run] = []

    def begin(original, self, run, *rest):
        if flag:
            run.stop = Stop.TIMEOUT
        flag.clear()
        original(self, run, *rest)

    def keep_time(original, run, *rest):
        before = run.stop
        original(run, *rest)
        if run.stop and not before:
            flag.append(run)

    around(patch, LimitedStore, "_begin", begin)
    around(patch, store, "keep_time", keep_time)


@FAMILY.mutant
def no_time_means_unlimited(patch):
    """A timeout of zero is taken for the lack of one."""
    reading(patch, lambda limits: {"timeout_ms": "unlimited"} if limits.get("timeout_ms") == 0 else {})


@FAMILY.mutant
def milliseconds_are_read_as_microseconds(patch):
    """Every guest has a thousandth of its time."""
    _with_timeout(patch, lambda timeout_ms: timeout_ms / 1_000)


@FAMILY.lone_mutant
def milliseconds_are_read_as_seconds(patch):
    """Every guest has a thousand times its time."""
    _with_timeout(patch, lambda timeout_ms: timeout_ms * 1_000)


@FAMILY.mutant
def a_guest_that_waited_for_the_host_is_late(patch):
    """Whoever was blocked is taken for hanging, whatever its deadline."""

    def keep_time(original, run, *rest):
        original(run, *rest)
        is_well = run.finished and run.error is None
        if is_well and run.host_calls and run.finished_at - run.started_at > 0.003:
            run.stop = run.stop or Stop.TIMEOUT

    around(patch, store, "keep_time", keep_time)


@FAMILY.lasting_mutant
def the_call_after_a_timeout_is_late(patch):
    """After a timeout the next call is ended as it begins, and an instantiation is none."""
    flag: list[Run] = []

    def begin(original, self, run, *rest):
        original(self, run, *rest)
        if flag and self._ledger.executions:
            flag.clear()
            run.stop = Stop.TIMEOUT

    def keep_time(original, run, *rest):
        original(run, *rest)
        if run.stop is Stop.TIMEOUT:
            flag.append(run)

    around(patch, LimitedStore, "_begin", begin)
    around(patch, store, "keep_time", keep_time)
