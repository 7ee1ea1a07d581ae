"""A call that was made already is profiled in fresh instances, under its own limits and those of the session."""

from __future__ import annotations

import pickle

import pytest

from pytest_airssys_wasm import HostFunctions, LimitedStore, ResourceLimits, WasmError, analysis
from pytest_airssys_wasm.analysis.profiled_call import profile_again
from pytest_airssys_wasm.runtime.budget.limits import Ceilings
from support.kernels import EDIT, N, function, module, times

LIMITS = ResourceLimits(memory="4 MiB", fuel=50_000, timeout_ms=20_000)
COUNTER = module(
    "(global $calls (mut i32) (i32.const 0))",
    function("(global.set $calls (i32.add (global.get $calls) (i32.const 1)))" + times(N, EDIT)),
    """(func (export "then") (local $i i32) (local $s i32) (local $m i32) (local.set $m (global.get $calls))"""
    + times("(local.get $m)", EDIT)
    + ")",
)


def calls_of(engine, run, *, limits=LIMITS, host=None):
    seen = []
    engine.on_execution = seen.append
    try:
        with LimitedStore(engine, limits, host=host) as store:
            run(store)
    finally:
        engine.on_execution = None
    return seen


def again(finished, ceilings=Ceilings()):  # noqa: B008 it cannot be changed
    return profile_again(finished.call, ceilings=ceilings, samples=50, time_s=20)


def test_a_call_is_told_apart_from_the_instantiation(engine):
    guest = engine.load(COUNTER)
    made, call = calls_of(engine, lambda store: store.instantiate(guest).call("f", 100))
    found = again(call)
    assert found.call_fuel == call.outcome.usage.fuel.consumed
    assert found.profile.total == found.call_fuel + made.outcome.usage.fuel.consumed
    assert sum(found.profile.stacks.values()) == found.profile.total


def test_a_call_that_depends_on_earlier_ones_is_profiled_without_them(engine):
    guest = engine.load(COUNTER)

    def run(store):
        instance = store.instantiate(guest)
        for _ in range(5):
            instance.call("f", 1)
        instance.call("then")

    *_, then = calls_of(engine, run)
    found = again(then)
    assert 0 < found.call_fuel < then.outcome.usage.fuel.consumed
    assert found.call_fuel <= found.profile.total


def test_a_limit_that_holds_for_the_call_alone_is_raised_as_far_as_the_ceiling(engine):
    guest = engine.load(
        "(module (func $start (local $i i32) (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i)"
        " (i32.const 1))) (i32.const 100))))) (start $start)"
        ' (func $f (export "f") (local $i i32) (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i)'
        " (i32.const 1))) (i32.const 100))))))"
    )
    made, call = calls_of(engine, lambda store: store.instantiate(guest).call("f"))
    fuel = call.outcome.usage.fuel.consumed
    assert made.outcome.usage.fuel.consumed >= fuel
    _, call = calls_of(
        engine,
        lambda store: store.instantiate(guest).call("f"),
        limits=ResourceLimits(memory="1 MiB", fuel=made.outcome.usage.fuel.consumed, timeout_ms=20_000),
    )
    assert again(call).profile.total > call.call.limits["fuel"]
    with pytest.raises(analysis.CannotRepeat, match="the ceiling is 500"):
        again(call, Ceilings(fuel=500))


def test_what_cannot_be_repeated_is_refused_before_anything_runs(engine):
    host, calls = HostFunctions(), []
    host.register("env#log", calls.append)
    guest = engine.load(
        '(module (import "env" "log" (func $log (param i32))) (func (export "f") (call $log (i32.const 1))))'
    )
    made, call = calls_of(engine, lambda store: store.instantiate(guest).call("f"), host=host)
    with pytest.raises(analysis.CannotRepeat, match="imports env#log"):
        again(call)
    with pytest.raises(analysis.CannotRepeat, match="no call of an export"):
        again(made)
    with pytest.raises(analysis.CannotRepeat, match="no call of an export"):
        profile_again(pickle.loads(pickle.dumps(call.call)), ceilings=Ceilings(), samples=5, time_s=1)
    assert calls == [1]


def test_a_call_that_fails_in_a_fresh_instance_ends_with_its_error(engine):
    guest = engine.load(
        '(module (global $ready (mut i32) (i32.const 0)) (func (export "open") (global.set $ready (i32.const 1)))'
        ' (func (export "use") (if (i32.eqz (global.get $ready)) (then unreachable))))'
    )

    def run(store):
        instance = store.instantiate(guest)
        instance.call("open")
        instance.call("use")

    *_, use = calls_of(engine, run)
    with pytest.raises(WasmError) as caught:
        again(use)
    assert str(caught.value.verdict) == "trap"
