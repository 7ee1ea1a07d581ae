"""Awaited calls on a parked thread keep the promises of awaited executions, and give the same as calls on the general
way.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
import weakref

import pytest

from pytest_airssys_wasm import (
    ExecutionTimeout,
    HostFunctionError,
    StoreUnusable,
    WasmEngine,
    current_execution,
)
from pytest_airssys_wasm.runtime.capi.guard import guard
from pytest_airssys_wasm.runtime.execution.awaiting import loop_turn
from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import LoopClock
from pytest_airssys_wasm.runtime.execution.parked_threads import ParkedThread
from pytest_airssys_wasm.runtime.guest import awaited_calls
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from runtime.guest.test_direct_calls import CALLS, WIT, cost, limits, outcome
from runtime.guest.test_parked_calls import SLOW, open_store
from support.bombs import wait_for

HOUR_NS = 3_600 * 10**9


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


@pytest.fixture
def asked(monkeypatch):
    """Whether each call on a parked thread has ended before it was left to its thread."""
    made, ask = [], ParkedThread.ask

    def asking(self, *args):
        made.append(ask(self, *args))
        return made[-1]

    monkeypatch.setattr(ParkedThread, "ask", asking)
    return made


@pytest.fixture(params=["at once", "later"])
def moment(request, monkeypatch):
    """The time that the loop waits in the guard: as long as it takes, or not at all."""
    monkeypatch.setattr(awaited_calls, "_MOMENT_NS", HOUR_NS if request.param == "at once" else 0)
    return request.param


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def ask_in_vain(coroutine):
    """Run a coroutine that raises, and return its error."""

    async def caught():
        try:
            return await coroutine
        except Exception as error:  # noqa: BLE001 compared
            return error

    return caught()


@pytest.mark.parametrize(
    ("source", "name", "arguments"),
    [pytest.param(*call, marks=pytest.mark.slow) if call[1] in SLOW else call for call in CALLS],
    ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "",
)
@pytest.mark.parametrize("given", [{}, {"transfer": 100}], ids=["", "little transfer"])
def test_an_awaited_call_ends_as_one_on_the_general_way(engine, loop, moment, asked, source, name, arguments, given):
    found = {False: [], True: []}
    for args in arguments:
        for is_parked, outcomes in found.items():
            with LimitedStore(engine, limits(**given)) as store:
                if not is_parked:
                    store.awaited_call = lambda *_: None
                instance = store.instantiate(engine.load(source))
                for each in (arguments[0], args):

                    def call(each=each, instance=instance):
                        return loop.run_until_complete(instance.call_async(name, *each))

                    outcomes.append(outcome(call, lambda _, store=store: store.usage))
                outcomes.append(cost(store.total))
    assert found[True] == found[False]
    assert asked or (name in ("narrow",) or given.get("transfer") == 100 or source == WIT)


@pytest.mark.parametrize("name", ["asks", "tells", "bytes"])
def test_host_calls_of_awaited_calls_cost_what_they_cost_on_the_general_way(engine, loop, moment, asked, name):
    seen, found = [], []
    arguments = {"asks": [(1,), (2,), ("x",), (-1,)], "tells": [(0,), (5,), (70_000,)], "bytes": [(b"ab",), (b"",)]}[
        name
    ]

    def ask(n):
        seen.append((n, current_execution().remaining_fuel))
        current_execution().deny("moon")
        return n + 1

    for is_parked in (False, True):
        store, instance = open_store(engine, ask, seen.append)
        with store:
            if not is_parked:
                store.awaited_call = lambda *_: None
            for args in (arguments[0], *arguments):

                def call(args=args, instance=instance):
                    return loop.run_until_complete(instance.call_async(name, *args))

                found.append(
                    (is_parked, outcome(call, lambda _, store=store: store.usage), store.usage.denied_capabilities)
                )
            found.append((is_parked, cost(store.total)))
        found.append((is_parked, [*seen]))
        seen.clear()
    assert [each[1:] for each in found if each[0]] == [each[1:] for each in found if not each[0]]
    assert asked


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


def test_an_endless_guest_ends_at_its_deadline(engine, asked):
    store, instance = open_store(engine, fuel=None, timeout_ms=200)

    async def calls():
        await instance.call_async("loops", 1)
        await instance.call_async("loops", 0)

    with store:
        with pytest.raises(ExecutionTimeout) as caught:
            asyncio.run(calls())
        assert caught.value.usage.wall_ms >= 200
        assert caught.value.usage.host_calls == 1
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


def test_what_a_host_function_raises_ends_the_call_and_is_the_cause(engine, moment, asked):
    def ask(n):
        if n == 7:
            raise ValueError("seven")
        return n

    store, instance = open_store(engine, ask)

    async def calls():
        await instance.call_async("asks", 1)
        return await ask_in_vain(instance.call_async("asks", 7))

    with store:
        error = asyncio.run(calls())
    assert isinstance(error, HostFunctionError)
    assert isinstance(error.__cause__, ValueError)
    assert error.usage.host_calls == 1
    assert error.call.export == "asks"
    assert len(asked) == 1


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


def test_a_blocked_guest_is_abandoned_at_its_deadline_and_leaves_nothing(own_engine, asked):
    engine, goes_on, is_in = own_engine, threading.Event(), threading.Event()

    def ask(n):
        if n:
            is_in.set()
            goes_on.wait(60)
        return n

    _, instance = open_store(engine, ask, fuel=None, timeout_ms=200)
    before = {*threading.enumerate()}

    async def calls():
        await instance.call_async("asks", 0)
        await instance.call_async("asks", 1)

    with pytest.raises(ExecutionTimeout):
        asyncio.run(calls())
    assert is_in.is_set()
    assert len(engine.abandoned_guests) == 1
    (thread,) = {engine.runs[each.ident].thread for each in threading.enumerate() if each.ident in engine.runs}
    with pytest.raises(StoreUnusable, match="abandoned"):
        instance.asks(0)
    goes_on.set()
    wait_for(lambda: len(engine.abandoned_guests) == 0)
    wait_for(lambda: engine.live_memories == 0)
    wait_for(lambda: thread not in {each.ident for each in threading.enumerate() if each not in before})
    assert engine.runs == {}
    assert engine.guest_threads.parked._idle == []
    assert asked == [False]


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


@pytest.mark.parametrize("where", ["guest", "host"])
def test_what_a_signal_handler_raises_while_the_loop_waits_ends_the_guest(own_engine, monkeypatch, where):
    monkeypatch.setattr(awaited_calls, "_MOMENT_NS", HOUR_NS)
    engine, goes_on, is_armed, runs = own_engine, threading.Event(), threading.Event(), []
    asking_thread = ParkedThread.ask

    def ask(n):
        if is_armed.is_set():
            signal.setitimer(signal.ITIMER_REAL, 0.02)
        return goes_on.wait(60) and n if n == 5 else n

    store, instance = open_store(engine, ask, fuel=None, timeout_ms=None)

    def asking(self, run, *args):
        runs.append(run)
        return asking_thread(self, run, *args)

    monkeypatch.setattr(ParkedThread, "ask", asking)

    def handle(*_):
        raise KeyboardInterrupt

    async def calls():
        await instance.call_async("asks", 1)
        await instance.call_async("loops", 1)
        signal.signal(signal.SIGALRM, handle)
        is_armed.set()
        await (instance.call_async("loops", 0) if where == "guest" else instance.call_async("asks", 5))

    before = signal.getsignal(signal.SIGALRM)
    try:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(calls())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    (run,) = runs
    assert run.finished or run.abandoned
    if where == "host":
        assert not store.is_usable
    goes_on.set()
    wait_for(lambda: len(engine.abandoned_guests) == 0)
    store.close()
    wait_for(lambda: engine.live_memories == 0)
    assert engine.runs == {}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("is_awaited", [False, True], ids=["called", "awaited"])
def test_what_a_signal_handler_raises_beside_the_wait_ends_the_call(own_engine, monkeypatch, when, is_awaited):
    monkeypatch.setattr(awaited_calls, "_MOMENT_NS", HOUR_NS)
    engine, name = own_engine, "parked_ask" if is_awaited else "parked_call"
    store, instance = open_store(engine)
    wait = getattr(guard(), name)

    def interrupted(*args):
        if when == "after":
            wait(*args)
        raise KeyboardInterrupt

    async def calls():
        await instance.call_async("asks", 1)
        await instance.call_async("asks", 1)

    instance.asks(1)
    asyncio.run(calls())
    with monkeypatch.context() as patch:
        patch.setattr(guard(), name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(instance.call_async("asks", 2)) if is_awaited else instance.asks(2)
    assert engine.runs == {}
    assert store.is_usable
    assert [instance.asks(n) for n in range(3)] == [1, 2, 3]
    assert len(engine.guest_threads.parked._idle) == 1
    store.close()


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


def test_a_forked_process_awaits_calls_on_parked_threads_of_its_own(own_engine):
    store, instance = open_store(own_engine)

    async def calls():
        return [await instance.call_async("asks", n) for n in range(3)]

    assert asyncio.run(calls()) == [1, 2, 3]
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends it if it waits for a thread that it has not got
        os._exit(7 if asyncio.run(calls()) == [1, 2, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert asyncio.run(calls()) == [1, 2, 3]
    store.close()


def test_without_an_event_loop_of_asyncio_nothing_is_called(engine):
    store, instance = open_store(engine)
    with store:
        asyncio.run(instance.call_async("asks", 1))
        calls = store.total.host_calls
        with pytest.raises(RuntimeError, match="no asyncio event loop is running"):
            instance.call_async("asks", 1).send(None)
        assert store.total.host_calls == calls
        assert instance.asks(1) == 2
