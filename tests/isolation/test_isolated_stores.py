"""A store in another process: what is granted reaches it, what it holds stays there, and it ends when it is told to."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_airssys_wasm import (
    ExecutionTimeout,
    HostFunctionError,
    HostFunctions,
    InvalidConfiguration,
    LimitedStore,
    OutOfFuel,
    OutOfMemory,
    ProcessIsolation,
    ResourceLimitExceeded,
    ResourceLimits,
    StoreUnusable,
    Wasi,
    WasmEngine,
    WasmError,
    current_execution,
)
from pytest_airssys_wasm.isolation.workforce import Workmate

LIMITS = ResourceLimits(memory="1 MiB", fuel=100_000, timeout_ms=5_000)
GUESTS = Path(__file__).parents[2] / "fixtures" / "guests"

# Says a line on stdout, sleeps an hour, asks the host: all that a guest can be busy with.
GUEST = r"""(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
  (global $n (mut i32) (i32.const 0))
  (func $say (export "say") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func (export "shout") (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func (export "flood") (loop call $say br 0))
  (func (export "sleep-an-hour")
    (i32.store (i32.const 216) (i32.const 1)) (i64.store (i32.const 224) (i64.const 3600000000000))
    (drop (call $poll (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 400))))
  (func (export "count") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) global.get $n)
  (func (export "ask") (param i32) (result i32) call $say (call $ask (local.get 0)))
  (func (export "ask-for-ever") (loop (drop (call $ask (i32.const 1))) br 0))
  (func (export "grow") (drop (memory.grow (i32.const 2))) unreachable)
  (func (export "hoard") (drop (memory.grow (i32.const 999))) unreachable)
  (func (export "spin") (loop br 0))
  (func $named (export "boom") unreachable))"""
ENDINGS = ("say", "shout", "count", "grow", "hoard", "spin", "boom")


def asking(function):
    host = HostFunctions()
    host.register("env#ask", function)
    return host


@pytest.fixture(scope="session")
def engine(processes):
    return processes


@pytest.fixture(scope="module")
def guest(engine):
    return engine.load(GUEST)


def ending(engine, component, *call, limits=LIMITS, host=None, wasi=None):
    """All that an execution tells of itself, whether it returned or not."""
    with LimitedStore(engine, limits, host=host or asking(lambda n: n), wasi=wasi or Wasi()) as store:
        try:
            value = store.execute(component, *call).value
            error = None
        except WasmError as raised:
            value, error = None, raised
        usage = replace(store.usage, wall_ms=0)
        told = [type(error), str(error), value, usage, store.total.fuel, store.stdout, store.stderr, store.is_usable]
        told += [getattr(error, name, None) for name in ("kind", "resource", "code", "frames", "stdout", "stderr")]
        return [*told, repr(getattr(error, "__cause__", None))]


@pytest.mark.parametrize("function", ENDINGS)
def test_an_execution_ends_alike_in_both_modes(engine, threads, guest, function):
    limits = replace(LIMITS, output=600)
    assert ending(engine, guest, function, limits=limits) == ending(
        threads, threads.load(GUEST), function, limits=limits
    )


def test_a_flood_of_output_is_cut_at_the_same_byte(engine, threads, guest):
    floods = []
    for one in (engine, threads):
        with pytest.raises(ResourceLimitExceeded, match="600 bytes of output") as caught:
            limits = replace(LIMITS, output=600, fuel=None)
            one.execute(one.load(GUEST), "flood", limits=limits, host=asking(lambda n: n), wasi=Wasi())
        floods.append((caught.value.resource, caught.value.stdout))
    assert floods == [("output", b"hello\n" * 100)] * 2


def test_a_host_function_that_fails_does_so_alike_in_both_modes(engine, threads, guest):
    def fail(n):
        raise LookupError(f"not {n}")

    assert ending(engine, guest, "ask", 3, host=asking(fail)) == ending(
        threads, threads.load(GUEST), "ask", 3, host=asking(fail)
    )
    with pytest.raises(HostFunctionError) as caught:
        engine.execute(guest, "ask", 3, limits=LIMITS, host=asking(fail), wasi=Wasi())
    assert caught.value.__cause__.__traceback__ is not None


@pytest.mark.parametrize("wrong", [None, "text", 2**40, 1.5, (1, 2)])
def test_a_host_function_that_returns_what_does_not_fit_fails_alike_in_both_modes(engine, threads, guest, wrong):
    told = [ending(one, one.load(GUEST), "ask", 3, host=asking(lambda n: wrong)) for one in (engine, threads)]
    assert told[0][:2] == told[1][:2]
    assert told[0][0] is HostFunctionError


@pytest.mark.parametrize("args", [(), (1, 2), ("x",), (2**40,), (None,)])
def test_wrong_arguments_are_refused_alike_in_both_modes(engine, threads, guest, args):
    refusals = []
    for one in (engine, threads):
        with pytest.raises((TypeError, ValueError)) as caught:
            one.execute(one.load(GUEST), "ask", *args, limits=LIMITS, host=asking(lambda n: n), wasi=Wasi())
        refusals.append((type(caught.value), str(caught.value)))
    assert refusals[0] == refusals[1]


def test_an_instance_lives_on_between_calls(engine, guest):
    with LimitedStore(engine, LIMITS, host=asking(lambda n: n), wasi=Wasi()) as store:
        one, other = store.instantiate(guest), store.instantiate(guest)
        assert [one.count(), one.count(), other.count()] == [1, 2, 1]
        one.say()
        assert store.stdout == b"hello\n"
        other.say()
        assert store.stdout == b"hello\n" * 2


def test_a_shared_budget_is_one_budget_there_too(engine, guest):
    limits = replace(LIMITS, fuel=100)
    with LimitedStore(engine, limits, host=asking(lambda n: n), wasi=Wasi(), fuel_per="store") as store:
        instance = store.instantiate(guest)
        with pytest.raises(OutOfFuel):
            while True:
                instance.count()
        assert store.total.fuel.consumed == store.total.fuel.max_fuel == 100


def test_all_instances_of_a_store_share_its_memory(engine, guest):
    with LimitedStore(engine, replace(LIMITS, memory="128 KiB"), host=asking(lambda n: n), wasi=Wasi()) as store:
        for _ in range(2):
            store.instantiate(guest)
        with pytest.raises(OutOfMemory):
            store.instantiate(guest)
        assert store.usage.memory_limit_bytes == 2**17


def test_grants_reach_the_guest(engine, threads, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    wasi = Wasi(args=["it", "ärgs"], env={"NAME": "välue"}, stdin=b"\xff\x00in", preopen={"/d": ("here", "rw")})
    greeter = GUESTS / "greeter" / "greeter-module.wasm"
    limits = replace(LIMITS, memory="32 MiB", fuel=None)
    assert ending(engine, engine.load(greeter), "_start", limits=limits, wasi=wasi) == ending(
        threads, threads.load(greeter), "_start", limits=limits, wasi=wasi
    )


def test_what_another_process_cannot_have_is_a_clear_error(engine):
    with pytest.raises(InvalidConfiguration, match=r"wasi.inherit: expected False.*process of its own"):
        LimitedStore(engine, LIMITS, wasi=Wasi(inherit=True))


@pytest.mark.parametrize("wrong", ["process", True, ProcessIsolation])
def test_what_is_no_isolation_is_a_clear_error(wrong):
    with pytest.raises(InvalidConfiguration, match=r"isolation: expected a ProcessIsolation\(\), or None, got"):
        WasmEngine(isolation=wrong)


def test_a_host_function_sees_the_execution_that_calls_it(engine, guest):
    seen = []

    def look(n):
        now = current_execution()
        now.deny("the moon")
        seen.append((now.remaining_fuel, now.remaining_ms, now.is_stopped))
        return n

    done = engine.execute(guest, "ask", 3, limits=LIMITS, host=asking(look), wasi=Wasi())
    ((fuel, left_ms, is_stopped),) = seen
    assert 0 < LIMITS.fuel - fuel <= done.usage.fuel.consumed
    assert 0 < left_ms < 5_000
    assert not is_stopped
    assert done.usage.denied_capabilities == ("the moon",)


def test_a_host_function_may_not_call_back_into_the_store(engine, guest):
    with LimitedStore(engine, LIMITS, host=asking(lambda n: store.instantiate(guest)), wasi=Wasi()) as store:
        instance = store.instantiate(guest)
        with pytest.raises(HostFunctionError, match="may not call back") as caught:
            instance.ask(1)
        assert type(caught.value.__cause__) is StoreUnusable


def test_a_host_function_may_use_another_store(engine, guest):
    def nested(n):
        return engine.execute(guest, "count", limits=LIMITS, host=asking(lambda n: n), wasi=Wasi()).value + n

    assert engine.execute(guest, "ask", 3, limits=LIMITS, host=asking(nested), wasi=Wasi()).value == 4


def test_output_of_a_guest_that_is_given_up_in_a_host_function_is_not_lost(engine, guest):
    release = threading.Event()
    limits = replace(LIMITS, timeout_ms=200)
    with pytest.raises(ExecutionTimeout) as caught:
        engine.execute(guest, "ask", 3, limits=limits, host=asking(lambda n: release.wait()), wasi=Wasi())
    release.set()
    assert caught.value.stdout == b"hello\n"
    assert caught.value.usage.peak_memory_bytes == 65_536


def test_arguments_beyond_the_transfer_limit_are_refused_before_anything_runs(engine):
    echo = engine.load(GUESTS / "inventory" / "inventory.wasm")
    limits = ResourceLimits(memory="64 MiB", transfer="64 KiB", timeout_ms=60_000, fuel=None)
    with pytest.raises(ResourceLimitExceeded) as caught:
        engine.execute(echo, "demo:inventory/echo@1.0.0#echo-bytes", bytes(2**20), limits=limits)
    assert caught.value.resource == "host-transfer"


WORDY = "x" * 2_000
WORDS = f"""(component
  (type $word (record (field "{WORDY}" bool))) (export $w "word" (type $word))
  (type $words (list $w))
  (core module $m (memory (export "memory") 1)
    (func (export "some") (param i32) (result i32) (i32.store (i32.const 4) (local.get 0)) i32.const 0))
  (core instance $i (instantiate $m))
  (func (export "some") (param "n" u32) (result $words)
    (canon lift (core func $i "some") (memory (core memory $i "memory")))))"""


def test_a_value_that_is_much_longer_on_its_way_than_in_memory_is_over_the_transfer_limit(engine, threads):
    limits = replace(LIMITS, transfer="64 KiB", output=0)
    told = []
    for one in (engine, threads):
        guest = one.load(WORDS)
        assert len(one.execute(guest, "some", 10, limits=limits).value) == 10
        told.append(lambda guest=guest, one=one: one.execute(guest, "some", 1_500, limits=limits))
    with pytest.raises(ResourceLimitExceeded, match="on its way between processes") as caught:
        told[0]()
    assert caught.value.resource == "host-transfer"
    assert caught.value.usage.host_transfer_bytes < 2**16
    assert len(told[1]().value) == 1_500  # three megabytes as text, and nothing here


def test_the_event_loop_goes_on_while_a_process_is_started_and_its_guest_runs(guest):
    fresh = WasmEngine(isolation=ProcessIsolation())
    late = []

    async def heartbeat():
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            late.append(time.monotonic() - before)

    async def main():
        beating = asyncio.create_task(heartbeat())
        with pytest.raises(ExecutionTimeout):
            limits = replace(LIMITS, fuel=None, timeout_ms=100)
            await fresh.execute_async(fresh.load(GUEST), "spin", limits=limits, host=asking(lambda n: n), wasi=Wasi())
        beating.cancel()

    asyncio.run(main())
    fresh.close()
    assert len(late) > 10  # the start of a process takes ten times as long, and the guest another ten


def test_cancelling_ends_the_process_of_the_guest(guest, engine):
    began, workers = threading.Event(), []
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=None)

    async def main(store):
        instance = await store.instantiate_async(guest)
        workers.append(store._home._lease.mate.process_id)
        task = asyncio.create_task(instance.call_async("ask-for-ever"))
        await asyncio.to_thread(began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with LimitedStore(engine, limits, host=asking(lambda n: began.set() or n), wasi=Wasi()) as store:
        asyncio.run(main(store))
        # Which of the two it is, is a matter of milliseconds: the process is ended either way.
        with pytest.raises(StoreUnusable, match=r"the process that it was in has ended|had to be given up"):
            store.instantiate(guest)
    until = time.monotonic() + 20
    while _is_alive(workers[0]) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _is_alive(workers[0])


def test_an_async_host_function_is_cancelled_at_the_deadline_and_the_store_lives_on(engine, guest):
    ends = []

    async def wait(n):
        try:
            await asyncio.sleep(3_600)
        finally:
            ends.append(n)

    # The grace of a blocked guest is short, and the machine may be busy: then the store is given up.
    for attempt in range(1, 20):
        with LimitedStore(engine, replace(LIMITS, timeout_ms=200), host=asking(wait), wasi=Wasi()) as store:
            instance = store.instantiate(guest)
            with pytest.raises(ExecutionTimeout):
                instance.ask(attempt)
            if store.is_usable:
                assert instance.count() == 1
                break
    else:
        raise AssertionError("it never lived on")
    assert ends[-1] == attempt


def test_a_store_that_nobody_holds_gives_its_process_back(engine, guest):
    LimitedStore(engine, LIMITS, host=asking(lambda n: n), wasi=Wasi()).instantiate(guest)
    gc.collect()
    assert engine.homes._workforce._idle


@pytest.mark.parametrize("is_used_again", [False, True])
def test_a_process_that_is_interrupted_before_its_guest_runs_is_ended(monkeypatch, is_used_again):
    engine, mates = WasmEngine(isolation=ProcessIsolation()), []
    guest = engine.load('(module (func (export "nothing")))')
    if is_used_again:
        engine.execute(guest, "nothing", limits=LIMITS)

    def interrupted(mate, files):
        mates.append(mate)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Workmate, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.execute(guest, "nothing", limits=LIMITS)
    until = time.monotonic() + 20
    while not mates[0].is_over and time.monotonic() < until:
        time.sleep(0.02)
    assert mates[0].is_over
    engine.execute(guest, "nothing", limits=LIMITS)
    engine.close()


def test_no_process_is_left_when_the_one_that_asked_is_gone(tmp_path):
    script = textwrap.dedent("""
        from pytest_airssys_wasm import *
        engine = WasmEngine(isolation=ProcessIsolation())
        guest = engine.load('(module (import "env" "told" (func $t)) (func (export "spin") call $t (loop br 0)))')
        host = HostFunctions()
        host.register("env#told", lambda: print(*[one.process_id for one in engine.homes._workforce._all], flush=True))
        engine.execute(guest, "spin", limits=ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=None), host=host)
    """)
    asker = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # what is killed leaves its files
    )
    worker = int(asker.stdout.readline())
    begun, until = _ticks(worker), time.monotonic() + 20
    while _ticks(worker) < begun + 3 and time.monotonic() < until:
        time.sleep(0.01)  # until it has its reply, and spins
    os.kill(asker.pid, signal.SIGKILL)
    asker.communicate()
    until = time.monotonic() + 20
    while _is_alive(worker) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _is_alive(worker)


def _ticks(process_id):
    """How long it was on a processor."""
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[11])


def _is_alive(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_had_many_guests_is_replaced_before_its_files_run_out(engine, guest, tmp_path):
    workforce, files = engine.homes._workforce, engine.homes._guests.files_of(guest)
    opened = []
    for number in range(220):
        artefact = tmp_path / f"{number}.cwasm"
        artefact.write_bytes(Path(files.artefact).read_bytes())
        mate = workforce.take(replace(files, artefact=str(artefact)))
        opened.append(len(os.listdir(f"/proc/{mate.process_id}/fd")))
        workforce.give_back(mate, is_well=True)
    assert 20 < max(opened) < 150
