"""The timer that is kept from one deadline to the next: never too early, never too late, and forgotten in the end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
import weakref

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout
from pytest_airssys_wasm.runtime.execution.awaiting import reusable_timer as kept_timer
from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import OnLoop
from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWakers
from pytest_airssys_wasm.runtime.execution.awaiting.reusable_timer import ReusableTimer
from pytest_airssys_wasm.runtime.execution.awaiting.timekeeper import Timekeeper
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from support.pausing_guest import GUEST, PLENTY, Pauses

HOUR_S = 3_600.0
SOON_S = 0.02


class CountingTimekeeper(Timekeeper):
    """Knows how often it was asked to wake a loop, and which of these times are still to come."""

    def __init__(self):
        super().__init__()
        self.wound = 0

    def wake_at(self, *args):
        self.wound += 1
        super().wake_at(*args)

    @property
    def pending(self):
        return [*self._due]


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def timekeeper(engine, monkeypatch):
    timekeeper = CountingTimekeeper()
    monkeypatch.setattr(engine.wakers, "timekeeper", timekeeper)
    return timekeeper


async def new_timer(timekeeper):
    return ReusableTimer(timekeeper, LoopWakers().waker_of(asyncio.get_running_loop()))


@pytest.fixture
def long(monkeypatch):
    """However slow the machine is, no timer goes off in a test."""
    monkeypatch.setattr(kept_timer, "_LONGEST_S", HOUR_S)


@pytest.fixture
def guest(engine):
    return engine.load(GUEST)


@pytest.fixture
def host():
    return Pauses().functions


def rung(loop, timekeeper, *deadlines_s, longest_s=10.0):
    """Return the delay of each deadline in seconds; replaced deadlines are not kept."""

    async def wait():
        timer, told, done = await new_timer(timekeeper), [], asyncio.Event()
        for nth, deadline_s in enumerate(deadlines_s):
            due_at = time.monotonic() + deadline_s

            def call(nth=nth, due_at=due_at):
                told.append((nth, time.monotonic() - due_at))
                done.set()

            timer.set(due_at, call)
        await asyncio.wait_for(done.wait(), longest_s)
        await asyncio.sleep(3 * SOON_S)
        return told

    ((nth, late_s),) = loop.run_until_complete(wait())
    assert nth == len(deadlines_s) - 1
    assert late_s >= 0
    return late_s


def test_a_shorter_deadline_after_a_longer_one_is_kept(loop, timekeeper, long):
    rung(loop, timekeeper, HOUR_S, SOON_S)


def test_a_longer_deadline_after_a_shorter_one_is_not_kept_too_early(loop, timekeeper):
    rung(loop, timekeeper, SOON_S, 5 * SOON_S)


def test_a_far_deadline_is_kept_on_time_however_often_the_timer_goes_off_before(loop, timekeeper, monkeypatch):
    monkeypatch.setattr(kept_timer, "_LONGEST_S", SOON_S)
    rung(loop, timekeeper, 25 * SOON_S)
    assert timekeeper.wound > 3


def test_a_deadline_that_was_called_off_is_not_kept(loop, timekeeper):
    async def call_off():
        timer = await new_timer(timekeeper)
        timer.set(time.monotonic() + SOON_S, lambda: told.append("kept"))
        timer.clear()
        await asyncio.sleep(5 * SOON_S)

    told = []
    loop.run_until_complete(call_off())
    assert told == []


def test_many_deadlines_that_are_not_reached_are_one_time_for_the_timekeeper(loop, timekeeper, long):
    timer = loop.run_until_complete(new_timer(timekeeper))
    for _ in range(1_000):
        timer.set(time.monotonic() + HOUR_S, lambda: None)
        timer.clear()
    assert timekeeper.wound == 1


def test_a_timer_that_nobody_sets_any_more_is_forgotten(loop, timekeeper, monkeypatch):
    monkeypatch.setattr(kept_timer, "_LONGEST_S", SOON_S)
    timer = loop.run_until_complete(new_timer(timekeeper))
    timer.set(time.monotonic() + HOUR_S, lambda: None)
    timer.clear()
    left = weakref.ref(timer)
    del timer
    loop.run_until_complete(asyncio.sleep(5 * SOON_S))
    gc.collect()
    assert left() is None
    assert timekeeper.pending == []


def test_the_clock_has_no_thread_while_nothing_is_due(loop, timekeeper, monkeypatch):
    monkeypatch.setattr(kept_timer, "_LONGEST_S", SOON_S)
    timer = loop.run_until_complete(new_timer(timekeeper))
    for _ in range(2):
        timer.set(time.monotonic() + SOON_S, lambda: None)
        assert timekeeper._is_running
        while timekeeper._is_running:
            loop.run_until_complete(asyncio.sleep(SOON_S))


def test_deadlines_of_several_loops_are_kept_by_one_clock(timekeeper):
    loops = [asyncio.new_event_loop() for _ in range(3)]
    try:
        threads = [
            threading.Thread(target=rung, args=(loop, timekeeper, deadline_s))
            for loop, deadline_s in zip(loops, (5 * SOON_S, SOON_S, 3 * SOON_S))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for loop in loops:
            loop.close()


def test_a_timer_keeps_nothing_of_the_task_that_set_it(loop, timekeeper, long):
    class ServedStore: ...

    name = contextvars.ContextVar("name")

    async def within():
        kept = ServedStore()
        name.set(kept)
        timer = await new_timer(timekeeper)
        timer.set(time.monotonic() + HOUR_S, lambda: kept)
        timer.clear()
        return weakref.ref(kept)

    kept = loop.run_until_complete(loop.create_task(within()))
    gc.collect()
    assert kept() is None
    assert timekeeper.pending


def test_the_runs_of_a_store_share_a_timer(loop, timekeeper, long, engine, guest, host):
    async def runs():
        with LimitedStore(engine, PLENTY, host=host) as store:
            instance = await store.instantiate_async(guest)
            for _ in range(20):
                await instance.call_async("add", 1, 2)
            return timekeeper.wound

    assert loop.run_until_complete(runs()) == 1


def test_a_store_that_nobody_has_any_more_is_not_kept_for_its_timer(loop, timekeeper, long, engine, guest, host):
    async def abandoned():
        store = LimitedStore(engine, PLENTY, host=host)
        store._backend.stop = lambda: store  # that of a store in another process holds it too
        await store.execute_async(guest, "add", 1, 2)
        return weakref.ref(store)

    store = loop.run_until_complete(loop.create_task(abandoned()))
    gc.collect()
    assert store() is None
    assert timekeeper.pending


def test_a_store_has_its_deadlines_on_whichever_loop_it_is_awaited(timekeeper, long, engine, guest, host):
    with LimitedStore(engine, PLENTY, host=host) as store:
        instance = store.instantiate(guest)

        async def late():
            with pytest.raises(ExecutionTimeout) as caught:
                await instance.call_async("pauses", 1, 3_600_000)
            return caught.value.usage.wall_ms

        async def early():
            return await instance.call_async("add", 1, 2)

        one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
        try:
            assert one.run_until_complete(early()) == 3
            assert timekeeper.pending
            store.limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=100)
            assert 100 <= other.run_until_complete(asyncio.wait_for(late(), 20)) < 10_000
        finally:
            one.close()
            other.close()


def test_a_store_outlives_a_closed_loop(engine, guest, host):
    with LimitedStore(engine, PLENTY, host=host) as store:
        instance = store.instantiate(guest)
        for _ in range(3):
            assert asyncio.run(instance.call_async("add", 1, 2)) == 3


def test_what_a_store_has_on_a_loop_is_of_that_loop():
    async def here():
        return OnLoop(LoopWakers())

    async def is_running(on_loop):
        return on_loop.is_running()

    on_loop = asyncio.run(here())
    assert not on_loop.is_running()
    assert not asyncio.run(is_running(on_loop))
    with pytest.raises(RuntimeError, match="no asyncio event loop is running"):
        OnLoop(LoopWakers())
