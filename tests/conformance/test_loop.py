"""One event loop serves all threads that want a coroutine run, and is gone with its owner."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_airssys_wasm.conformance import inprocess
from pytest_airssys_wasm.conformance.inprocess import LoopThread


@pytest.fixture
def loop():
    return LoopThread()


def loop_threads():
    return [thread for thread in threading.enumerate() if thread.name == "airssys-wasm-loop"]


def test_coroutines_of_several_threads_wait_for_each_other_on_one_loop(loop):
    waiting = []

    async def meet():
        mine = asyncio.get_running_loop().create_future()
        waiting.append(mine)
        if len(waiting) == 4:
            for one in waiting:
                one.set_result(None)
        return await asyncio.wait_for(mine, 20)

    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(lambda _: loop.run(meet()), range(4))] == [None] * 4


def test_what_a_coroutine_raises_is_raised(loop):
    async def fail():
        raise KeyError(7)

    with pytest.raises(KeyError, match="7"):
        loop.run(fail())


def test_a_caller_that_waits_no_more_cancels_its_coroutine(loop, monkeypatch):
    begun, cancelled = threading.Event(), threading.Event()

    async def sleep():
        begun.set()
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    submit = asyncio.run_coroutine_threadsafe

    def interrupted(coroutine, running):
        future = submit(coroutine, running)

        def result():
            assert begun.wait(20)
            raise KeyboardInterrupt

        future.result = result
        return future

    monkeypatch.setattr(inprocess.asyncio, "run_coroutine_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.run(sleep())
    assert cancelled.wait(20)


def test_the_loop_ends_with_its_owner():
    owner = LoopThread()
    running = owner.run(_the_loop())
    (thread,) = [one for one in loop_threads() if one.ident == owner.run(_the_thread())]
    del owner
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()
    assert running.is_closed()


async def _the_loop():
    return asyncio.get_running_loop()


async def _the_thread():
    return threading.get_ident()
