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
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from support.pausing_guest import GUEST, PLENTY, Pauses

HOUR_S = 3_600.0
SOON_S = 0.02


class CountingLoop(asyncio.SelectorEventLoop):
    """Knows how often it was asked for a timer, and which of them are still to come."""

    def __init__(self):
        super().__init__()
        self.handles = []

    def call_at(self, *args, **kwargs):
        self.handles.append(super().call_at(*args, **kwargs))
        return self.handles[-1]

    @property
    def pending(self):
        return [handle for handle in self.handles if not handle.cancelled() and handle.when() > self.time()]


@pytest.fixture
def loop():
    loop = CountingLoop()
    yield loop
    loop.close()


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


def rung(loop, *deadlines_s, longest_s=10.0):
    """By how many seconds each deadline was kept late; those that are replaced are not kept."""

    async def wait():
        timer, told, done = ReusableTimer(loop), [], asyncio.Event()
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


def test_a_shorter_deadline_after_a_longer_one_is_kept(loop, long):
    rung(loop, HOUR_S, SOON_S)


def test_a_longer_deadline_after_a_shorter_one_is_not_kept_too_early(loop):
    rung(loop, SOON_S, 5 * SOON_S)


def test_a_far_deadline_is_kept_on_time_however_often_the_timer_goes_off_before(loop, monkeypatch):
    monkeypatch.setattr(kept_timer, "_LONGEST_S", SOON_S)
    rung(loop, 25 * SOON_S)
    assert len(loop.handles) > 3


def test_a_deadline_that_was_called_off_is_not_kept(loop):
    async def call_off():
        timer = ReusableTimer(loop)
        timer.set(time.monotonic() + SOON_S, lambda: told.append("kept"))
        timer.clear()
        await asyncio.sleep(5 * SOON_S)

    told = []
    loop.run_until_complete(call_off())
    assert told == []


def test_many_deadlines_that_are_not_reached_cost_the_loop_one_timer(loop):
    timer = ReusableTimer(loop)
    for _ in range(1_000):
        timer.set(time.monotonic() + HOUR_S, lambda: None)
        timer.clear()
    assert len(loop.handles) == 1


def test_a_loop_forgets_a_timer_that_nobody_sets_any_more(loop, monkeypatch):
    monkeypatch.setattr(kept_timer, "_LONGEST_S", SOON_S)
    timer = ReusableTimer(loop)
    timer.set(time.monotonic() + HOUR_S, lambda: None)
    timer.clear()
    left = weakref.ref(timer)
    del timer
    loop.handles.clear()
    loop.run_until_complete(asyncio.sleep(5 * SOON_S))
    gc.collect()
    assert left() is None
    assert loop.pending == []


def test_a_timer_keeps_nothing_of_the_task_that_set_it(loop, long):
    class ServedStore: ...

    name = contextvars.ContextVar("name")

    async def within():
        kept = ServedStore()
        name.set(kept)
        timer = ReusableTimer(loop)
        timer.set(time.monotonic() + HOUR_S, lambda: kept)
        timer.clear()
        return weakref.ref(kept)

    kept = loop.run_until_complete(loop.create_task(within()))
    gc.collect()
    assert kept() is None
    assert loop.pending


def test_the_runs_of_a_store_share_a_timer(loop, long, engine, guest, host):
    async def runs():
        with LimitedStore(engine, PLENTY, host=host) as store:
            instance = await store.instantiate_async(guest)
            for _ in range(20):
                await instance.call_async("add", 1, 2)
            return len(loop.handles)

    assert loop.run_until_complete(runs()) == 1


def test_a_closed_store_leaves_no_timer_behind(loop, long, engine, guest, host):
    loop.run_until_complete(engine.execute_async(guest, "add", 1, 2, limits=PLENTY, host=host))
    assert loop.handles
    assert loop.pending == []


def test_a_store_that_is_closed_elsewhere_leaves_the_loop_alone(loop, long, engine, guest, host):
    store = LimitedStore(engine, PLENTY, host=host)
    loop.run_until_complete(store.execute_async(guest, "add", 1, 2))
    thread = threading.Thread(target=store.close)
    thread.start()
    thread.join()
    assert loop.pending  # to cancel it is for the loop's thread


def test_a_store_that_nobody_has_any_more_is_not_kept_for_its_timer(loop, long, engine, guest, host):
    async def abandoned():
        store = LimitedStore(engine, PLENTY, host=host)
        store._backend.stop = lambda: store  # that of a store in another process holds it too
        await store.execute_async(guest, "add", 1, 2)
        return weakref.ref(store)

    store = loop.run_until_complete(loop.create_task(abandoned()))
    gc.collect()
    assert store() is None
    assert loop.pending


def test_a_store_has_its_deadlines_on_whichever_loop_it_is_awaited(long, engine, guest, host):
    with LimitedStore(engine, PLENTY, host=host) as store:
        instance = store.instantiate(guest)

        async def late():
            with pytest.raises(ExecutionTimeout) as caught:
                await instance.call_async("pauses", 1, 3_600_000)
            return caught.value.usage.wall_ms

        async def early():
            return await instance.call_async("add", 1, 2)

        one, other = CountingLoop(), CountingLoop()
        try:
            assert one.run_until_complete(early()) == 3
            assert one.pending
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
