"""Host functions that are coroutines: a guest waits for them, the loop does not, and what ends the guest ends them."""

from __future__ import annotations

import asyncio
import time

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.capi.guard import GuardRun
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout, HostFunctionError
from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import OnLoop, wait_for
from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWakers
from pytest_airssys_wasm.runtime.execution.host_call_context import current_execution
from pytest_airssys_wasm.runtime.execution.run import Run, Stop
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from support.pausing_guest import GUEST, PLENTY, Pauses, all_guests_ended, with_heartbeat


@pytest.fixture
def host():
    return Pauses()


@pytest.fixture
def guest(engine):
    return engine.load(GUEST)


def test_a_guest_waits_for_a_coroutine_and_the_loop_does_not(engine, guest, host):
    execution = engine.execute_async(guest, "pauses", 5, 20, limits=PLENTY, host=host.functions)
    (done,), beats = asyncio.run(with_heartbeat(execution))
    assert done.value == 5
    assert (host.begun, host.ended) == (5, 5)
    assert len(beats) > 3  # where the loop is held, one before and one after


def test_many_guests_wait_at_the_same_time(engine, guest, host):
    async def together():
        calls = (engine.execute_async(guest, "pauses", 10, 50, limits=PLENTY, host=host.functions) for _ in range(50))
        return await asyncio.gather(*calls)

    started = time.monotonic()
    assert [done.value for done in asyncio.run(together())] == [10] * 50
    assert time.monotonic() - started < 12.5  # one after the other it would be 25 s


def test_a_coroutine_is_cancelled_at_the_guests_deadline(engine, guest, host):
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50)

    async def late():
        with pytest.raises(ExecutionTimeout):
            await engine.execute_async(guest, "pauses", 1, 3_600_000, limits=limits, host=host.functions)
        await host.until_cancelled()

    asyncio.run(late())
    assert all_guests_ended(engine)


def test_a_coroutine_is_cancelled_with_the_task_that_waits_for_the_guest(engine, guest, host):
    async def cancelled():
        task = asyncio.create_task(
            engine.execute_async(guest, "pauses", 1, 3_600_000, limits=PLENTY, host=host.functions)
        )
        while not host.begun:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await host.until_cancelled()

    asyncio.run(cancelled())
    assert all_guests_ended(engine)


def test_what_a_coroutine_raises_is_a_host_error_with_its_cause(engine, guest):
    host = HostFunctions()

    @host.register("pause")
    async def pause(ms):
        raise KeyError(ms)

    for execute in (engine.execute, lambda *args, **more: asyncio.run(engine.execute_async(*args, **more))):
        with pytest.raises(HostFunctionError) as caught:
            execute(guest, "pauses", 1, 7, limits=PLENTY, host=host)
        assert repr(caught.value.__cause__) == "KeyError(7)"


def test_a_coroutine_runs_on_the_loop_that_waits_and_knows_whose_it_is(engine, guest):
    host, seen = HostFunctions(), []

    @host.register("pause")
    async def pause(ms):
        seen.append((asyncio.get_running_loop(), current_execution().remaining_ms))
        return 1

    async def waiting():
        await engine.execute_async(guest, "pauses", 1, 0, limits=PLENTY, host=host)
        return asyncio.get_running_loop()

    loop = asyncio.run(waiting())
    ((on, left_ms),) = seen
    assert on is loop
    assert 0 < left_ms < 60_000


@pytest.fixture(params=["the loop that waits", "a loop of its own"])
def serve(request):
    """Has a run wait for a coroutine as on a guest's thread: what that raised, or its value."""

    def ended(coroutine, run):
        try:
            return wait_for(coroutine, run)
        except BaseException as error:  # noqa: BLE001 a cancellation is none
            return error

    async def on_the_loop(coroutine, run):
        OnLoop(LoopWakers()).adopt(run)
        return await asyncio.to_thread(ended, coroutine, run)

    if request.param == "a loop of its own":
        return ended
    return lambda coroutine, run: asyncio.run(on_the_loop(coroutine, run))


def test_a_run_that_was_stopped_before_waits_for_nothing(serve):
    run = Run(PLENTY, None, GuardRun())
    run.stop = Stop.TIMEOUT
    assert isinstance(serve(asyncio.sleep(3_600), run), asyncio.CancelledError)


def test_when_its_coroutine_is_through_nothing_can_be_cancelled_any_more(serve):
    run = Run(PLENTY, None, GuardRun())
    stops = []

    async def keep():
        while run.stop_host is None:
            await asyncio.sleep(0)
        stops.append(run.stop_host)

    assert serve(keep(), run) is None
    assert run.stop_host is None
    stops[0]()  # by one who looked in the moment before


def test_a_coroutine_that_cancels_itself_is_one_that_was_cancelled(serve):
    async def give_up():
        raise asyncio.CancelledError

    assert isinstance(serve(give_up(), Run(PLENTY, None, GuardRun())), asyncio.CancelledError)


def test_without_a_loop_a_coroutine_has_one_of_its_own(engine, guest, host):
    assert engine.execute(guest, "pauses", 3, 1, limits=PLENTY, host=host.functions).value == 3
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50)
    with pytest.raises(ExecutionTimeout):
        engine.execute(guest, "pauses", 1, 3_600_000, limits=limits, host=host.functions)
    asyncio.run(host.until_cancelled())
