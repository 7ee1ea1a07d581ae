"""Objects of the host that guests hold: how they are let go of."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout, HostFunctionError, LinkError
from pytest_airssys_wasm.runtime.execution.host_call_context import current_execution
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable
from pytest_airssys_wasm.runtime.store.store import LimitedStore

LIMITS = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000)
# Takes a ticket, and gives it back or keeps it.
GUEST = """(component
  (import "desk" (instance $desk
    (export "ticket" (type $ticket (sub resource)))
    (export "[constructor]ticket" (func (result (own $ticket))))
    (export "[method]ticket.number" (func (param "self" (borrow $ticket)) (result u32)))))
  (alias export $desk "ticket" (type $ticket))
  (core func $new (canon lower (func $desk "[constructor]ticket")))
  (core func $drop (canon resource.drop $ticket))
  (core module $m
    (import "" "new" (func $new (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "take") (drop (call $new)))
    (func (export "return") (call $drop (call $new))))
  (core instance $i (instantiate $m (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
  (func (export "take") (canon lift (core func $i "take")))
  (func (export "return") (canon lift (core func $i "return"))))"""


def serving(drop):
    class Ticket:
        def number(self):
            return 1

    Ticket.drop = drop
    host = HostFunctions()
    host.register_resource("desk#ticket", Ticket)
    return host


@pytest.mark.parametrize("error", [KeyError("which?"), ValueError("torn"), StoreUnusable("busy")])
def test_what_a_drop_raises_is_a_host_error_with_its_cause(engine, error):
    def drop(self):
        raise error

    with pytest.raises(HostFunctionError, match=r"Ticket\.drop raised") as caught:
        engine.execute(engine.load(GUEST), "return", limits=LIMITS, host=serving(drop))
    assert caught.value.__cause__ is error


def test_a_drop_may_be_a_coroutine_and_see_what_is_left(engine):
    seen = []

    async def drop(self):
        await asyncio.sleep(0.001)
        seen.append((current_execution().remaining_fuel, current_execution().remaining_ms))

    engine.execute(engine.load(GUEST), "return", limits=LIMITS, host=serving(drop))
    ((fuel, ms),) = seen
    assert 0 < fuel < 10_000
    assert 0 < ms < 20_000


def test_a_drop_that_waits_is_given_up_at_the_deadline(engine):
    async def drop(self):
        await asyncio.sleep(3_600)

    started = time.monotonic()
    with pytest.raises(ExecutionTimeout):
        limits = ResourceLimits(memory="1 MiB", timeout_ms=100)
        engine.execute(engine.load(GUEST), "return", limits=limits, host=serving(drop))
    assert time.monotonic() - started < 60


def test_a_drop_may_not_call_back_into_the_store(engine):
    def drop(self):
        instance.call("take")

    with LimitedStore(engine, LIMITS, host=serving(drop)) as store:
        instance = store.instantiate(engine.load(GUEST))
        with pytest.raises(HostFunctionError) as caught:
            instance.call("return")
    assert isinstance(caught.value.__cause__, StoreUnusable)


def test_what_the_guest_keeps_is_let_go_of_with_the_store_and_not_dropped(engine):
    dropped = []
    with LimitedStore(engine, LIMITS, host=serving(lambda self: dropped.append(self))) as store:
        instance = store.instantiate(engine.load(GUEST))
        instance.take()
        assert not dropped
        instance.call("return")
        assert len(dropped) == 1
    assert len(dropped) == 1


def test_a_method_that_the_class_lacks_is_named_before_anything_runs(engine):
    host = HostFunctions()
    host.register_resource("desk#ticket", type("Ticket", (), {}))
    with pytest.raises(LinkError, match=r"ticket\.number: .*\(the class Ticket does not have this method\)"):
        engine.execute(engine.load(GUEST), "take", limits=LIMITS, host=host)


TWO = """(component
  (import "desk" (instance $desk
    (export "ticket" (type $ticket (sub resource)))
    (export "[constructor]ticket" (func (result (own $ticket))))
    (export "merge" (func (param "a" (borrow $ticket)) (param "b" (borrow $ticket)) (result u32)))))
  (alias export $desk "ticket" (type $ticket))
  (core func $new (canon lower (func $desk "[constructor]ticket")))
  (core func $merge (canon lower (func $desk "merge")))
  (core module $m
    (import "" "new" (func $new (result i32)))
    (import "" "merge" (func $merge (param i32 i32) (result i32)))
    (func (export "f") (result i32) (call $merge (call $new) (call $new))))
  (core instance $i (instantiate $m (with "" (instance (export "new" (func $new)) (export "merge" (func $merge))))))
  (func (export "f") (result u32) (canon lift (core func $i "f"))))"""


def test_a_host_function_may_borrow_several_resources(engine):
    host = serving(lambda self: None)
    host.register("desk#merge", lambda a, b: a.number() + b.number())
    assert engine.execute(engine.load(TWO), "f", limits=LIMITS, host=host).value == 2


def test_a_store_whose_guest_holds_host_objects_is_collected(engine):
    store = LimitedStore(engine, LIMITS, host=serving(lambda self: None))
    store.instantiate(engine.load(GUEST)).take()
    kept = weakref.ref(store)
    del store
    gc.collect()
    assert kept() is None
