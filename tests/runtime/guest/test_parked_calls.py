"""Calls on a parked thread keep the promises of guest threads, and give the same as calls on the general way."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from functools import partial

import pytest

from pytest_airssys_wasm import (
    ExecutionTimeout,
    HostFunctionError,
    HostFunctions,
    LimitedStore,
    ResourceLimitExceeded,
    StoreUnusable,
    WasmEngine,
    current_execution,
)
from pytest_airssys_wasm.runtime.execution.parked_threads import ParkedThread
from pytest_airssys_wasm.runtime.execution.run import Stop
from pytest_airssys_wasm.runtime.guest import in_process
from runtime.guest.test_direct_calls import CALLS, CORE, WIT, cost, limits, outcome
from support.bombs import wait_for

ASKS = """(component
  (import "ask" (func $ask (param "n" u32) (result u32)))
  (import "tell" (func $tell (param "text" string)))
  (core module $memory (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $memory (instantiate $memory))
  (core func $ask' (canon lower (func $ask)))
  (core func $tell' (canon lower (func $tell) (memory (core memory $memory "memory"))))
  (core module $m
    (import "host" "ask" (func $ask (param i32) (result i32)))
    (import "host" "tell" (func $tell (param i32 i32)))
    (import "memory" "memory" (memory 1))
    (func (export "ask") (param i32) (result i32) (call $ask (local.get 0)))
    (func (export "tell") (param i32) (call $tell (i32.const 0) (local.get 0)))
    (func (export "bytes") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
    (func (export "loop") (param i32)
      (drop (call $ask (i32.const 1)))
      (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
  (core instance $i (instantiate $m
    (with "host" (instance (export "ask" (func $ask')) (export "tell" (func $tell'))))
    (with "memory" (instance (export "memory" (memory $memory "memory"))))))
  (func (export "asks") (param "n" u32) (result u32) (canon lift (core func $i "ask")))
  (func (export "tells") (param "n" u32) (canon lift (core func $i "tell")))
  (func (export "loops") (param "n" u32) (canon lift (core func $i "loop")))
  (func (export "bytes") (param "x" (list u8)) (result (list u8)) (canon lift (core func $i "bytes")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc")))))"""
ASKING_MODULE = """(module (import "env" "ask" (func $ask (param i32) (result i32))) (memory 1)
  (func (export "asks") (param i32) (result i32) (call $ask (local.get 0))))"""
SLOW = ("trap", "loop", "grow", "far", "text", "char")


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


@pytest.fixture
def parked_calls(monkeypatch):
    """The calls that were made on parked threads."""
    made, call = [], ParkedThread.call

    def called(self, run, *args, **named):
        made.append(run)
        return call(self, run, *args, **named)

    monkeypatch.setattr(ParkedThread, "call", called)
    return made


def open_store(engine, ask=lambda n: n + 1, tell=lambda text: None, **given):
    """Return a store and an instance whose host functions are these, called once."""
    host = HostFunctions()
    host.register("ask", ask)
    host.register("env#ask", ask)
    host.register("tell", tell)
    store = LimitedStore(engine, limits(**given), host=host)
    return store, store.instantiate(engine.load(ASKS))


@pytest.mark.parametrize(
    ("source", "name", "arguments"),
    [pytest.param(*call, marks=pytest.mark.slow) if call[1] in SLOW else call for call in CALLS],
    ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "",
)
@pytest.mark.parametrize("given", [{}, {"transfer": 100}, {"fuel": None, "timeout_ms": None}])
def test_a_call_on_a_parked_thread_ends_as_one_on_the_general_way(
    engine, monkeypatch, parked_calls, source, name, arguments, given
):
    monkeypatch.setattr(in_process, "may_run_here", lambda *_: False)
    if name == "loop" and given.get("timeout_ms", 0) is None:
        arguments = arguments[:1]
    found = {False: [], True: []}
    for args in arguments:
        for is_parked, outcomes in found.items():
            with LimitedStore(engine, limits(**given)) as store:
                if not is_parked:
                    store.direct_call = lambda *_: None
                instance = store.instantiate(engine.load(source))
                for each in (arguments[0], args):
                    outcomes.append(outcome(partial(instance.call, name, *each), lambda _, store=store: store.usage))
                outcomes.append(cost(store.total))
    assert found[True] == found[False]
    assert parked_calls or (name in ("narrow",) or given.get("transfer") == 100 or source == WIT)


@pytest.mark.parametrize("name", ["asks", "tells", "bytes"])
def test_host_calls_on_a_parked_thread_cost_what_they_cost_on_the_general_way(engine, parked_calls, name):
    seen, found = [], []
    arguments = {"asks": [(1,), (2,), ("x",), (-1,)], "tells": [(0,), (5,), (70_000,)], "bytes": [(b"ab",), (b"",)]}[
        name
    ]

    def ask(n):
        seen.append((n, current_execution().remaining_fuel))
        current_execution().deny("moon")
        return n + 1

    for is_parked in (False, True):
        store, instance = open_store(engine, ask, seen.append)
        with store:
            if not is_parked:
                store.direct_call = lambda *_: None
            for args in (arguments[0], *arguments):
                call = partial(instance.call, name, *args)
                found.append(
                    (is_parked, outcome(call, lambda _, store=store: store.usage), store.usage.denied_capabilities)
                )
            found.append((is_parked, cost(store.total)))
        found.append((is_parked, [*seen]))
        seen.clear()
    assert [each[1:] for each in found if each[0]] == [each[1:] for each in found if not each[0]]
    assert parked_calls


def test_modules_with_host_functions_are_called_on_parked_threads(engine, parked_calls):
    host = HostFunctions()
    host.register("env#ask", lambda n: n + 1)
    with LimitedStore(engine, limits(), host=host) as store:
        instance = store.instantiate(engine.load(ASKING_MODULE))
        assert [instance.asks(n) for n in (1, 2, 3)] == [2, 3, 4]
        assert store.usage.host_calls == 1
        assert store.total.host_calls == 3
    assert len(parked_calls) == 2


def test_many_host_calls_add_up(engine):
    store, instance = open_store(engine, lambda n: current_execution().deny(f"moon {n}") or n)
    with store:
        instantiated = store.total.fuel.consumed
        instance.asks(0)
        each = store.usage.fuel.consumed
        for n in range(1, 1_500):
            instance.asks(n)
        total = store.total
    assert total.fuel.consumed == instantiated + 1_500 * each
    assert total.fuel.is_exact
    assert total.host_calls == 1_500
    assert total.transfer_bytes == 1_500 * 16
    assert total.denied_capabilities == tuple(f"moon {n}" for n in range(64))
    assert total.peak_memory_bytes == 65_536


def test_what_a_host_function_raises_ends_the_call_and_is_the_cause(engine, parked_calls):
    def ask(n):
        if n == 7:
            raise ValueError("seven")
        return n

    store, instance = open_store(engine, ask)
    with store:
        instance.asks(1)
        with pytest.raises(HostFunctionError, match="ask raised ValueError: seven") as caught:
            instance.asks(7)
        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.usage.host_calls == 1
        assert caught.value.call.export == "asks"
    assert len(parked_calls) == 1


def test_a_host_function_may_use_other_stores_and_not_its_own(engine, parked_calls):
    other, inner = open_store(engine, lambda n: 10 * n)
    refused = []

    def ask(n):
        try:
            instance.asks(n)
        except StoreUnusable as error:
            refused.append(str(error))
        return inner.asks(n)

    store, instance = open_store(engine, ask)
    with store, other:
        assert [instance.asks(n) for n in (1, 2, 3)] == [10, 20, 30]
    assert len(refused) == 3
    assert "may not call back" in refused[-1]
    assert len(parked_calls) == 4


def test_an_endless_guest_ends_at_its_deadline(engine, parked_calls):
    store, instance = open_store(engine, fuel=None, timeout_ms=200)
    with store:
        instance.loops(1)
        with pytest.raises(ExecutionTimeout) as caught:
            instance.loops(0)
        assert caught.value.usage.wall_ms >= 200
        assert caught.value.usage.host_calls == 1
    assert len(parked_calls) == 1


def test_a_blocked_guest_is_abandoned_at_its_deadline_and_leaves_nothing(own_engine, parked_calls):
    engine, goes_on, is_in = own_engine, threading.Event(), threading.Event()

    def ask(n):
        if n:
            is_in.set()
            goes_on.wait(60)
        return n

    _, instance = open_store(engine, ask, fuel=None, timeout_ms=200)
    threads = threading.active_count()
    instance.asks(0)
    started = time.monotonic()
    with pytest.raises(ExecutionTimeout):
        instance.asks(1)
    assert is_in.is_set()
    assert time.monotonic() - started < 30
    assert len(engine.abandoned_guests) == 1
    with pytest.raises(StoreUnusable, match="abandoned"):
        instance.asks(0)
    # Other guests are called meanwhile, on another parked thread.
    other, second = open_store(engine)
    with other:
        assert [second.asks(n) for n in (1, 2)] == [2, 3]
    goes_on.set()
    wait_for(lambda: len(engine.abandoned_guests) == 0)
    wait_for(lambda: engine.live_memories == 0)
    wait_for(lambda: threading.active_count() <= threads + 2)
    assert engine.runs == {}
    assert len(parked_calls) == 2


@pytest.mark.slow
def test_too_many_blocked_guests_are_too_many_on_parked_threads_too(own_engine):
    engine, goes_on = own_engine, threading.Event()
    stores = [open_store(engine, lambda n: goes_on.wait(60) and n if n else n, timeout_ms=100) for _ in range(66)]
    for _, instance in stores:
        instance.asks(0)
    try:
        for _, instance in stores[:64]:
            with pytest.raises(ExecutionTimeout):
                instance.asks(1)
        with pytest.raises(ResourceLimitExceeded, match="abandoned"):
            LimitedStore(engine, limits())
    finally:
        goes_on.set()
    wait_for(lambda: len(engine.abandoned_guests) == 0)


@pytest.mark.parametrize("where", ["guest", "host"])
def test_what_a_signal_handler_raises_ends_a_call_at_once(own_engine, parked_calls, where):
    engine, goes_on, is_armed = own_engine, threading.Event(), threading.Event()

    def ask(n):
        if is_armed.is_set():
            signal.setitimer(signal.ITIMER_REAL, 0.02)
        return goes_on.wait(60) and n if n == 5 else n

    store, instance = open_store(engine, ask, fuel=None, timeout_ms=None)
    instance.asks(1)
    instance.loops(1)

    def handle(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handle)
    try:
        is_armed.set()
        with pytest.raises(KeyboardInterrupt):
            instance.loops(0) if where == "guest" else instance.asks(5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(parked_calls) == 1
    assert parked_calls[0].stop is Stop.CANCELLED
    if where == "host":
        assert not store.is_usable
    goes_on.set()
    wait_for(lambda: len(engine.abandoned_guests) == 0)
    store.close()
    wait_for(lambda: engine.live_memories == 0)


def test_a_signal_handler_that_returns_lets_the_call_go_on(engine, parked_calls):
    handled = []
    store, instance = open_store(engine, fuel=None, timeout_ms=300)
    other, second = open_store(engine)
    second.asks(1)

    def handle(*_):
        handled.append(second.asks(1))
        signal.setitimer(signal.ITIMER_REAL, 0.02)

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with store, other:
            instance.loops(1)
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(ExecutionTimeout):
                instance.loops(0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(handled) > 1
    assert {*handled} == {2}


def test_a_coroutine_that_serves_an_import_is_cancelled_at_the_deadline(engine, parked_calls):
    import asyncio

    ended = []

    async def ask(n):
        try:
            await asyncio.sleep(n)
        except asyncio.CancelledError:
            ended.append(n)
            raise
        return n

    store, instance = open_store(engine, ask, timeout_ms=200)
    with store:
        instance.asks(0)
        assert instance.asks(0) == 0
        with pytest.raises(ExecutionTimeout):
            instance.asks(60)
        wait_for(lambda: ended == [60])
    assert len(parked_calls) == 2


def test_calls_on_a_parked_thread_keep_no_store_alive(own_engine):
    engine = own_engine
    gc.collect()
    gc.disable()
    try:
        store, instance = open_store(engine)
        assert [instance.asks(n) for n in range(3)] == [1, 2, 3]
        gone = weakref.ref(store)
        del store, instance
        assert gone() is None
    finally:
        gc.enable()
    assert engine.live_memories == 0


def test_many_threads_call_on_parked_threads_of_one_engine(engine):
    wrong = []

    def work(number):
        store, instance = open_store(engine, lambda n: n + number)
        with store:
            wrong.extend(n for n in range(100) if instance.asks(n) != n + number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_process_has_parked_threads_of_its_own(own_engine):
    store, instance = open_store(own_engine)
    assert [instance.asks(n) for n in range(3)] == [1, 2, 3]
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends it if it waits for a thread that it has not got
        os._exit(7 if [instance.asks(n) for n in range(3)] == [1, 2, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert instance.asks(1) == 2
    store.close()


def test_the_threads_of_an_engine_end_with_it():
    before = threading.active_count()
    engine = WasmEngine()
    store, instance = open_store(engine)
    with store:
        assert [instance.asks(n) for n in range(3)] == [1, 2, 3]
    engine.close()
    wait_for(lambda: threading.active_count() <= before)


def test_guests_without_a_deadline_wait_as_long_as_it_takes(engine, parked_calls):
    store, instance = open_store(engine, lambda n: time.sleep(n / 1_000) or n, timeout_ms=None)
    with store:
        assert [instance.asks(0), instance.asks(120)] == [0, 120]
        assert store.usage.wall_ms >= store.usage.host_ms >= 120
    assert len(parked_calls) == 1


def test_core_modules_are_called_on_parked_threads_if_they_may_not_run_here(engine, monkeypatch, parked_calls):
    monkeypatch.setattr(in_process, "may_run_here", lambda *_: False)
    with LimitedStore(engine, limits()) as store:
        instance = store.instantiate(engine.load(CORE))
        assert [instance.both(n) for n in (1, 2)] == [(1, 7), (2, 7)]
        assert [instance.none() for _ in range(2)] == [None, None]
    assert len(parked_calls) == 2
