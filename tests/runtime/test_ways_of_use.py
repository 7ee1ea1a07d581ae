"""Each way of using an engine, a store, an instance and a resource: called and awaited, in both forms of blocks."""

import asyncio

import pytest

from pytest_airssys_wasm import (
    HostFunctions,
    InvalidConfiguration,
    LimitedStore,
    ResourceLimits,
    StoreUnusable,
    WasmEngine,
    current_execution,
)

LIMITS = ResourceLimits(memory="1 MiB", fuel=100_000, timeout_ms=10_000)

MODULE = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'

COUNTERS = """(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core func $drop (canon resource.drop $r))
  (core module $m
    (import "" "new" (func $new (param i32) (result i32)))
    (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
    (func (export "get") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
  (export $counter "counter" (type $r))
  (func (export "[constructor]counter") (param "n" u32) (result (own $counter)) (canon lift (core func $i "make")))
  (func (export "[method]counter.get") (param "self" (borrow $counter)) (result u32) (canon lift (core func $i "get"))))"""


@pytest.fixture
def guest(engine):
    return engine.load(MODULE)


def test_an_attribute_is_called_or_awaited(engine, guest):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(guest)
        assert instance.add(1, 2) == 3
        assert asyncio.run(instance.add.call_async(3, 4)) == 7
        assert asyncio.run(instance.call_async("add", 5, 6)) == 11


def test_a_guest_is_loaded_without_blocking_the_loop(engine):
    async def load():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        component = await engine.load_async(MODULE)
        ticking.cancel()
        return component, ticks

    component, ticks = asyncio.run(load())
    assert engine.execute(component, "add", 1, 2, limits=LIMITS).value == 3
    assert ticks
    with pytest.raises(FileNotFoundError):
        asyncio.run(engine.load_async("nowhere.wasm"))


def test_a_resource_is_used_and_dropped_either_way(engine):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load(COUNTERS))

        async def awaited():
            async with await instance.call_async("[constructor]counter", 7) as counter:
                assert await counter.get.call_async() == 7
            return counter

        with instance.call("[constructor]counter", 6) as called:
            assert called.get() == 6
        for counter in (called, asyncio.run(awaited())):
            assert repr(counter) == "<resource counter (dropped or given away)>"
        dropped = instance.call("[constructor]counter", 8)
        asyncio.run(dropped.drop_async())
        asyncio.run(dropped.drop_async())
        assert "dropped" in repr(dropped)


def test_blocks_close_what_they_were_given(guest):
    async def awaited():
        async with WasmEngine() as engine, LimitedStore(engine, LIMITS) as store:
            async with await store.instantiate_async(await engine.load_async(MODULE)) as instance:
                assert await instance.add.call_async(1, 2) == 3
            assert not store.is_usable
        return instance

    with WasmEngine() as engine, LimitedStore(engine, LIMITS) as store:
        with store.instantiate(engine.load(MODULE)) as called:
            assert called.add(1, 2) == 3
        assert not store.is_usable
    for instance in (called, asyncio.run(awaited())):
        with pytest.raises(StoreUnusable, match="it was closed"):
            instance.add(1, 2)


def test_everything_says_what_it_is(engine, guest):
    host = HostFunctions()
    host.register("env#f", lambda: seen.append(repr(current_execution())))
    seen = []
    asking = engine.load('(module (import "env" "f" (func $f)) (func (export "g") call $f))')
    with LimitedStore(engine, LIMITS, host=host) as store:
        instance = store.instantiate(asking)
        instance.g()
        assert repr(instance) == "<instance of <module <text>>>"
        assert repr(instance.g) == "<g of <module <text>>>"
        assert repr(store) == f"<store under {LIMITS!r}, open>"
    assert repr(store) == f"<store under {LIMITS!r}, not usable any more>"
    assert repr(host) == "HostFunctions(env#f)"
    assert "fuel" in seen[0]
    assert repr(engine).startswith("<engine with no cache")


def test_fuel_is_for_a_call_or_for_the_store(engine, guest):
    for right in ("call", "store"):
        LimitedStore(engine, LIMITS, fuel_per=right).close()
    with pytest.raises(InvalidConfiguration, match="fuel_per: expected 'call' or 'store', got 'execution'"):
        LimitedStore(engine, LIMITS, fuel_per="execution")
