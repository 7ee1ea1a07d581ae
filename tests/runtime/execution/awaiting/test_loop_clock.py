"""The clock of an execution that an event loop waits for, in the moments when two things happen at once."""

from __future__ import annotations

import asyncio
import time

import pytest

from pytest_airssys_wasm.runtime.capi.guard import GuardRun
from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import OnLoop
from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWakers
from pytest_airssys_wasm.runtime.execution.run import Run, Stop
from support.pausing_guest import PLENTY


@pytest.fixture
def clock():
    """Makes a clock for a run, on the running loop."""
    return lambda: OnLoop(LoopWakers()).clock(Run(PLENTY, None, GuardRun()), lambda: None, None)


def test_a_wake_up_that_comes_too_late_disturbs_nobody(clock):
    complaints = []

    async def woken_twice():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, told: complaints.append(told))
        wake = (kept := clock())._run.wake_loop
        wake()
        wake()
        await asyncio.sleep(0.01)
        return kept

    asyncio.run(woken_twice())
    assert complaints == []


def test_a_deadline_in_the_moment_of_a_cancellation_disturbs_nobody(clock):
    complaints = []

    async def cancelled_at_the_deadline():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, told: complaints.append(told))
        kept = clock()
        kept._run.in_host = True  # nothing could end it: it is given up at once
        task = asyncio.create_task(kept.keep_time(1))
        await asyncio.sleep(0)
        time.sleep(0.01)
        loop.call_soon(task.cancel)  # runs before the timer, in the same turn
        await asyncio.wait([task])

    asyncio.run(cancelled_at_the_deadline())
    assert complaints == []


@pytest.mark.parametrize(("before", "after"), [(None, Stop.OUTPUT), (Stop.TIMEOUT, Stop.TIMEOUT)])
def test_output_that_is_read_when_the_guest_is_through_counts_unless_it_was_late(before, after):
    class Over:
        descriptors = ()
        is_over = True

        def drain(self): ...

    async def through():
        run = Run(PLENTY, None, GuardRun())
        clock = OnLoop(LoopWakers()).clock(run, lambda: None, Over())
        if before:
            run.stop = before
        run.finish()
        run.wake_loop()
        await clock.keep_time(60_000)
        return run.stop

    assert asyncio.run(through()) is after


def test_a_guest_may_come_back_when_its_loop_is_closed(clock):
    async def wake():
        return clock()._run.wake_loop

    asyncio.run(wake())()
