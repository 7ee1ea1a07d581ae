"""The wall clock: it ends what runs and what blocks, for its own store only, and leaves nothing behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.capi.guard import GuardRun
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout, HostFunctionError, OutOfFuel
from pytest_airssys_wasm.runtime.execution.host_call_context import current_execution
from pytest_airssys_wasm.runtime.execution.run import Run, Stop
from pytest_airssys_wasm.runtime.execution.verdict import judge
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable
from pytest_airssys_wasm.runtime.store.store import LimitedStore

SPIN = '(module (memory (export "memory") 1) (func (export "spin") (loop br 0)) (func (export "nop")))'
STARTS = "(module (func $spin (loop br 0)) (start $spin))"
CALLS = """(module (import "env" "host" (func $host)) (func (export "once") call $host)
  (func (export "again") (loop call $host br 0))
  (func (export "spin") (loop br 0)) (func (export "nop")))"""
"""A guest that its import might block, so that it runs on a thread of its own."""


def limits(timeout_ms):
    return ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=timeout_ms)


def host_of(function):
    host = HostFunctions()
    host.register("env#host", function)
    return host


def test_a_start_function_is_preempted(engine):
    with LimitedStore(engine, limits(30)) as store, pytest.raises(ExecutionTimeout):
        store.instantiate(engine.load(STARTS))


def test_a_bulk_operation_does_not_outlive_its_loop(engine):
    guest = engine.load(
        """(module (memory 16) (func (export "fill") (loop
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)) br 0)))"""
    )
    with pytest.raises(ExecutionTimeout) as caught:
        engine.execute(guest, "fill", limits=limits(30))
    assert caught.value.usage.wall_ms < 5_000


def test_a_host_function_that_never_returns_ends_for_the_caller(engine):
    release = threading.Event()
    store = LimitedStore(engine, limits(30), host=host_of(release.wait))
    instance = store.instantiate(engine.load(CALLS))
    with pytest.raises(ExecutionTimeout) as caught:
        instance.once()
    assert caught.value.usage.wall_ms < 5_000
    assert caught.value.usage.host_calls == 1
    assert not caught.value.usage.fuel.is_exact
    with pytest.raises(StoreUnusable, match="abandoned"):
        instance.once()
    store.close()
    release.set()


def test_a_guest_that_ends_late_is_late_also_when_nobody_looked_at_the_clock(engine, monkeypatch):
    def held_up(run, timeout_s):
        """The waiting thread, on a machine so busy that it comes back long after the guest."""
        return run.done.acquire()

    monkeypatch.setattr("pytest_airssys_wasm.runtime.store.store.wait_done", held_up)
    with LimitedStore(engine, limits(20), host=host_of(lambda: time.sleep(0.05))) as store:
        instance = store.instantiate(engine.load(CALLS))
        with pytest.raises(ExecutionTimeout):
            instance.once()


def test_a_store_that_was_given_up_on_is_released_when_its_guest_comes_back(own_engine):
    engine = own_engine
    guest = engine.load(CALLS)
    release, before = threading.Event(), engine.live_memories
    with_memory = engine.load('(module (import "env" "host" (func $h)) (memory 1) (func (export "once") call $h))')
    with pytest.raises(ExecutionTimeout):
        engine.execute(with_memory, "once", limits=limits(30), host=host_of(release.wait))
    assert engine.live_memories == before + 1
    release.set()
    deadline = time.monotonic() + 10
    while engine.live_memories > before and time.monotonic() < deadline:
        engine.execute(guest, "once", limits=limits(1_000), host=host_of(lambda: None))  # lets the thread run
    assert engine.live_memories == before


@pytest.mark.slow
def test_a_guest_that_comes_back_from_a_late_host_function_is_stopped(engine):
    calls = []

    def slow():
        calls.append(None)
        while not current_execution().is_stopped:
            pass
        time.sleep(0.05)  # and its caller has given up

    with pytest.raises(ExecutionTimeout):
        engine.execute(engine.load(CALLS), "again", limits=limits(300), host=host_of(slow))
    engine.execute(engine.load(SPIN), "nop", limits=limits(5_000))
    assert len(calls) == 1


def test_a_guest_that_was_late_is_late_also_when_it_is_back_first():
    run = Run(limits(30), None, GuardRun())
    run.started_at -= 0.03
    run.finish()
    assert isinstance(judge(run), ExecutionTimeout)


def test_a_guest_without_fuel_that_did_not_get_to_begin_has_spent_it():
    run = Run(ResourceLimits(memory=0, fuel=0, timeout_ms=0), 0, GuardRun())
    run.stop = Stop.TIMEOUT
    run.abandon()
    error = judge(run)
    assert isinstance(error, OutOfFuel)
    assert (error.usage.fuel.consumed, error.usage.fuel.is_exact) == (0, True)


@pytest.mark.slow
def test_different_deadlines_at_once_do_not_disturb_each_other(engine):
    guest, walls = engine.load(SPIN), {}

    def run(timeout_ms):
        with pytest.raises(ExecutionTimeout) as caught:
            engine.execute(guest, "spin", limits=limits(timeout_ms))
        walls[timeout_ms] = caught.value.usage.wall_ms

    threads = [threading.Thread(target=run, args=(timeout_ms,)) for timeout_ms in (20, 120, 400, 700)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # None ends before its own deadline, though the shorter ones advanced the epoch meanwhile.
    assert len(walls) == 4
    assert all(wall >= timeout for timeout, wall in walls.items())


def test_an_interrupt_of_the_waiting_thread_ends_the_guest():
    import signal

    class Interrupted(BaseException):
        pass

    def interrupt(*_):
        raise Interrupted

    engine = WasmEngine()
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupted):
            engine.execute(engine.load(SPIN), "spin", limits=limits(None))
        assert engine.runs == {}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert engine.live_memories == 0


def wake_ups():
    """How often the thread that keeps deadlines has gone to sleep, as Linux counts it."""
    (status,) = (
        (task / "status").read_text("ascii")
        for task in Path("/proc/self/task").iterdir()
        if (task / "comm").read_text("ascii") == "wasm-deadlines\n"
    )
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_nothing_ticks_when_nothing_runs(engine):
    names = {thread.name for thread in threading.enumerate()}
    assert not {name for name in names if "tick" in name or "epoch" in name}
    engine.execute(engine.load(SPIN), "nop", limits=limits(60_000))
    time.sleep(0.05)  # it looks once more, at what it had been asked for
    before = wake_ups()
    time.sleep(0.3)
    assert wake_ups() == before


def test_a_host_function_may_not_call_back_into_its_store(engine):
    store = LimitedStore(engine, limits(5_000), host=host_of(lambda: instance.once()))
    instance = store.instantiate(engine.load(CALLS))
    with pytest.raises(HostFunctionError) as caught:
        instance.once()
    assert isinstance(caught.value.__cause__, StoreUnusable)
    assert "call back" in str(caught.value.__cause__)
    store.close()


def test_two_threads_on_one_store_are_refused_not_run(engine):
    inside, leave = threading.Event(), threading.Event()

    def host():
        inside.set()
        leave.wait(10)

    store = LimitedStore(engine, limits(20_000), host=host_of(host))
    instance = store.instantiate(engine.load(CALLS))
    thread = threading.Thread(target=instance.once)
    thread.start()
    assert inside.wait(10)
    with pytest.raises(StoreUnusable, match=r"in use: .* use another store"):
        instance.once()
    leave.set()
    thread.join()
    store.close()
    with pytest.raises(StoreUnusable, match="it was closed; use another store"):
        instance.once()


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, pytest.fail.Exception])
def test_what_is_no_error_passes_through_a_host_function(engine, raised):
    def host():
        raise raised("through")

    with pytest.raises(raised, match="through"):
        engine.execute(engine.load(CALLS), "once", limits=limits(5_000), host=host_of(host))


@pytest.mark.parametrize("interrupted", ["keep_time", "wait_done"])
def test_signals_before_the_wait_and_while_it_ends_leave_no_guest_running(own_engine, monkeypatch, interrupted):
    engine = own_engine

    def raise_it(*_):
        raise KeyboardInterrupt

    live = engine.live_memories
    with LimitedStore(engine, limits(None), host=host_of(int)) as store:
        store.direct_call = lambda *_: None  # calls on parked threads do not wait like that
        instance = store.instantiate(engine.load(CALLS))
        before = store.usage
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"pytest_airssys_wasm.runtime.store.store.{interrupted}", raise_it)
            instance.spin()
        assert store.usage is not before
        instance.nop()
    assert engine.live_memories == live


@pytest.mark.slow
def test_exceptions_of_parallel_host_functions_do_not_mix(engine):
    guest, wrong = engine.load(CALLS), []

    def work(number):
        def host():
            raise ValueError(number)

        for _ in range(100):
            try:
                engine.execute(guest, "once", limits=limits(5_000), host=host_of(host))
            except HostFunctionError as error:
                if error.__cause__.args != (number,):
                    wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_fuel_and_deadline_hold_in_many_threads_at_once(engine):
    guest, endings = engine.load(SPIN), []

    def work():
        for fuel, timeout_ms, expected in ((1_000, 10_000, OutOfFuel), (None, 5, ExecutionTimeout)):
            with pytest.raises(expected):
                engine.execute(guest, "spin", limits=ResourceLimits(memory="1 MiB", fuel=fuel, timeout_ms=timeout_ms))
            endings.append(expected)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(endings) == 16
