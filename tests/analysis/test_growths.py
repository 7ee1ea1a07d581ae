"""The growths of memory in a failed call, each with its fuel, its size and its functions."""

from __future__ import annotations

import pickle

import pytest

from pytest_airssys_wasm import HostFunctions, LimitedStore, OutOfFuel, OutOfMemory, ResourceLimits, WasmError, analysis

KIB = 1_024
LIMITS = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000)
GUEST = """(module
  (memory (export "memory") 1)
  (func $grow (param i32) (result i32) (memory.grow (local.get 0)))
  (func $take (param i32) (drop (call $grow (local.get 0))))
  (func $need (param i32) (if (i32.eq (call $grow (local.get 0)) (i32.const -1)) (then unreachable)))
  (func (export "hoard") (param i32)
    (call $take (i32.const 2)) (call $take (i32.const 100)) (call $take (i32.const 3)) (call $need (local.get 0)))
  (func (export "step-by-step")
    (loop (call $need (i32.const 1)) (br 0)))
  (func (export "spin") (loop (br 0))))"""


def error_of(engine, export, *args, guest=GUEST, limits=LIMITS, host=None):
    with pytest.raises(WasmError) as failed:
        engine.execute(engine.load(guest), export, *args, limits=limits, host=host)
    return failed.value


def as_rows(found):
    return [(one.memory_bytes, one.refused, [frame.function for frame in one.frames][:2]) for one in found.growths]


def test_each_growth_has_its_size_and_its_functions_and_refused_ones_are_told_in_their_order(engine):
    error = error_of(engine, "hoard", 100)
    found = analysis.memory_growths(error)
    assert (found.initial_bytes, found.is_complete) == (64 * KIB, True)
    assert as_rows(found) == [
        (192 * KIB, 0, ["grow", "take"]),
        (None, 1, ["grow", "take"]),
        (384 * KIB, 0, ["grow", "take"]),
        (None, 1, ["grow", "need"]),
    ]
    assert [one.fuel for one in found.growths] == sorted({one.fuel for one in found.growths})


def test_the_fuel_of_a_growth_is_exact(engine):
    component = engine.load(GUEST)
    first, *_ = analysis.memory_growths(error_of(engine, "hoard", 100)).growths
    peaks = []
    for budget in (first.fuel - 1, first.fuel):
        limits = ResourceLimits(memory="1 MiB", fuel=budget, timeout_ms=20_000)
        with pytest.raises(OutOfFuel) as spent:
            engine.execute(component, "hoard", 100, limits=limits)
        peaks.append(spent.value.usage.peak_memory_bytes)
    assert peaks == [64 * KIB, 192 * KIB]


def test_a_call_after_its_instantiation_has_the_same_growths(engine):
    with LimitedStore(engine, LIMITS) as store, pytest.raises(OutOfMemory) as failed:
        store.instantiate(engine.load(GUEST)).call("hoard", 100)
    assert analysis.memory_growths(failed.value) == analysis.memory_growths(error_of(engine, "hoard", 100))


def test_a_call_without_growths_has_none(engine):
    found = analysis.memory_growths(error_of(engine, "spin"))
    assert (found.initial_bytes, found.growths, found.is_complete) == (64 * KIB, (), True)


def test_of_more_than_sixteen_growths_the_first_are_shown(engine):
    limits = ResourceLimits(memory="4 MiB", fuel=10_000, timeout_ms=20_000)
    found = analysis.memory_growths(error_of(engine, "step-by-step", limits=limits))
    assert [one.memory_bytes for one in found.growths] == [64 * KIB * n for n in range(2, 18)]
    assert not found.is_complete


def test_a_search_whose_time_is_up_says_so(engine):
    found = analysis.memory_growths(error_of(engine, "hoard", 100), time_s=1e-9)
    assert (found.growths, found.is_complete) == ((), False)


def test_what_cannot_be_repeated_is_refused(engine):
    with pytest.raises(analysis.CannotRepeat, match="the error is a copy"):
        analysis.memory_growths(pickle.loads(pickle.dumps(error_of(engine, "hoard", 100))))
    host = HostFunctions()
    host.register("env#f", lambda: None)
    guest = GUEST.replace("(module", '(module (import "env" "f" (func))', 1)
    with pytest.raises(analysis.CannotRepeat, match="env#f"):
        analysis.memory_growths(error_of(engine, "hoard", 100, guest=guest, host=host))
