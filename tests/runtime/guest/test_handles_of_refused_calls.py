"""A handle that a guest should get by value stays with its owner where the call is refused, in both modes."""

from __future__ import annotations

import gc
import weakref

import pytest

from pytest_airssys_wasm import (
    HostFunctionError,
    HostFunctions,
    LimitedStore,
    ResourceLimits,
)
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
GUEST = """(component
  (type $r' (resource (rep i32)))
  (core func $new (canon resource.new $r'))
  (core func $drop (canon resource.drop $r'))
  (import "swap" (func $swap (result u32)))
  (core func $swap' (canon lower (func $swap)))
  (core module $m (import "" "new" (func $new (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
    (import "" "swap" (func $swap (result i32)))
    (func (export "make") (result i32) (call $new (i32.const 7)))
    (func (export "eat") (param i32 i32) (call $drop (local.get 0)))
    (func (export "eat-both") (param i32 i32) (call $drop (local.get 0)) (call $drop (local.get 1)))
    (func (export "look") (param i32) (result i32) (local.get 0))
    (func (export "call-swap") (result i32) (call $swap)))
  (core instance $i (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "drop" (func $drop)) (export "swap" (func $swap'))))))
  (export $r "r" (type $r'))
  (func (export "make") (result (own $r)) (canon lift (core func $i "make")))
  (func (export "eat") (param "h" (own $r)) (param "n" u32) (canon lift (core func $i "eat")))
  (func (export "eat-both") (param "a" (own $r)) (param "b" (own $r)) (canon lift (core func $i "eat-both")))
  (func (export "look") (param "h" (borrow $r)) (result u32) (canon lift (core func $i "look")))
  (func (export "call-swap") (result u32) (canon lift (core func $i "call-swap"))))"""
# The host gives tickets out: as an argument, and as the result of a function.
DESK = """(component
  (import "desk" (instance $desk
    (export "ticket" (type $ticket (sub resource)))
    (export "next" (func (result (tuple (own $ticket) u32))))))
  (alias export $desk "ticket" (type $ticket))
  (core module $mem (memory (export "memory") 1))
  (core instance $mem (instantiate $mem))
  (core func $next (canon lower (func $desk "next") (memory (core memory $mem "memory"))))
  (core func $drop (canon resource.drop $ticket))
  (core module $m (import "" "next" (func $next (param i32))) (import "" "drop" (func $drop (param i32)))
    (func (export "f") (call $next (i32.const 0)))
    (func (export "keep") (param i32 i32) (call $drop (local.get 0))))
  (core instance $i (instantiate $m (with "" (instance (export "next" (func $next)) (export "drop" (func $drop))))))
  (func (export "f") (canon lift (core func $i "f")))
  (func (export "keep") (param "t" (own $ticket)) (param "n" u32) (canon lift (core func $i "keep"))))"""


@pytest.fixture(scope="module", params=["thread", "process"])
def either_engine(request, new_engine):
    with new_engine(request.param) as engine:
        yield engine


@pytest.fixture
def instance(either_engine):
    host = HostFunctions()
    host.register("swap", lambda: 1)
    with LimitedStore(either_engine, LIMITS, host=host) as store:
        yield store.instantiate(either_engine.load(GUEST))


@pytest.mark.slow
@pytest.mark.parametrize("args", [("wrong",), (2**32,), (None,)])
def test_a_handle_stays_where_another_argument_does_not_fit(instance, args):
    handle = instance.make()
    with pytest.raises((TypeError, ValueError), match=r"args\[1\]"):
        instance.eat(handle, *args)
    assert instance.look(handle) > 0
    instance.eat(handle, 1)
    with pytest.raises(ValueError, match="given away"):
        instance.look(handle)


def test_a_handle_stays_where_the_number_of_arguments_or_the_name_is_wrong(instance):
    handle = instance.make()
    with pytest.raises(TypeError):
        instance.eat(handle)
    with pytest.raises(LookupError):
        instance.call("eats", handle, 1)
    instance.eat(handle, 1)


def test_a_handle_cannot_be_given_twice_in_one_call(instance):
    handle = instance.make()
    with pytest.raises(ValueError, match="given away by the same call"):
        instance.call("eat-both", handle, handle)
    instance.call("eat-both", handle, instance.make())


def test_a_handle_stays_where_its_store_is_in_use(either_engine):
    host = HostFunctions()
    refused = []
    with LimitedStore(either_engine, LIMITS, host=host) as store:

        @host.register("swap")
        def swap():
            for use in (lambda: instance.eat(handle, 1), handle.drop):
                with pytest.raises(StoreUnusable):
                    use()
                refused.append(use)
            return 1

        instance = store.instantiate(either_engine.load(GUEST))
        handle = instance.make()
        assert instance.call("call-swap") == 1
        assert len(refused) == 2
        assert instance.look(handle) > 0
        handle.drop()
        assert "dropped" in repr(handle)


def test_host_objects_of_a_refused_call_are_forgotten(either_engine):
    class Ticket:
        dropped = 0

        def drop(self):
            Ticket.dropped += 1

    host = HostFunctions()
    host.register_resource("desk#ticket", Ticket)
    host.register("desk#next", lambda: (Ticket(), "wrong"))
    with LimitedStore(either_engine, LIMITS, host=host) as store:
        instance = store.instantiate(either_engine.load(DESK))
        ticket = Ticket()
        with pytest.raises(TypeError, match=r"args\[1\]"):
            instance.keep(ticket, "wrong")
        kept, ticket = weakref.ref(ticket), Ticket()
        gc.collect()
        assert kept() is None
        instance.keep(ticket, 1)
        assert Ticket.dropped == 1
        with pytest.raises(HostFunctionError, match=r"result\[1\]"):
            instance.f()
