"""Awaited calls on a parked thread keep the promises of awaited executions: the event loop goes on, tasks can be
cancelled, and nothing stays.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import pytest

from pytest_airssys_wasm import StoreUnusable, WasmEngine
from pytest_airssys_wasm.runtime.execution.awaiting import loop_turn
from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import LoopClock
from pytest_airssys_wasm.runtime.execution.parked_threads import ParkedThread
from pytest_airssys_wasm.runtime.guest import awaited_calls
from support.bombs import wait_for
from support.parked_calls import HOUR_NS, Awaited, open_store


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


@pytest.fixture
def asked(monkeypatch):
    """Whether each call on a parked thread has ended before it was left to its thread."""
    return Awaited(monkeypatch).has_ended


@pytest.fixture(params=["at once", "later"])
def moment(request, monkeypatch):
    """The time that the loop waits in the guard: as long as it takes, or not at all."""
    monkeypatch.setattr(awaited_calls, "_MOMENT_NS", HOUR_NS if request.param == "at once" else 0)


def ask_in_vain(coroutine):
    """Run a coroutine that raises, and return its error."""

    async def caught():
        try:
            return await coroutine
        except Exception as error:  # noqa: BLE001 compared
            return error

    return caught()


def test_a_short_call_is_over_before_the_loop_goes_on(engine, asked, monkeypatch):
    monkeypatch.setattr(awaited_calls, "_MOMENT_NS", HOUR_NS)
    monkeypatch.setattr(loop_turn, "_LONGEST_S", 3_600)
    store, instance = open_store(engine)

    async def calls():
        await instance.call_async("asks", 1)
        went_on = []
        asyncio.get_running_loop().call_soon(went_on.append, True)
        values = [await instance.call_async("asks", n) for n in range(100)]
        return values, [*went_on]

    with store:
        assert asyncio.run(calls()) == ([*range(1, 101)], [])
    assert asked == [True] * 100


def test_a_task_with_many_short_calls_lets_the_loop_go_on(engine, moment):
    store, instance = open_store(engine)

    async def calls():
        beats, is_over = 0, False

        async def beat():
            nonlocal beats
            while not is_over:
                beats += 1
                await asyncio.sleep(0)

        beating = asyncio.create_task(beat())
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            await instance.call_async("asks", 1)
        is_over = True
        await beating
        return beats

    with store:
        assert asyncio.run(calls()) > 5


def test_a_task_with_many_short_calls_can_be_cancelled_by_a_timer(engine):
    store, instance = open_store(engine)

    async def calls():
        while True:
            await instance.call_async("asks", 1)

    async def limited():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(calls(), 0.05)

    with store:
        asyncio.run(limited())


def test_a_guest_that_takes_longer_is_not_waited_for_the_next_time(engine, monkeypatch):
    waits, ask = [], ParkedThread.ask

    def asking(self, *args):
        waits.append(args[-1])
        return ask(self, *args)

    monkeypatch.setattr(ParkedThread, "ask", asking)
    store, instance = open_store(engine, lambda n: time.sleep(n / 1_000) or n)

    async def calls():
        for ms in (0, 0, 20, 20):
            await instance.call_async("asks", ms)

    with store:
        asyncio.run(calls())
    assert waits[-1] == 0
    assert waits[0] > 0


def test_the_loop_goes_on_while_a_guest_runs(engine, asked):
    store, instance = open_store(engine, fuel=None, timeout_ms=None)

    async def calls():
        await instance.call_async("loops", 1)
        task = asyncio.create_task(instance.call_async("loops", 0))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with store:
        asyncio.run(calls())
    assert asked == [False]


def test_a_coroutine_that_serves_an_import_runs_on_the_loop_of_the_call(engine, asked, monkeypatch):
    monkeypatch.setattr(awaited_calls, "_MOMENT_NS", 30 * 10**9)
    loops, began = [], time.monotonic()

    async def ask(n):
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return n + 1

    store, instance = open_store(engine, ask)

    async def calls():
        loops.append(asyncio.get_running_loop())
        return [await instance.call_async("asks", n) for n in range(3)]

    with store:
        assert asyncio.run(calls()) == [1, 2, 3]
    assert len({*loops}) == 1
    assert asked == [False, False]
    assert time.monotonic() - began < 30  # the guest has sent the loop back


def test_many_awaited_calls_at_once_end_with_their_own_results(engine):
    async def ask(n):
        await asyncio.sleep(0.001 * (n % 3))
        return n

    stores = [open_store(engine, ask) for _ in range(12)]

    async def calls(number, instance):
        return [await instance.call_async("asks", 100 * number + n) for n in range(4)]

    async def together():
        return await asyncio.gather(*(calls(number, instance) for number, (_, instance) in enumerate(stores)))

    found = asyncio.run(together())
    assert found == [[100 * number + n for n in range(4)] for number in range(12)]
    for store, _ in stores:
        store.close()


def test_a_cancelled_call_cancels_the_coroutine_that_serves_it(engine):
    begun, ended = [], []

    async def ask(n):
        try:
            begun.append(n)
            await asyncio.sleep(n)
        except asyncio.CancelledError:
            ended.append(n)
            raise
        return n

    store, instance = open_store(engine, ask)

    async def calls():
        await instance.call_async("asks", 0)
        task = asyncio.create_task(instance.call_async("asks", 3_600))
        while len(begun) < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not ended:
            await asyncio.sleep(0)

    with store:
        asyncio.run(calls())
    assert ended == [3_600]


def test_a_store_has_one_awaited_call_at_a_time(engine):
    async def ask(n):
        await asyncio.sleep(n / 1_000)
        return n

    store, instance = open_store(engine, ask)

    async def calls():
        await instance.call_async("asks", 0)
        first = asyncio.create_task(instance.call_async("asks", 50))
        await asyncio.sleep(0.001)
        error = await ask_in_vain(instance.call_async("asks", 1))
        return error, await first

    with store:
        error, value = asyncio.run(calls())
    assert isinstance(error, StoreUnusable)
    assert value == 50


def test_a_parked_thread_is_used_again_after_a_call_was_left_to_it(own_engine, monkeypatch):
    monkeypatch.setattr(awaited_calls, "_MOMENT_NS", 0)
    used, ask = [], ParkedThread.ask

    def asking(self, *args):
        used.append(self.identity)
        return ask(self, *args)

    monkeypatch.setattr(ParkedThread, "ask", asking)
    store, instance = open_store(own_engine)

    async def calls():
        return [await instance.call_async("asks", n) for n in range(50)]

    with store:
        assert asyncio.run(calls()) == [*range(1, 51)]
        assert instance.asks(7) == 8
        assert instance.asks(7) == 8
    assert len(used) == 49
    assert len({*used}) == 1
    assert own_engine.runs == {}


def test_a_call_that_ends_before_its_clock_is_made_is_not_waited_for(engine, monkeypatch):
    monkeypatch.setattr(awaited_calls, "_MOMENT_NS", 0)
    goes_on = threading.Event()
    store, instance = open_store(engine, lambda n: n if n == 1 else goes_on.wait(20) and n + 1)
    waited, ask, keep_time = [], ParkedThread.ask, LoopClock.keep_time

    def asking(self, run, *args):
        has_ended = ask(self, run, *args)
        goes_on.set()
        wait_for(lambda: run.finished)
        return has_ended

    def keeping(self, timeout_ms):
        waited.append(True)
        return keep_time(self, timeout_ms)

    monkeypatch.setattr(ParkedThread, "ask", asking)

    async def calls():
        await instance.call_async("asks", 1)
        monkeypatch.setattr(LoopClock, "keep_time", keeping)
        return await instance.call_async("asks", 2)

    with store:
        assert asyncio.run(calls()) == 3
    assert waited == []


def test_awaited_calls_keep_no_store_alive(own_engine, moment):
    engine = own_engine
    gc.collect()
    gc.disable()
    try:
        store, instance = open_store(engine)

        async def calls(instance):
            return [await instance.call_async("asks", n) for n in range(3)]

        assert asyncio.run(calls(instance)) == [1, 2, 3]
        assert [thread._on_end for thread in engine.guest_threads.parked._idle] == [None]
        gone = weakref.ref(store)
        del store, instance
        wait_for(lambda: gone() is None)
    finally:
        gc.enable()
    wait_for(lambda: engine.live_memories == 0)


def test_a_loop_that_is_closed_while_a_guest_runs_ends_it(own_engine):
    engine = own_engine
    store, instance = open_store(engine, fuel=None, timeout_ms=None)
    loop = asyncio.new_event_loop()

    async def begun():
        await instance.call_async("loops", 1)
        task = asyncio.ensure_future(instance.call_async("loops", 0))
        await asyncio.sleep(0.005)
        return weakref.ref(task)

    loop.run_until_complete(begun())
    assert len(engine.runs) == 1
    loop.close()
    del loop
    gc.collect()
    wait_for(lambda: engine.runs == {})
    store.close()
    wait_for(lambda: engine.live_memories == 0)


def test_without_an_event_loop_of_asyncio_nothing_is_called(engine):
    store, instance = open_store(engine)
    with store:
        asyncio.run(instance.call_async("asks", 1))
        calls = store.total.host_calls
        with pytest.raises(RuntimeError, match="no asyncio event loop is running"):
            instance.call_async("asks", 1).send(None)
        assert store.total.host_calls == calls
        assert instance.asks(1) == 2
