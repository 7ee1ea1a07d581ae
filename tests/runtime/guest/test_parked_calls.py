"""Calls on a parked thread whose caller waits: which calls are made there, and what stays when they have ended."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref

import pytest

from pytest_airssys_wasm import (
    ExecutionTimeout,
    HostFunctions,
    LimitedStore,
    ResourceLimitExceeded,
    StoreUnusable,
    WasmEngine,
    current_execution,
)
from pytest_airssys_wasm.runtime.guest import in_process
from runtime.guest.test_direct_calls import CORE
from support.bombs import wait_for
from support.parked_calls import Called, limits, open_store

ASKING_MODULE = """(module (import "env" "ask" (func $ask (param i32) (result i32))) (memory 1)
  (func (export "asks") (param i32) (result i32) (call $ask (local.get 0))))"""


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


@pytest.fixture
def parked_calls(monkeypatch):
    """The calls that were made on parked threads."""
    return Called(monkeypatch).made


def test_modules_with_host_functions_are_called_on_parked_threads(engine, parked_calls):
    host = HostFunctions()
    host.register("env#ask", lambda n: n + 1)
    with LimitedStore(engine, limits(), host=host) as store:
        instance = store.instantiate(engine.load(ASKING_MODULE))
        assert [instance.asks(n) for n in (1, 2, 3)] == [2, 3, 4]
        assert store.usage.host_calls == 1
        assert store.total.host_calls == 3
    assert len(parked_calls) == 3


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
    assert len(parked_calls) == 6


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


@pytest.mark.slow
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
    assert len(parked_calls) == 3


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


@pytest.mark.slow
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
    assert len(parked_calls) == 2


def test_core_modules_are_called_on_parked_threads_if_they_may_not_run_here(engine, monkeypatch, parked_calls):
    monkeypatch.setattr(in_process, "may_run_here", lambda *_: False)
    with LimitedStore(engine, limits()) as store:
        instance = store.instantiate(engine.load(CORE))
        assert [instance.both(n) for n in (1, 2)] == [(1, 7), (2, 7)]
        assert [instance.none() for _ in range(2)] == [None, None]
    assert len(parked_calls) == 4
