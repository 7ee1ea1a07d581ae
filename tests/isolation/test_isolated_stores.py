"""A store in another process: what is granted reaches it, what it holds stays there, and it ends when it is told to."""

from __future__ import annotations

import threading
from dataclasses import replace

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
from support.bombs import wait_for
from support.busy_guest import GUEST, LIMITS, asking
from support.checkout import GUESTS

ENDINGS = ("say", "shout", "count", "grow", "hoard", "spin", "boom")


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
        usage = replace(store.usage, wall_ms=0, cpu_ms=None, host_ms=0)
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


@pytest.mark.slow
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
    with pytest.raises(InvalidConfiguration, match=r"wasi.inherit: expected False.*separate process"):
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


def test_output_of_a_guest_that_is_given_up_in_a_host_function_is_not_lost(engine, guest, monkeypatch):
    # Its process may have to wait for a processor before it can tell.
    monkeypatch.setattr("pytest_airssys_wasm.isolation.backend._LAST_WORDS_S", 20.0)
    release = threading.Event()
    limits = replace(LIMITS, timeout_ms=200)
    with pytest.raises(ExecutionTimeout) as caught:
        engine.execute(guest, "ask", 3, limits=limits, host=asking(lambda n: release.wait()), wasi=Wasi())
    release.set()
    assert caught.value.stdout == b"hello\n"
    assert caught.value.usage.peak_memory_bytes == 65_536


@pytest.mark.slow
def test_plain_numbers_beyond_the_transfer_limit_are_refused_as_in_threads(engine, threads):
    module = '(module (func (export "f") (param i32) (result i32) local.get 0))'
    component = """(component (core module $m (func (export "f") (param i32) (result i32) local.get 0))
      (core instance $i (instantiate $m))
      (func (export "f") (param "x" u32) (result u32) (canon lift (core func $i "f"))))"""
    for one in (engine, threads):
        for text in (module, component):
            with pytest.raises(ResourceLimitExceeded) as caught:
                one.execute(one.load(text), "f", 1, limits=replace(LIMITS, transfer=0))
            assert caught.value.resource == "host-transfer"


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


@pytest.mark.slow
def test_a_value_that_is_much_longer_on_its_way_than_in_memory_is_over_the_transfer_limit(engine, threads):
    limits = replace(LIMITS, transfer="64 KiB", output=0)
    told = []
    for one in (engine, threads):
        guest = one.load(WORDS)
        assert len(one.execute(guest, "some", 10, limits=limits).value) == 10
        told.append(lambda guest=guest, one=one: one.execute(guest, "some", 1_500, limits=limits))
    with pytest.raises(ResourceLimitExceeded, match="in a message between processes") as caught:
        told[0]()
    assert caught.value.resource == "host-transfer"
    assert caught.value.usage.transfer_bytes < 2**16
    assert len(told[1]().value) == 1_500  # three megabytes as text, and nothing here


@pytest.mark.slow
def test_a_guest_that_was_given_up_is_forgotten_when_its_host_function_returns(make_engine):
    """The caller has taken the answer of the process, so that nothing else comes to the thread that serves it."""
    engine, release = make_engine(ProcessIsolation(grace_ms=60_000)), threading.Event()
    host = HostFunctions()
    host.register("env#wait", release.wait)
    guest = engine.load('(module (import "env" "wait" (func $wait)) (func (export "f") call $wait))')
    with pytest.raises(ExecutionTimeout):
        engine.execute(guest, "f", limits=ResourceLimits(memory=0, timeout_ms=20), host=host)
    assert len(engine.abandoned_guests) == 1
    release.set()
    wait_for(lambda: len(engine.abandoned_guests) == 0, seconds=30)
