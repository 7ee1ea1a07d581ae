"""The waker by which guests' threads wake an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import threading
import weakref

import pytest

from pytest_airssys_wasm.runtime.execution.awaiting.immediate_future import ImmediateFuture
from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWaker, LoopWakers
from support.pausing_guest import GUEST, PLENTY, Pauses


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def uncollected():
    """No garbage is collected meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_all_that_is_rung_for_from_other_threads_is_resolved(loop):
    async def rung():
        waker = LoopWaker(loop)
        futures = [ImmediateFuture(loop) for _ in range(50)]
        threads = [threading.Thread(target=waker.wake, args=(weakref.ref(future),)) for future in futures]
        for thread in threads:
            thread.start()
        for future in futures:
            await future
        for thread in threads:
            thread.join()

    loop.run_until_complete(asyncio.wait_for(rung(), 20))


def test_ringing_for_nobody_and_on_a_closed_loop_does_nothing(loop):
    told = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    waker, future = LoopWaker(loop), ImmediateFuture(loop)
    waker.wake(weakref.ref(ImmediateFuture(loop)))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    waker.wake(weakref.ref(future))
    assert told == []
    assert not future.done()


def test_who_rings_while_the_loop_answers_is_answered_in_the_next_turn(loop):
    told = []

    async def rung():
        waker, first, second = LoopWaker(loop), ImmediateFuture(loop), ImmediateFuture(loop)

        async def ring_again():
            await first
            told.append("first")
            loop.call_soon(told.append, "another task")
            waker.wake(weakref.ref(second))

        ringing = asyncio.create_task(ring_again())
        await asyncio.sleep(0)
        waker.wake(weakref.ref(first))
        await second
        told.append("second")
        await ringing

    loop.run_until_complete(asyncio.wait_for(rung(), 20))
    assert told == ["first", "another task", "second"]


def test_a_task_that_runs_the_loop_within_itself_loses_no_bell(loop):
    waker = LoopWaker(loop)
    outer, inner, after = (ImmediateFuture(loop) for _ in range(3))
    told = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))

    class Nested:
        def resolve(self):
            waker.wake(weakref.ref(inner))
            waker._answer(set())  # as the loop does that is run in here
            assert inner.done()
            loop.call_soon(outer.resolve)

    nested = Nested()

    async def rung():
        waker.wake(weakref.ref(nested))
        await outer
        waker.wake(weakref.ref(after))
        await after

    loop.run_until_complete(asyncio.wait_for(rung(), 20))
    assert told == []


def test_a_task_that_runs_the_loop_within_itself_may_leave_nothing_to_be_woken(loop):
    waker = LoopWaker(loop)
    outer, inner = ImmediateFuture(loop), ImmediateFuture(loop)
    told = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))

    class Nested:
        def resolve(self):
            waker._answer(set())  # as the loop does that is run in here
            loop.call_soon(outer.resolve)

    nested = Nested()

    async def rung():
        waker.wake(weakref.ref(nested))
        waker.wake(weakref.ref(inner))
        await outer
        assert inner.done()

    loop.run_until_complete(asyncio.wait_for(rung(), 20))
    assert told == []


def test_a_task_that_ends_the_loop_when_it_is_woken_leaves_the_others_to_be_woken(loop):
    waker = LoopWaker(loop)
    futures = [ImmediateFuture(loop) for _ in range(3)]

    async def leave():
        await futures[0]
        raise SystemExit

    async def wait(future):
        await future

    leaving, *waiting = [loop.create_task(leave()), *(loop.create_task(wait(future)) for future in futures[1:])]
    loop.run_until_complete(asyncio.sleep(0))
    for future in futures:
        waker.wake(weakref.ref(future))
    with pytest.raises(SystemExit):
        loop.run_until_complete(leaving)
    loop.run_until_complete(asyncio.wait_for(asyncio.gather(*waiting), 20))


def test_a_bell_keeps_nothing_of_the_task_that_made_it(loop):
    class ServedStore: ...

    name = contextvars.ContextVar("name")

    async def within():
        kept = ServedStore()
        name.set(kept)
        LoopWaker(loop)
        return weakref.ref(kept)

    kept = loop.run_until_complete(loop.create_task(within()))
    gc.collect()
    assert kept() is None


def test_the_stores_of_an_engine_share_the_bell_of_their_loop(uncollected, engine):
    guest, host = engine.load(GUEST), Pauses().functions

    async def opened():
        await engine.execute_async(guest, "add", 1, 2, limits=PLENTY, host=host)
        before = descriptors()
        for _ in range(20):
            await engine.execute_async(guest, "add", 1, 2, limits=PLENTY, host=host)
        return descriptors() - before

    assert asyncio.run(opened()) == 0


def test_closed_loops_give_their_descriptors_back_before_they_are_collected(uncollected):
    wakers, loops = LoopWakers(), []

    async def ask():
        loops.append(asyncio.get_running_loop())
        wakers.waker_of(loops[-1])
        return descriptors()

    first, *_, last = [asyncio.run(ask()) for _ in range(20)]
    assert last <= first + 1


def test_closed_stores_hold_no_descriptor_of_their_loop(uncollected, engine):
    guest, host = engine.load(GUEST), Pauses().functions

    async def execute():
        await engine.execute_async(guest, "add", 1, 2, limits=PLENTY, host=host)
        return descriptors()

    first, *_, last = [asyncio.run(execute()) for _ in range(20)]
    assert last <= first + 1


def test_loops_in_different_threads_have_bells_of_their_own():
    wakers, both = LoopWakers(), threading.Barrier(2)
    found = []

    async def ask():
        await asyncio.sleep(0)
        waker = wakers.waker_of(asyncio.get_running_loop())
        both.wait(20)
        found.append(waker)
        assert wakers.waker_of(asyncio.get_running_loop()) is waker

    threads = [threading.Thread(target=asyncio.run, args=(ask(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({id(waker) for waker in found}) == 2
