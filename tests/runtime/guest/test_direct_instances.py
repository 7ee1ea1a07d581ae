"""Direct instantiations give the same as those on the general way, figure by figure."""

from __future__ import annotations

import signal
import threading

import pytest

from pytest_airssys_wasm import HostFunctions, LimitedStore, WasmEngine
from pytest_airssys_wasm.runtime.errors import (
    ComponentTrapped,
    ExecutionTimeout,
    OutOfFuel,
    ResourceLimitExceeded,
    WasmError,
)
from pytest_airssys_wasm.runtime.guest import in_process
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable
from support.parked_calls import limits

MODULES = {
    "nothing": "",
    "a memory": "(memory 2)",
    "too large a memory": "(memory 5)",
    "data": '(memory 1) (data (i32.const 0) "abc")',
    "a segment that does not fit": '(memory 1) (data (i32.const 65535) "abc")',
    "two memories": "(memory 1) (memory 1)",
    "a table": "(table 10 funcref)",
    "a start function that counts": "(global $n (mut i32) (i32.const 999)) (func $f (loop (br_if 0 "
    "(global.set $n (i32.sub (global.get $n) (i32.const 1))) (global.get $n)))) (start $f)",
    "a start function that traps": "(func $f unreachable) (start $f)",
    "a start function that grows": "(memory 1) (func $f (drop (memory.grow (i32.const 1))) "
    "(drop (memory.grow (i32.const 9)))) (start $f)",
    "an endless start function": "(func $f (loop (br 0))) (start $f)",
    "_initialize": '(memory 1) (func (export "_initialize") unreachable)',
}
GUESTS = {
    **{f"a module with {name}": f"(module {text})" for name, text in MODULES.items()},
    **{
        f"a component with {name}": f"(component (core module $m {text}) (core instance (instantiate $m)))"
        for name, text in MODULES.items()
    },
}
GIVEN = [
    {},
    {"fuel": 50},
    {"memory": 65_536},
    {"memories": 0},
    {"instances": 0},
    {"tables": 0},
    {"table_elements": 9},
    {"timeout_ms": 0},
]


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


def go_the_general_way(store):
    """Let nothing in a store be instantiated directly."""
    store._backend.instantiate_directly = lambda _: None


def costs(usage):
    if usage is None:
        return None
    return usage.fuel, usage.peak_memory_bytes, usage.denied_growths, usage.transfer_bytes, usage.host_calls


def end(store, guest):
    """What an instantiation ends with, and what it has cost."""
    try:
        store.instantiate(guest)
    except WasmError as error:
        assert error.usage is None or error.usage is store.usage
        told = type(error), str(error), getattr(error, "kind", None), error.frames, str(error.call), error.call.nth
    else:
        told = None
    return told, costs(store.usage), costs(store.total)


@pytest.mark.parametrize("name", GUESTS)
@pytest.mark.parametrize("given", GIVEN, ids=lambda given: next(iter(given), "plain"))
def test_a_direct_instantiation_ends_as_one_on_the_general_way(engine, name, given):
    guest, settings, ends = engine.load(GUESTS[name]), limits(**{"fuel": 100_000, **given}), {}
    for is_direct in (False, True):
        with LimitedStore(engine, settings) as store:
            if not is_direct:
                go_the_general_way(store)
            # The second one finds what the first has left of the limits on the store.
            ends[is_direct] = [end(store, guest) for _ in range(2)]
    assert ends[True] == ends[False]


@pytest.mark.parametrize("name", ["a module with a memory", "a component with a memory"])
def test_guests_that_need_nothing_are_instantiated_directly(engine, name):
    with LimitedStore(engine, limits()) as store:
        runs = []
        store.run = runs.append
        instance = store.instantiate(engine.load(GUESTS[name]))
        assert instance.component.kind in name
        assert runs == []
        assert store.usage.peak_memory_bytes == 131_072


def test_guests_with_imports_or_an_initializer_are_not(engine):
    host = HostFunctions()
    host.register("env#f", lambda: None)
    guests = [
        engine.load('(module (import "env" "f" (func)))'),
        engine.load(GUESTS["a module with _initialize"]),
    ]
    for guest in guests:
        with LimitedStore(engine, limits(), host=host) as store:
            assert store._backend.instantiate_directly(guest) is None
            assert store.usage is None


def test_guests_of_a_shared_budget_are_not(engine):
    guest = engine.load(GUESTS["a component with a start function that counts"])
    with LimitedStore(engine, limits()) as store:
        store.instantiate(guest)
        consumed = store.usage.fuel.consumed
    with LimitedStore(engine, limits(fuel=consumed + 1), fuel_per="store") as store:
        store.instantiate(guest)
        with pytest.raises(OutOfFuel):
            store.instantiate(guest)


def test_an_observer_is_told_of_each_instantiation(engine):
    seen, guest = [], engine.load(GUESTS["a module with a memory"])
    with LimitedStore(engine, limits()) as store:
        store.instantiate(guest)
        engine.on_execution = seen.append
        try:
            store.instantiate(guest)
        finally:
            engine.on_execution = None
    assert [finished.call.nth for finished in seen] == [1]


def test_a_failed_call_knows_how_many_direct_ones_were_before(engine):
    guest = engine.load('(module (func (export "f") (param i32) (if (local.get 0) (then unreachable))))')
    with LimitedStore(engine, limits()) as store:
        instance = store.instantiate(guest)
        for _ in range(3):
            instance.f(0)
        with pytest.raises(ComponentTrapped) as caught:
            instance.f(1)
    assert caught.value.call.nth == 4


@pytest.mark.parametrize("name", ["a module with nothing", "a component with a memory"])
def test_a_direct_instantiation_without_time_is_late(engine, name):
    with LimitedStore(engine, limits(timeout_ms=0)) as store, pytest.raises(ExecutionTimeout):
        store.instantiate(engine.load(GUESTS[name]))


def test_a_deadline_holds_for_a_direct_instantiation(engine):
    guest = engine.load(GUESTS["a component with an endless start function"])
    with LimitedStore(engine, limits(fuel=None, timeout_ms=20)) as store, pytest.raises(ExecutionTimeout) as caught:
        store.instantiate(guest)
    assert caught.value.usage.wall_ms >= 20


def test_a_signal_handler_ends_a_direct_instantiation(engine):
    guest = engine.load(GUESTS["a module with an endless start function"])

    def handle(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with LimitedStore(engine, limits(fuel=None, timeout_ms=None)) as store:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(KeyboardInterrupt):
                store.instantiate(guest)
            assert store.usage.wall_ms > 0
            assert store.is_usable
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_store_in_use_or_closed_refuses_a_direct_instantiation(engine):
    guest, begun, found = engine.load(GUESTS["a module with a memory"]), threading.Event(), []
    host = HostFunctions()

    def wait():
        begun.set()
        try:
            store.instantiate(guest)
        except StoreUnusable as error:
            found.append(str(error))

    host.register("env#wait", wait)
    waits = engine.load('(module (import "env" "wait" (func $w)) (func (export "f") (call $w)))')
    with LimitedStore(engine, limits(), host=host) as store:
        store.instantiate(waits).f()
    assert begun.is_set()
    assert found == ["a host function may not call back into the store that is calling it; use another store"]
    with pytest.raises(StoreUnusable, match="closed"):
        store.instantiate(guest)


def test_instances_that_take_too_much_are_refused_with_the_general_words(engine, monkeypatch):
    guest = engine.load(f"(module {'(global v128 (v128.const i64x2 0 0))' * 20_000})")
    monkeypatch.setattr(in_process, "MOST_INSTANCE_BYTES", 2 * guest.instance_bytes)
    with LimitedStore(engine, limits()) as store:
        store.instantiate(guest)
        store.instantiate(guest)
        with pytest.raises(ResourceLimitExceeded, match="the instances of the store would take about") as caught:
            store.instantiate(guest)
    assert caught.value.resource == "instances"
