"""Executions that an event loop waits for: the loop goes on, and cancelling ends the guest."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import anyio
import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout, OutOfFuel, ResourceLimitExceeded
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from support.pausing_guest import GUEST, PLENTY, Pauses, all_guests_ended, with_heartbeat

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


@pytest.fixture
def host():
    return Pauses()


@pytest.fixture
def guest(engine):
    return engine.load(GUEST)


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
    assert len(beats) > 3  # of some two hundred; where the loop is held, one before and one after


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


def test_a_guest_blocked_in_the_host_is_given_up_while_the_loop_goes_on(engine, guest):
    host, release, came_back = HostFunctions(), threading.Event(), threading.Event()

    @host.register("pause")
    def pause(ms):
        release.wait(ms / 1_000)
        came_back.set()
        return 1

    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50)
    execution = engine.execute_async(guest, "pauses", 1, 20_000, limits=limits, host=host)
    (error,), _ = asyncio.run(with_heartbeat(execution))
    assert isinstance(error, ExecutionTimeout)
    assert not came_back.is_set()
    release.set()


def test_for_a_guest_blocked_in_the_host_there_is_no_grace(engine, guest):
    host = HostFunctions()
    host.register("pause", lambda ms: time.sleep(ms / 1_000) or 1)
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=30)

    async def late_ms():
        with pytest.raises(ExecutionTimeout) as caught:
            await engine.execute_async(guest, "pauses", 1, 200, limits=limits, host=host)
        return caught.value.usage.wall_ms - 30

    # With the grace of 6 ms none could be, however often it is tried.
    assert any(asyncio.run(late_ms()) < 6 for _ in range(100))


def test_a_guest_asleep_in_wasi_is_given_up_while_the_loop_goes_on(engine):
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50)
    execution = engine.execute_async(engine.load(SLEEPER), "sleep", limits=limits, wasi=Wasi())
    (error,), _ = asyncio.run(with_heartbeat(execution))
    assert isinstance(error, ExecutionTimeout)
    assert error.usage.wall_ms < 2_000  # before it would have woken up


def test_cancelling_a_guest_that_is_asleep_in_wasi_holds_the_loop_for_a_moment_only(engine):
    guest = engine.load(SLEEPER)

    async def held():
        task = asyncio.create_task(engine.execute_async(guest, "sleep", limits=PLENTY, wasi=Wasi()))
        await asyncio.sleep(0.02)
        task.cancel()
        began = time.monotonic()
        await asyncio.sleep(0)
        return time.monotonic() - began

    # It may be the machine that is slow, but not each time.
    assert any(asyncio.run(held()) < 0.04 for _ in range(30))


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
        store, until = await asyncio.create_task(flooded()), time.monotonic() + 20
        while store() is not None and time.monotonic() < until:  # its guest may come back a moment later
            await asyncio.sleep(0.01)
            gc.collect()
        return store()

    assert asyncio.run(flooded_and_collected()) is None


def test_a_task_that_nobody_holds_is_not_collected_while_its_guest_runs(engine, guest, host):
    async def forgotten():
        found = asyncio.Queue()

        async def execute():
            done = await engine.execute_async(guest, "pauses", 1, 50, limits=PLENTY, host=host.functions)
            await found.put(done.value)

        asyncio.get_running_loop().create_task(execute())
        while not host.begun:
            await asyncio.sleep(0.001)
        gc.collect()
        return await asyncio.wait_for(found.get(), 20)

    assert asyncio.run(forgotten()) == 1


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

    async def until_it_runs():
        while not engine.runs:
            await asyncio.sleep(0.001)

    loop.run_until_complete(asyncio.wait_for(until_it_runs(), 20))
    loop.close()
    del task
    gc.collect()
    assert all_guests_ended(engine)
