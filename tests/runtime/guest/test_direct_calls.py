"""Direct calls and executions give the same as those on the general way, value by value and figure by figure."""

from __future__ import annotations

import gc
import threading
import weakref
from functools import partial

import pytest

from pytest_airssys_wasm import Execution, LimitedStore, WasmEngine
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout, WasmError
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable
from support.parked_calls import limits

CORE = """(module (memory (export "memory") 1)
    (func (export "ints") (param i32 i64) (result i64) (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1)))
    (func (export "floats") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 2)))
    (func (export "narrow") (param f32) (result f32) (local.get 0))
    (func (export "both") (param i32) (result i32 i64) (local.get 0) (i64.const 7))
    (func (export "none"))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "trap") (param i32) (if (local.get 0) (then unreachable)))
    (func (export "loop") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""
WIT = """(component
  (core module $m (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "same") (param i32) (result i32) (local.get 0))
    (func (export "same64") (param i64) (result i64) (local.get 0))
    (func (export "samef") (param f64) (result f64) (local.get 0))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "none"))
    (func (export "trap") (param i32) (if (local.get 0) (then unreachable)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "loop") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "text") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
    (func (export "far") (result i32)
      (i32.store (i32.const 16) (i32.const 65000)) (i32.store (i32.const 20) (i32.const 65000)) (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "bool") (param "a" bool) (result bool) (canon lift (core func $i "same")))
  (func (export "s8") (param "a" s8) (result s8) (canon lift (core func $i "same")))
  (func (export "u16") (param "a" u16) (result u16) (canon lift (core func $i "same")))
  (func (export "u32") (param "a" u32) (result u32) (canon lift (core func $i "same")))
  (func (export "u64") (param "a" u64) (result u64) (canon lift (core func $i "same64")))
  (func (export "f64") (param "a" f64) (result f64) (canon lift (core func $i "samef")))
  (func (export "char") (param "a" char) (result char) (canon lift (core func $i "same")))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
  (func (export "none") (canon lift (core func $i "none")))
  (func (export "trap") (param "a" u32) (canon lift (core func $i "trap")))
  (func (export "grow") (param "a" u32) (result s32) (canon lift (core func $i "grow")))
  (func (export "loop") (param "a" u32) (canon lift (core func $i "loop")))
  (func (export "text") (param "a" string) (result string)
    (canon lift (core func $i "text") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func (export "maybe") (param "a" (option u32)) (result u32) (canon lift (core func $i "add")))
  (func (export "far") (result string) (canon lift (core func $i "far") (memory (core memory $i "memory")))))"""

CALLS = [
    (
        CORE,
        "ints",
        [(1, 2), (-1, 2**63 - 1), (2**32 - 1, 2**64 - 1), (-(2**31), -(2**63)), (2**32, 1), (1,), (True, 1)],
    ),
    (CORE, "floats", [(1.5,), (3,), (float("nan"),), ("x",), (True,)]),
    (CORE, "narrow", [(1.5,), (1e300,)]),
    (CORE, "both", [(1,), (-1,)]),
    (CORE, "none", [(), (1,)]),
    (CORE, "grow", [(1,), (1,), (100,), (-1,)]),
    (CORE, "trap", [(0,), (1,)]),
    (CORE, "loop", [(10,), (10_000_000,)]),
    (WIT, "bool", [(True,), (False,), (1,)]),
    (WIT, "s8", [(-128,), (127,), (128,), (1.0,)]),
    (WIT, "u16", [(65_535,), (-1,)]),
    (WIT, "u32", [(2**32 - 1,), (2**32,), (True,)]),
    (WIT, "u64", [(2**64 - 1,), (-1,)]),
    (WIT, "f64", [(0.1,), (1,), (float("inf"),)]),
    (WIT, "char", [("x",), ("\U0001f600",), ("xy",), ("\ud800",)]),
    (WIT, "add", [(1, 2), (-3, 2), (2**31, 0), (1,), (1, 2, 3)]),
    (WIT, "none", [()]),
    (WIT, "trap", [(0,), (7,)]),
    (WIT, "grow", [(1,), (100,)]),
    (WIT, "loop", [(10,), (10_000_000,)]),
    (WIT, "text", [("",), ("grüße",), ("x" * 60_000,), (b"x",), ("x" * 70_000,)]),
    (WIT, "maybe", [(None,), (5,), (-5,)]),
    (WIT, "far", [()]),
]


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


def outcome(call, usage_of):
    """The result or error of a call, and its costs without its times."""
    try:
        value = call()
    except WasmError as error:
        return type(error), str(error), getattr(error, "kind", None), error.frames, cost(error.usage)
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    return repr(value.value if isinstance(value, Execution) else value), cost(usage_of(value))


def cost(usage):
    if usage is None:  # refused before anything has run
        return None
    return {
        name: getattr(usage, name)
        for name in (
            "fuel",
            "peak_memory_bytes",
            "memory_limit_bytes",
            "denied_growths",
            "transfer_bytes",
            "host_calls",
        )
    }


@pytest.mark.parametrize(
    ("source", "name", "arguments"), CALLS, ids=lambda value: value if isinstance(value, str) and len(value) < 9 else ""
)
@pytest.mark.parametrize("given", [{}, {"transfer": 100}, {"fuel": None, "timeout_ms": None}])
def test_a_direct_call_ends_as_one_on_the_general_way(engine, source, name, arguments, given):
    if name == "loop" and given.get("timeout_ms", 0) is None:
        arguments = arguments[:1]
    guest, settings, general_outcomes, outcomes = engine.load(source), limits(**given), [], []
    first = arguments[0]
    for args in arguments:
        for found, is_direct in ((general_outcomes, False), (outcomes, True)):
            with LimitedStore(engine, settings) as store:
                if not is_direct:
                    store.direct_call = lambda *_: None
                instance = store.instantiate(guest)
                for each in (first, args):
                    found.append(outcome(partial(instance.call, name, *each), lambda _, store=store: store.usage))
                found.append(cost(store.total))
    assert outcomes == general_outcomes


@pytest.mark.parametrize(
    ("source", "name", "arguments"), CALLS, ids=lambda value: value if isinstance(value, str) and len(value) < 9 else ""
)
@pytest.mark.parametrize("given", [{}, {"transfer": 100}, {"memory": "64 KiB"}, {"memory": 100}, {"instances": 0}])
def test_a_direct_execution_ends_as_one_on_the_general_way(engine, source, name, arguments, given):
    guest, settings = engine.load(source), limits(**given)
    general, direct = [], []
    for args in arguments:
        engine.on_execution = lambda _: None  # an observer needs a record of each
        try:
            general.append(
                outcome(partial(engine.execute, guest, name, *args, limits=settings), lambda done: done.usage)
            )
        finally:
            engine.on_execution = None
        direct.append(outcome(partial(engine.execute, guest, name, *args, limits=settings), lambda done: done.usage))
    assert direct == general


def test_calls_of_numbers_and_records_are_direct(engine):
    with LimitedStore(engine, limits()) as store:
        instance = store.instantiate(engine.load(WIT))
        instance.add(1, 2)
        runs = []
        store.run = runs.append
        assert instance.add(3, 4) == 7
        assert instance.call("add", 5, 6) == 11
        assert runs == []


def test_an_observer_is_told_of_each_call(engine):
    seen = []
    with LimitedStore(engine, limits()) as store:
        instance = store.instantiate(engine.load(WIT))
        instance.add(1, 2)
        instance.add(1, 2)
        engine.on_execution = seen.append
        try:
            instance.add(1, 2)
        finally:
            engine.on_execution = None
    assert [str(finished.call) for finished in seen] == ["<call add(1, 2)>"]


def test_a_store_that_is_closed_is_refused_by_direct_calls(engine):
    store = LimitedStore(engine, limits())
    instance = store.instantiate(engine.load(WIT))
    instance.add(1, 2)
    add = instance.add
    store.close()
    with pytest.raises(StoreUnusable, match="closed"):
        add(1, 2)


@pytest.mark.slow
def test_a_direct_call_of_a_store_in_use_is_refused(engine):
    store, guest = LimitedStore(engine, limits(fuel=None, timeout_ms=300)), engine.load(CORE)
    instance = store.instantiate(guest)
    instance.none()
    instance.loop(1)

    def spin():
        while True:
            try:
                instance.loop(0)
            except StoreUnusable:  # a call of the other thread was first
                continue
            except ExecutionTimeout:
                return

    thread = threading.Thread(target=spin)
    thread.start()
    refused = 0
    while thread.is_alive():
        try:
            instance.none()
        except StoreUnusable:
            refused += 1
    thread.join()
    assert refused
    store.close()


def test_many_calls_add_up(engine):
    with LimitedStore(engine, limits()) as store:
        instance = store.instantiate(engine.load(WIT))
        instantiated = store.total.fuel.consumed
        instance.add(1, 2)
        each = store.usage.fuel.consumed
        for _ in range(3_000):
            instance.add(1, 2)
        assert store.total.fuel.consumed == instantiated + 3_001 * each


def test_functions_keep_no_store_alive(own_engine):
    engine = own_engine
    gc.collect()
    gc.disable()
    try:
        store = LimitedStore(engine, limits())
        instance = store.instantiate(engine.load(WIT))
        for _ in range(3):
            instance.add(1, 2)
            instance.text("x")
        gone = weakref.ref(store)
        del store, instance
        assert gone() is None
    finally:
        gc.enable()
    assert engine.live_memories == 0


def test_one_function_is_called_on_many_threads_by_turns(engine):
    with LimitedStore(engine, limits()) as store:
        instance = store.instantiate(engine.load(WIT))
        instance.add(0, 0)
        lock, wrong = threading.Lock(), []

        def work(number):
            for count in range(200):
                with lock:
                    if instance.add(number, count) != number + count:
                        wrong.append((number, count))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
