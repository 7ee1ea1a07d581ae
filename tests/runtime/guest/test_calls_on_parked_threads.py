"""Calls on a parked thread, called or awaited, keep the promises of guest threads, and give the same as calls on the
general way.
"""

from __future__ import annotations

import os
import signal
import threading
from functools import partial

import pytest

from pytest_airssys_wasm import (
    ExecutionTimeout,
    HostFunctionError,
    LimitedStore,
    StoreUnusable,
    WasmEngine,
    current_execution,
)
from pytest_airssys_wasm.runtime.capi.guard import guard
from pytest_airssys_wasm.runtime.execution.run import Stop
from pytest_airssys_wasm.runtime.guest import in_process
from runtime.guest.test_direct_calls import CALLS, WIT, cost, outcome
from support.bombs import wait_for
from support.parked_calls import HOUR_NS, Awaited, Called, limits, open_store

SLOW = ("trap", "loop", "grow", "far", "text", "char")
WAYS = {
    "called": Called,
    "awaited": Awaited,
    # The loop waits in the guard as long as it takes, or not at all.
    "awaited at once": partial(Awaited, moment_ns=HOUR_NS),
    "awaited later": partial(Awaited, moment_ns=0),
}
GIVEN = [
    *(("called", given) for given in ({}, {"transfer": 100}, {"fuel": None, "timeout_ms": None})),
    *((way, given) for way in ("awaited at once", "awaited later") for given in ({}, {"transfer": 100})),
]


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


@pytest.fixture
def way(request, monkeypatch):
    return WAYS[request.param](monkeypatch)


def in_ways(*names):
    return pytest.mark.parametrize("way", names, indirect=True)


@pytest.mark.parametrize(
    ("source", "name", "arguments"),
    [pytest.param(*call, marks=pytest.mark.slow) if call[1] in SLOW else call for call in CALLS],
    ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "",
)
@pytest.mark.parametrize(("way", "given"), GIVEN, indirect=["way"])
def test_a_call_ends_as_one_on_the_general_way(engine, monkeypatch, way, source, name, arguments, given):
    monkeypatch.setattr(in_process, "may_run_here", lambda *_: False)
    if name == "loop" and given.get("timeout_ms", 0) is None:
        arguments = arguments[:1]
    found = {False: [], True: []}
    for args in arguments:
        for is_parked, outcomes in found.items():
            with LimitedStore(engine, limits(**given)) as store:
                if not is_parked:
                    way.go_the_general_way(store)
                instance = store.instantiate(engine.load(source))
                for each in (arguments[0], args):
                    call = partial(way.call, instance, name, *each)
                    outcomes.append(outcome(call, lambda _, store=store: store.usage))
                outcomes.append(cost(store.total))
    assert found[True] == found[False]
    assert way.made or name == "narrow" or given.get("transfer") == 100 or source == WIT


@in_ways("called", "awaited at once", "awaited later")
@pytest.mark.parametrize("name", ["asks", "tells", "bytes"])
def test_host_calls_cost_what_they_cost_on_the_general_way(engine, way, name):
    seen, found = [], {False: [], True: []}
    arguments = {"asks": [(1,), (2,), ("x",), (-1,)], "tells": [(0,), (5,), (70_000,)], "bytes": [(b"ab",), (b"",)]}[
        name
    ]

    def ask(n):
        seen.append((n, current_execution().remaining_fuel))
        current_execution().deny("moon")
        return n + 1

    for is_parked, outcomes in found.items():
        store, instance = open_store(engine, ask, seen.append)
        with store:
            if not is_parked:
                way.go_the_general_way(store)
            for args in (arguments[0], *arguments):
                call = partial(way.call, instance, name, *args)
                outcomes.append((outcome(call, lambda _, store=store: store.usage), store.usage.denied_capabilities))
            outcomes.append(cost(store.total))
        outcomes.append([*seen])
        seen.clear()
    assert found[True] == found[False]
    assert way.made


@in_ways("called", "awaited at once", "awaited later")
def test_what_a_host_function_raises_ends_the_call_and_is_the_cause(engine, way):
    def ask(n):
        if n == 7:
            raise ValueError("seven")
        return n

    store, instance = open_store(engine, ask)
    with store:
        way.call(instance, "asks", 1)
        with pytest.raises(HostFunctionError, match="ask raised ValueError: seven") as caught:
            way.call(instance, "asks", 7)
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.usage.host_calls == 1
    assert caught.value.call.export == "asks"
    assert len(way.made) == 1 + way.parks_first


@in_ways("called", "awaited")
def test_an_endless_guest_ends_at_its_deadline(engine, way):
    store, instance = open_store(engine, fuel=None, timeout_ms=200)
    with store:
        way.call(instance, "loops", 1)
        with pytest.raises(ExecutionTimeout) as caught:
            way.call(instance, "loops", 0)
        assert caught.value.usage.wall_ms >= 200
        assert caught.value.usage.host_calls == 1
    assert len(way.made) == 1 + way.parks_first


@in_ways("called", "awaited")
def test_a_blocked_guest_is_abandoned_at_its_deadline_and_leaves_nothing(own_engine, way):
    engine, goes_on, is_in = own_engine, threading.Event(), threading.Event()

    def ask(n):
        if n:
            is_in.set()
            goes_on.wait(60)
        return n

    _, instance = open_store(engine, ask, fuel=None, timeout_ms=200)
    way.call(instance, "asks", 0)
    with pytest.raises(ExecutionTimeout):
        way.call(instance, "asks", 1)
    assert is_in.is_set()
    assert len(engine.abandoned_guests) == 1
    (thread,) = {engine.runs[each.ident].thread for each in threading.enumerate() if each.ident in engine.runs}
    with pytest.raises(StoreUnusable, match="abandoned"):
        instance.asks(0)
    # Other guests are called meanwhile, on another parked thread.
    other, second = open_store(engine)
    with other:
        assert [way.call(second, "asks", n) for n in (1, 2)] == [2, 3]
    goes_on.set()
    wait_for(lambda: len(engine.abandoned_guests) == 0)
    wait_for(lambda: engine.live_memories == 0)
    wait_for(lambda: thread not in {each.ident for each in threading.enumerate()})
    assert engine.runs == {}
    assert len(engine.guest_threads.parked._idle) == 1
    assert len(way.made) == (4 if way.parks_first else 2)


@in_ways("called", "awaited at once")
@pytest.mark.parametrize("where", ["guest", "host"])
def test_what_a_signal_handler_raises_ends_a_call_at_once(own_engine, uncollected, way, where):
    engine, goes_on, is_armed = own_engine, threading.Event(), threading.Event()

    def ask(n):
        if is_armed.is_set():
            # Well before the guard sends its caller back to Python for the first time: just afterwards the signal could
            # come while Python begins to wait in its event loop, which would then not be woken.
            signal.setitimer(signal.ITIMER_REAL, 0.005)
        return goes_on.wait(60) and n if n == 5 else n

    store, instance = open_store(engine, ask, fuel=None, timeout_ms=None)
    way.call(instance, "asks", 1)
    way.call(instance, "loops", 1)
    way.made.clear()

    def handle(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handle)
    try:
        is_armed.set()
        with pytest.raises(KeyboardInterrupt):
            way.call(instance, "loops", 0) if where == "guest" else way.call(instance, "asks", 5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    (run,) = way.made
    assert run.stop is Stop.CANCELLED
    assert run.finished or run.abandoned
    if where == "host":
        assert not store.is_usable
    goes_on.set()
    wait_for(lambda: len(engine.abandoned_guests) == 0)
    store.close()
    wait_for(lambda: engine.live_memories == 0)
    assert engine.runs == {}


@in_ways("called", "awaited at once")
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_signal_handler_raises_beside_the_wait_ends_the_call(own_engine, monkeypatch, way, when):
    engine, store, instance = own_engine, *open_store(own_engine)
    wait = getattr(guard(), way.guard_function)

    def interrupted(*args):
        if when == "after":
            wait(*args)
        raise KeyboardInterrupt

    assert [way.call(instance, "asks", 1) for _ in range(3)] == [2, 2, 2]
    with monkeypatch.context() as patch:
        patch.setattr(guard(), way.guard_function, interrupted)
        with pytest.raises(KeyboardInterrupt):
            way.call(instance, "asks", 2)
    assert engine.runs == {}
    assert store.is_usable
    assert [instance.asks(n) for n in range(3)] == [1, 2, 3]
    assert len(engine.guest_threads.parked._idle) == 1
    store.close()


@in_ways("called", "awaited")
def test_a_forked_process_has_parked_threads_of_its_own(own_engine, way):
    store, instance = open_store(own_engine)

    def found():
        return [way.call(instance, "asks", n) for n in range(3)]

    assert found() == [1, 2, 3]
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends it if it waits for a thread that it has not got
        os._exit(7 if found() == [1, 2, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert found() == [1, 2, 3]
    store.close()
