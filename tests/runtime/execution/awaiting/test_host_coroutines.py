"""Coroutines that an event loop runs for the threads of guests, which are woken one after the other."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.execution.awaiting.host_coroutines import HostCoroutine
from pytest_airssys_wasm.runtime.execution.awaiting.loop_turn import LoopTurn, NextTurn
from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWaker, LoopWakers
from pytest_airssys_wasm.runtime.execution.awaiting.turnstile import Turnstile
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from support.pausing_guest import GUEST


class Sleeper:
    """A sleeper of a turnstile that notes when it is woken, or has no need to be woken."""

    def __init__(self, woken, number, needs_it=True):
        self.woken, self.number, self.needs_it = woken, number, needs_it

    def wake(self):
        if self.needs_it:
            self.woken.append(self.number)
        return self.needs_it


def test_a_turnstile_wakes_the_next_one_when_the_last_one_leaves():
    turnstile, woken = Turnstile(), []
    for number in range(3):
        turnstile.come(Sleeper(woken, number))
    assert woken == [0]
    turnstile.leave()
    assert woken == [0, 1]
    turnstile.leave()
    turnstile.leave()
    assert woken == [0, 1, 2]
    turnstile.come(Sleeper(woken, 3))
    assert woken == [0, 1, 2, 3]


def test_those_who_need_not_be_woken_hold_nobody_up():
    turnstile, woken = Turnstile(), []
    turnstile.come(Sleeper(woken, -1, needs_it=False))
    for number in range(5_000):
        turnstile.come(Sleeper(woken, number, needs_it=number in (0, 4_999)))
    turnstile.leave()
    assert woken == [0, 4_999]


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def on_thread(loop, work):
    """Have a thread do work while the loop runs, and return its result or its error."""
    found = []

    def run():
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 compared
            found.append(error)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    too_late = loop.call_later(20, loop.stop)
    loop.run_forever()
    too_late.cancel()
    assert found, "it waits for ever"
    thread.join(20)
    return found[0]


def test_a_coroutine_that_is_stopped_before_it_begins_is_never_begun(loop):
    begun = []

    async def serve():
        begun.append(True)

    def work():
        served = HostCoroutine(loop, LoopWakers().waker_of(loop), serve())
        served.stop()
        return served.result()

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # about a coroutine that nobody has awaited
        error = on_thread(loop, work)
        assert isinstance(error, asyncio.CancelledError)
        del error
        gc.collect()
    assert begun == []


def test_a_coroutine_that_is_stopped_is_cancelled_and_its_guest_goes_on_at_once(loop):
    begun, ended, told = threading.Event(), [], []
    waker = LoopWakers().waker_of(loop)

    async def serve():
        try:
            begun.set()
            await asyncio.sleep(3_600)
        finally:
            ended.append(True)
            await asyncio.sleep(0)  # it takes its time

    def work():
        first = HostCoroutine(loop, waker, serve())
        stopping = threading.Thread(target=lambda: (begun.wait(20), first.stop()))
        stopping.start()
        with pytest.raises(asyncio.CancelledError):
            first.result()
        stopping.join(20)
        # The one that was stopped holds nobody up.
        told.append(HostCoroutine(loop, waker, asyncio.sleep(0.01, "next")).result())
        return HostCoroutine(loop, waker, asyncio.sleep(0, "last")).result()

    assert on_thread(loop, work) == "last"
    assert told == ["next"]
    assert ended == [True]


def test_a_task_that_others_cancel_before_it_begins_is_one_that_was_cancelled(loop):
    waker = LoopWakers().waker_of(loop)

    def cancelling(loop, coroutine, **more):
        task = asyncio.Task(coroutine, loop=loop, **more)
        task.cancel()
        return task

    loop.set_task_factory(cancelling)
    assert isinstance(on_thread(loop, HostCoroutine(loop, waker, asyncio.sleep(0)).result), asyncio.CancelledError)


def test_what_a_task_factory_raises_is_raised_for_the_guest(loop):
    waker = LoopWakers().waker_of(loop)

    def failing(loop, coroutine, **more):
        raise ValueError("no task")

    loop.set_task_factory(failing)
    error = on_thread(loop, HostCoroutine(loop, waker, asyncio.sleep(0)).result)
    assert repr(error) == "ValueError('no task')"


def test_a_closed_loop_begins_nothing(loop):
    waker = LoopWakers().waker_of(loop)
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        HostCoroutine(loop, waker, asyncio.sleep(0)).result()


def test_the_waker_rings_once_for_all_that_come_before_the_loop_answers(loop, monkeypatch):
    rings, ring, waker = [], LoopWaker._ring, LoopWakers().waker_of(loop)

    def ringing(self):
        rings.append(True)
        ring(self)

    monkeypatch.setattr(LoopWaker, "_ring", ringing)
    served = [HostCoroutine(loop, waker, asyncio.sleep(0, number)) for number in range(20)]

    def work():
        results = [None] * 20

        def serve(number):
            results[number] = served[number].result()

        threads = [threading.Thread(target=serve, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return results

    # All come before the loop runs.
    gate, found = threading.Event(), []
    first = threading.Thread(target=lambda: (found.append(work()), loop.call_soon_threadsafe(loop.stop), gate.set()))
    first.start()
    while len(waker._due) < 20:
        gate.wait(0.001)
    loop.run_forever()
    first.join(20)
    assert found == [[*range(20)]]
    assert rings == [True]


def test_a_ring_that_fails_is_rung_again(loop, monkeypatch):
    from pytest_airssys_wasm.runtime.execution.awaiting import loop_waker

    waker, write = LoopWakers().waker_of(loop), loop_waker.system.eventfd_write

    def failing(*_):
        raise KeyboardInterrupt

    served = HostCoroutine(loop, waker, asyncio.sleep(0, 7))
    with monkeypatch.context() as patch:
        patch.setattr(loop_waker.system, "eventfd_write", failing)
        with pytest.raises(KeyboardInterrupt):
            served.result()
    assert loop_waker.system.eventfd_write is write
    assert on_thread(loop, HostCoroutine(loop, waker, asyncio.sleep(0, 8)).result) == 8


def test_engines_share_the_waker_of_a_loop():
    host, wakers = HostFunctions(), set()
    host.register("pause", lambda ms: 1)
    limits = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000)

    async def execute():
        for _ in range(2):
            with WasmEngine() as engine:
                await engine.execute_async(engine.load(GUEST), "add", 1, 2, limits=limits, host=host)
                wakers.add(engine.wakers.waker_of(asyncio.get_running_loop()))

    asyncio.run(execute())
    assert len(wakers) == 1


def test_the_turn_of_a_loop_is_over_after_its_time_and_begins_anew_with_each_iteration(monkeypatch):
    from pytest_airssys_wasm.runtime.execution.awaiting import loop_turn

    now = [0.0]
    monkeypatch.setattr(loop_turn, "monotonic", lambda: now[0])

    async def ask():
        turn, loop, found = LoopTurn(), asyncio.get_running_loop(), []
        for _ in range(2):
            found.append(turn.is_over(loop))
            now[0] += 0.0005
            found.append(turn.is_over(loop))
            now[0] += 0.001
            found.append(turn.is_over(loop))
            await NextTurn()
        return found

    assert asyncio.run(ask()) == [False, False, True] * 2
