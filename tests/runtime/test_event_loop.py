"""Executions that an event loop waits for: the loop goes on, and cancelling ends the guest."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import anyio
import pytest

from pytest_airssys_wasm.runtime.claim import StoreUnusable
from pytest_airssys_wasm.runtime.current import current_execution
from pytest_airssys_wasm.runtime.errors import (
    ExecutionTimeout,
    HostFunctionError,
    OutOfFuel,
    ResourceLimitExceeded,
)
from pytest_airssys_wasm.runtime.event_loop import LoopClock, wait_for
from pytest_airssys_wasm.runtime.host import HostFunctions
from pytest_airssys_wasm.runtime.limits import ResourceLimits
from pytest_airssys_wasm.runtime.memory import MemoryAccount
from pytest_airssys_wasm.runtime.run import Run, Stop
from pytest_airssys_wasm.runtime.store import LimitedStore
from pytest_airssys_wasm.runtime.wasi import Wasi

PLENTY = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=60_000)
GUEST = """(component
  (import "pause" (func $pause (param "ms" u32) (result u32)))
  (core func $lowered (canon lower (func $pause)))
  (core module $m
    (import "host" "pause" (func $pause (param i32) (result i32)))
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "spin") (loop br 0))
    (func (export "pauses") (param $times i32) (param $ms i32) (result i32)
      (local $sum i32)
      (loop
        (local.set $sum (i32.add (local.get $sum) (call $pause (local.get $ms))))
        (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
      local.get $sum))
  (core instance $i (instantiate $m (with "host" (instance (export "pause" (func $lowered))))))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "pauses") (param "times" u32) (param "ms" u32) (result u32) (canon lift (core func $i "pauses"))))"""


FLOOD = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
  (func $say (export "say") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func (export "flood") (loop call $say br 0)))"""


SLEEPER = r"""(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\01\00\00\00\00\00\00\00\00\94\35\77\00\00\00\00") ;; two seconds
  (func (export "sleep") (drop (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200)))))"""


class Pauses:
    """A host with the import `pause` as a coroutine, and what became of its calls."""

    def __init__(self):
        self.begun = self.ended = self.cancelled = 0
        self.functions = HostFunctions()
        self.functions.register("pause", self.pause)

    async def pause(self, ms):
        self.begun += 1
        try:
            await asyncio.sleep(ms / 1_000)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1
        return 1

    async def until_cancelled(self):
        """That a call was cancelled, given the time that a busy machine takes."""
        until = time.monotonic() + 20
        while not self.cancelled:
            assert time.monotonic() < until
            await asyncio.sleep(0.001)


@pytest.fixture
def host():
    return Pauses()


@pytest.fixture
def guest(engine):
    return engine.load(GUEST)


def all_guests_ended(engine):
    """Whether they do, given the time that a busy machine takes."""
    until = time.monotonic() + 20
    while (engine.current or engine.live_memories) and time.monotonic() < until:
        time.sleep(0.01)
    return not engine.current and not engine.live_memories


async def heartbeat(beats):
    while True:
        beats.append(time.monotonic())
        await asyncio.sleep(0.001)


async def with_heartbeat(awaitable):
    """What the awaitable gives or raises, and how often another task ran meanwhile."""
    beats = []
    beating = asyncio.create_task(heartbeat(beats))
    await asyncio.sleep(0)
    try:
        return await asyncio.gather(awaitable, return_exceptions=True), beats
    finally:
        beating.cancel()


def test_a_value_and_its_usage_come_back(engine, guest, host):
    done = asyncio.run(engine.execute_async(guest, "add", 1, 2, limits=PLENTY, host=host.functions))
    plain = engine.execute(guest, "add", 1, 2, limits=PLENTY, host=host.functions)
    assert done.value == plain.value == 3
    assert done.usage.fuel == plain.usage.fuel


def test_instances_are_called_one_after_the_other(engine, guest, host):
    async def calls():
        with LimitedStore(engine, PLENTY, host=host.functions) as store:
            instance = await store.instantiate_async(guest)
            return [await instance.call_async("add", n, n) for n in range(3)], instance.add(5, 5)

    assert asyncio.run(calls()) == ([0, 2, 4], 10)


def test_an_endless_guest_is_stopped_while_the_loop_goes_on(engine, guest, host):
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=200)
    (error,), beats = asyncio.run(
        with_heartbeat(engine.execute_async(guest, "spin", limits=limits, host=host.functions))
    )
    assert isinstance(error, ExecutionTimeout)
    assert 200 <= error.usage.wall_ms < 5_000
    assert len(beats) > 10


def test_fuel_runs_out_as_it_does_without_a_loop(engine, guest, host):
    limits = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=60_000)
    with pytest.raises(OutOfFuel) as caught:
        asyncio.run(engine.execute_async(guest, "spin", limits=limits, host=host.functions))
    assert caught.value.usage.fuel.consumed == 10_000


def test_a_cancelled_task_ends_its_guest_at_once(engine, guest, host):
    async def cancelled():
        task = asyncio.create_task(engine.execute_async(guest, "spin", limits=PLENTY, host=host.functions))
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    started = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert time.monotonic() - started < 10
    assert all_guests_ended(engine)


def test_a_time_limit_of_the_callers_ends_the_guest(engine, guest, host):
    async def limited():
        await asyncio.wait_for(engine.execute_async(guest, "spin", limits=PLENTY, host=host.functions), 0.05)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(limited())
    assert all_guests_ended(engine)


@pytest.mark.parametrize("call", [("spin",), ("pauses", 1, 60_000)])
def test_a_time_limit_of_anyio_ends_the_guest(engine, guest, host, call):
    async def impatient():
        with anyio.move_on_after(0.05) as scope:
            await engine.execute_async(guest, *call, limits=PLENTY, host=host.functions)
        assert scope.cancelled_caught
        return "went on"

    assert anyio.run(impatient, backend="asyncio") == "went on"


def test_a_guest_waits_for_a_coroutine_and_the_loop_does_not(engine, guest, host):
    execution = engine.execute_async(guest, "pauses", 5, 20, limits=PLENTY, host=host.functions)
    (done,), beats = asyncio.run(with_heartbeat(execution))
    assert done.value == 5
    assert (host.begun, host.ended) == (5, 5)
    assert len(beats) > 10


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
        run.loop = asyncio.get_running_loop()
        return await asyncio.to_thread(ended, coroutine, run)

    if request.param == "a loop of its own":
        return ended
    return lambda coroutine, run: asyncio.run(on_the_loop(coroutine, run))


def test_a_run_that_was_stopped_before_waits_for_nothing(serve):
    run = Run(PLENTY, None, MemoryAccount(0))
    run.stop = Stop.TIMEOUT
    assert isinstance(serve(asyncio.sleep(3_600), run), asyncio.CancelledError)


def test_when_its_coroutine_is_through_nothing_can_be_cancelled_any_more(serve):
    run = Run(PLENTY, None, MemoryAccount(0))
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

    assert isinstance(serve(give_up(), Run(PLENTY, None, MemoryAccount(0))), asyncio.CancelledError)


def test_without_a_loop_a_coroutine_has_one_of_its_own(engine, guest, host):
    assert engine.execute(guest, "pauses", 3, 1, limits=PLENTY, host=host.functions).value == 3
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50)
    with pytest.raises(ExecutionTimeout):
        engine.execute(guest, "pauses", 1, 3_600_000, limits=limits, host=host.functions)
    asyncio.run(host.until_cancelled())


def test_a_guest_blocked_in_the_host_is_given_up_while_the_loop_goes_on(engine, guest):
    host = HostFunctions()
    host.register("pause", lambda ms: time.sleep(ms / 1_000) or 1)
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50)
    execution = engine.execute_async(guest, "pauses", 1, 2_000, limits=limits, host=host)
    started = time.monotonic()
    (error,), _ = asyncio.run(with_heartbeat(execution))
    assert isinstance(error, ExecutionTimeout)
    assert time.monotonic() - started < 1.5


@pytest.fixture
def clock():
    """Makes a clock for a run, on the running loop."""
    return lambda: LoopClock(Run(PLENTY, None, MemoryAccount(0)), lambda: None, None)


def test_a_wake_up_that_comes_too_late_disturbs_nobody(clock):
    complaints = []

    async def woken_twice():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, told: complaints.append(told))
        wake = (kept := clock()).wake
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
        run = Run(PLENTY, None, MemoryAccount(0))
        clock = LoopClock(run, lambda: None, Over())
        run.stop, run.wake = before, clock.wake
        run.finish()
        await clock.keep_time(60_000)
        return run.stop

    assert asyncio.run(through()) is after


def test_a_guest_may_come_back_when_its_loop_is_closed(clock):
    async def wake():
        return clock().wake

    asyncio.run(wake())()


def test_for_a_guest_blocked_in_the_host_there_is_no_grace(engine, guest):
    host = HostFunctions()
    host.register("pause", lambda ms: time.sleep(ms / 1_000) or 1)
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=30)

    async def late_ms():
        with pytest.raises(ExecutionTimeout) as caught:
            await engine.execute_async(guest, "pauses", 1, 200, limits=limits, host=host)
        return caught.value.usage.wall_ms - 30

    async def several():
        return [await late_ms() for _ in range(10)]

    assert min(asyncio.run(several())) < 6


def test_a_guest_asleep_in_wasi_is_given_up_while_the_loop_goes_on(engine):
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50)
    execution = engine.execute_async(engine.load(SLEEPER), "sleep", limits=limits, wasi=Wasi())
    (error,), _ = asyncio.run(with_heartbeat(execution))
    assert isinstance(error, ExecutionTimeout)
    assert error.usage.wall_ms < 1_500


def test_cancelling_a_guest_that_is_asleep_in_wasi_holds_the_loop_for_a_moment_only(engine):
    guest = engine.load(SLEEPER)

    async def held():
        task = asyncio.create_task(engine.execute_async(guest, "sleep", limits=PLENTY, wasi=Wasi()))
        await asyncio.sleep(0.02)
        task.cancel()
        began = time.monotonic()
        await asyncio.sleep(0)
        return time.monotonic() - began

    async def several():
        return [await held() for _ in range(8)]

    assert min(asyncio.run(several())) < 0.04


def test_output_is_read_and_bounded_while_the_loop_goes_on(engine):
    guest = engine.load(FLOOD)
    said = asyncio.run(engine.execute_async(guest, "say", limits=PLENTY, wasi=Wasi()))
    assert said.stdout == b"hello\n"
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=60_000, output=100_000)
    with pytest.raises(ResourceLimitExceeded, match="output"):
        asyncio.run(engine.execute_async(guest, "flood", limits=limits, wasi=Wasi()))


def test_a_store_whose_output_ran_over_is_not_held_until_its_deadline(engine):
    guest = engine.load(FLOOD)
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=60_000, output=1_000)

    async def flooded():
        store = LimitedStore(engine, limits, wasi=Wasi())
        with pytest.raises(ResourceLimitExceeded):
            await store.execute_async(guest, "flood")
        return weakref.ref(store)

    async def flooded_and_collected():
        store = await asyncio.create_task(flooded())
        gc.collect()
        return store()

    assert asyncio.run(flooded_and_collected()) is None


def test_a_store_runs_one_execution_at_a_time(engine, guest, host):
    async def twice():
        with LimitedStore(engine, PLENTY, host=host.functions) as store:
            instance = await store.instantiate_async(guest)
            first = asyncio.create_task(instance.call_async("pauses", 1, 50))
            await asyncio.sleep(0.01)
            with pytest.raises(StoreUnusable):
                await instance.call_async("add", 1, 2)
            assert await first == 1

    asyncio.run(twice())


def test_a_guest_does_not_outlive_a_loop_that_was_closed_over_it(engine, guest, host):
    loop = asyncio.new_event_loop()
    task = loop.create_task(engine.execute_async(guest, "spin", limits=PLENTY, host=host.functions))
    loop.run_until_complete(asyncio.sleep(0.01))
    assert engine.current
    loop.close()
    del task
    gc.collect()
    assert all_guests_ended(engine)
