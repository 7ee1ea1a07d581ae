"""Guests that are suspended in the host, and are woken wrongly, late, together or not at all."""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections import Counter
from dataclasses import replace

from mutants.mutant import Family, answering, around
from mutants.python_memories import MADE, account_in_python, set_fuel
from pytest_airssys_wasm.conformance.host_library import HOST_LIBRARY, SUSPENDING
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.execution.awaiting import event_loop
from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import LoopClock
from pytest_airssys_wasm.runtime.execution.run import Run, Stop
from pytest_airssys_wasm.runtime.store.store import LimitedStore

FAMILY = Family("suspension")

_LONGEST_S = 1.5
"""The longest wait of a mutant, which has to come to an end so that it can be given the next case."""


def _suspending(patch, suspend):
    """`suspend(seconds)` is the coroutine that guests wait for."""

    async def suspend_ms(milliseconds):
        await suspend(milliseconds / 1_000)

    patch.setitem(HOST_LIBRARY, SUSPENDING, suspend_ms)


def _waking(patch, wake):
    """`wake(run, account)` is called on a guest's thread before it goes on; `account` is that of its store."""

    def wait_for(original, coroutine, run):
        value = original(coroutine, run)
        wake(run, run.account)
        return value

    around(patch, event_loop, "wait_for", wait_for)


@FAMILY.mutant
def a_suspended_guest_blocks_the_loop(patch):
    """The coroutine that serves the guest sleeps, and with it everybody on its loop."""

    async def suspend(seconds):
        time.sleep(seconds)

    _suspending(patch, suspend)


@FAMILY.mutant
def guests_are_suspended_one_at_a_time(patch):
    """There is one place for a suspended guest; who comes second waits for it."""
    place = asyncio.Lock()

    async def suspend(seconds):
        async with place:
            await asyncio.sleep(seconds)

    _suspending(patch, suspend)


@FAMILY.mutant
def all_wake_with_the_first(patch):
    """The first that has slept enough wakes everybody."""
    asleep: set[asyncio.Future[None]] = set()

    async def suspend(seconds):
        woken = asyncio.get_running_loop().create_future()
        asleep.add(woken)
        await asyncio.wait([woken], timeout=seconds)
        for one in asleep:
            one.cancel()
        asleep.clear()

    _suspending(patch, suspend)


@FAMILY.mutant
def the_first_asleep_wakes_first(patch):
    """Suspended guests stand in a queue, and go on from its front only."""
    queue: list[object] = []

    async def suspend(seconds):
        me = object()
        queue.append(me)
        try:
            await asyncio.sleep(seconds)
            while queue[0] is not me:
                await asyncio.sleep(0.001)
        finally:
            queue.remove(me)

    _suspending(patch, suspend)


@FAMILY.mutant
def the_last_asleep_wakes_first(patch):
    """Suspended guests lie on a stack, and go on from its top only."""
    stack: list[object] = []

    async def suspend(seconds):
        me = object()
        stack.append(me)
        try:
            await asyncio.sleep(seconds)
            while stack[-1] is not me:
                await asyncio.sleep(0.001)
        finally:
            stack.remove(me)

    _suspending(patch, suspend)


@FAMILY.mutant
def a_cancelled_sleep_wakes_the_next(patch):
    """The wake-up of a guest that was ended in its sleep comes for whoever sleeps then."""
    stray: list[float] = []

    async def suspend(seconds):
        if stray:
            stray.clear()
            return
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            stray.append(seconds)
            raise

    _suspending(patch, suspend)


@FAMILY.mutant
def a_suspended_guest_is_left_to_sleep(patch):
    """The deadline is looked at when the guest goes on."""

    def nudge(original, self):
        if self._run.in_host and not self._run.finished:
            self._timer.set(time.monotonic() + 0.001, self._nudge)
        else:
            original(self)

    patch.setattr(Run, "cancel_host", lambda self: None)
    around(patch, LoopClock, "_nudge", nudge)


@FAMILY.mutant
def the_clock_starts_when_the_instance_is_there(patch):
    """A guest that is suspended in its start function has all the time it wants."""

    async def run_async(original, self, operation):
        timed = self.limits
        if operation.function is None:
            self.limits = replace(timed, timeout_ms=None)
        try:
            return await original(self, operation)
        finally:
            self.limits = timed

    around(patch, LimitedStore, "run_async", run_async)


@FAMILY.mutant
def each_suspension_adds_to_the_time(patch):
    """A guest that is suspended often enough goes on for long."""
    added: Counter[Run] = Counter()

    def stop(original, self, reason):
        run = self._run
        if added[run] > 0 and time.monotonic() < run.started_at + _LONGEST_S:
            added[run] -= 1
            self._timer.set(time.monotonic() + (run.limits.timeout_ms or 0.0) / 1_000, lambda: self._stop(reason))
        else:
            del added[run]
            original(self, reason)

    def wake(run, raw):
        added.update([run])
        if time.monotonic() < run.started_at + _LONGEST_S:
            run.account.due_ns += int((run.limits.timeout_ms or 0.0) * 1e6)

    _waking(patch, wake)
    around(patch, LoopClock, "_stop", stop)


@FAMILY.mutant
def a_deadline_ends_all_that_are_suspended(patch):
    """Whoever is asleep when a deadline comes ends with it."""
    asleep: set[Run] = set()

    def wait_for(original, coroutine, run):
        asleep.add(run)
        try:
            return original(coroutine, run)
        finally:
            asleep.discard(run)

    def stop(original, self, reason):
        for run in [*asleep]:
            run.stop = run.stop or Stop.TIMEOUT
            run.cancel_host()
        original(self, reason)

    around(patch, event_loop, "wait_for", wait_for)
    around(patch, LoopClock, "_stop", stop)


@FAMILY.mutant
def a_guest_that_wakes_has_no_budget(patch):
    """After a suspension fuel is not counted any more."""
    _waking(patch, lambda run, account: set_fuel(account.context, 2**64 - 1))


@FAMILY.mutant
def a_guest_that_wakes_has_its_whole_budget_again(patch):
    """A suspension counts as the beginning of an execution."""
    _waking(patch, lambda run, account: set_fuel(account.context, run.fuel_at_start))


@FAMILY.mutant
def sleep_costs_fuel(patch):
    """A suspended guest pays a unit for each millisecond."""

    def wait_for(original, coroutine, run):
        began = time.monotonic()
        value = original(coroutine, run)
        slept_ms = int((time.monotonic() - began) * 1_000)
        set_fuel(run.account.context, max(0, run.fuel_left - slept_ms))
        return value

    around(patch, event_loop, "wait_for", wait_for)


@FAMILY.mutant
def a_guest_that_wakes_finds_its_memory_empty(patch):
    """The pages of a suspended guest are given to others."""
    account_in_python(patch)

    def empty(run, raw):
        for memories in MADE:
            for mapping in [*memories.mappings.values()]:
                if mapping.account.run is run.account:
                    ctypes.memset(mapping.base, 0, mapping.size_bytes)

    _waking(patch, empty)


@FAMILY.mutant
def a_trap_after_a_suspension_is_a_failure_of_the_host(patch):
    """Whatever ends a guest that was suspended is blamed on the function that suspended it."""
    answering(
        patch,
        lambda answer, request: (
            {"verdict": Verdict.HOST_ERROR, "trap": None}
            if answer.verdict is Verdict.TRAP and SUSPENDING in request.imports
            else {}
        ),
    )
