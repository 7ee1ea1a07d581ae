"""The future that wakes its task in the turn in which it is resolved."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from pytest_airssys_wasm.runtime.execution.awaiting.immediate_future import ImmediateFuture

SEEN: contextvars.ContextVar[str] = contextvars.ContextVar("SEEN", default="nothing")


async def waiting(future, told):
    SEEN.set("the task's own")
    try:
        await future
    except asyncio.CancelledError:
        told.append("cancelled")
        raise
    told.append(SEEN.get())


async def begun(told):
    future = ImmediateFuture(asyncio.get_running_loop())
    task = asyncio.create_task(waiting(future, told))
    await asyncio.sleep(0)
    return future, task


def test_its_task_goes_on_before_what_else_the_turn_holds():
    told = []

    async def resolved():
        loop = asyncio.get_running_loop()
        future, task = await begun(told)
        loop.call_soon(future.resolve)
        loop.call_soon(told.append, "the rest of the turn")
        await task

    asyncio.run(resolved())
    assert told == ["the task's own", "the rest of the turn"]


def test_a_task_that_comes_late_does_not_wait():
    async def resolved_before():
        future = ImmediateFuture(asyncio.get_running_loop())
        future.resolve()
        assert future.done()
        await future

    asyncio.run(resolved_before())


def test_a_cancelled_task_is_told_so_and_later_resolving_does_nothing():
    told = []

    async def cancelled():
        future, task = await begun(told)
        assert task.cancel()
        future.resolve()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not future.cancel()

    asyncio.run(cancelled())
    assert told == ["cancelled"]


def test_a_task_may_be_cancelled_by_a_time_limit():
    told = []

    async def limited():
        future = ImmediateFuture(asyncio.get_running_loop())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(waiting(future, told), 0.01)

    asyncio.run(limited())
    assert told == ["cancelled"]


def test_resolving_twice_wakes_once():
    told = []

    async def twice():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _loop, context: complaints.append(context))
        future, task = await begun(told)
        loop.call_soon(future.resolve)
        loop.call_soon(future.resolve)
        await task
        return complaints

    assert asyncio.run(twice()) == []
    assert told == ["the task's own"]


def test_a_cancelled_task_is_told_why():
    async def heard(why):
        future = ImmediateFuture(asyncio.get_running_loop())
        with pytest.raises(asyncio.CancelledError) as caught:
            await future
        why.append(caught.value.args)

    async def told_why(*why):
        found = []
        task = asyncio.create_task(heard(found))
        await asyncio.sleep(0)
        task.cancel(*why)
        await task
        return found

    assert asyncio.run(told_why("had enough")) == [("had enough",)]
    assert asyncio.run(told_why()) == [()]
