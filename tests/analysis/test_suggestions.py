"""Suggested limits: histories of stores are executed again, and what differs then is never a suggestion."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest

from pytest_airssys_wasm import ComponentTrapped, HostFunctions, LimitedStore, OutOfFuel, OutOfMemory, ResourceLimits
from pytest_airssys_wasm.analysis.histories import MOST_STEPS, History
from pytest_airssys_wasm.analysis.suggestions import merged, suggest
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.repetition import repetition_of

WAT = """(module (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  (func (export "count") (param i32) (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0))
  (func (export "calls") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls))
  (func (export "try") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "cautious") (param i32)
    (if (i32.eq (memory.grow (local.get 0)) (i32.const -1))
      (then (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0)))))"""
LIMITS = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000)
BOTH = frozenset(["fuel", "memory"])


@pytest.fixture
def recorded():
    """A function that gives the histories of stores in which calls are made: one store for each list of calls."""
    seen = []
    with WasmEngine(on_execution=seen.append) as engine:

        def run(*stores, wat=WAT, host=None, limits=LIMITS):
            component, histories = engine.load(wat), []
            for number, calls in enumerate(stores):
                seen.clear()
                with LimitedStore(engine, limits, host=host) as store:
                    instance = store.instantiate(component)
                    for name, *args in calls:
                        with suppress(OutOfFuel, ComponentTrapped, OutOfMemory):
                            instance.call(name, *args)
                first = repetition_of(seen[0].call)
                histories.append(History.begun_by(first, tightens=BOTH))
                for finished in seen:
                    histories[-1].add(f"test_{number}", finished, repetition_of(finished.call))
            return histories

        yield run


def test_calls_of_one_store_are_executed_in_one_instance(recorded):
    found = suggest(recorded([("calls",), ("calls",), ("count", 30)], [("count", 5)]))
    assert (found.tests, found.steps, found.obstacle, found.unrepeated) == (2, 6, None, ())
    assert {name: (one.test, one.call) for name, one in found.found.items()} == {
        "fuel": ("test_0", "count(30)"),
        "memory": ("test_0", "instantiate <text>"),
    }
    assert found.found["memory"].value == 65_536


def test_a_call_that_runs_out_of_fuel_on_purpose_needs_no_more_than_the_others(recorded):
    found = suggest(recorded([("count", 30)], [("count", 1_000_000)]))
    assert found.found["fuel"].test == "test_0"
    assert found.found["fuel"].value < 200


def test_a_guest_that_remembers_outside_of_its_store_is_not_repeated(recorded):
    host, numbers = HostFunctions(), itertools.count(1)
    host.register("env#next", lambda: next(numbers), repeatable=True)
    wat = """(module (import "env" "next" (func $next (result i32)))
      (func (export "f") (local i32) (local.set 0 (call $next))
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""
    found = suggest(recorded([("f",)], wat=wat, host=host))
    assert not found.found
    (left,) = found.unrepeated
    assert left.tests == ("test_0",)
    assert left.reason.startswith("f ended ok with")
    assert "when it was run again ok with" in left.reason


def test_a_growth_that_may_be_refused_is_not_put_together_from_several_processes(recorded):
    parts = [suggest(recorded(calls)) for calls in ([("try", 1_000)], [("count", 5)])]
    assert [part.is_monotone for part in parts] == [False, True]
    assert "run them in one" in merged(parts).obstacle
    assert merged(parts[1:]) == parts[1]
    together = suggest(recorded([("try", 1_000)], [("count", 5)]))
    assert set(together.found) == {"fuel", "memory"}


def test_the_highest_of_several_processes_is_taken_with_its_witness(recorded):
    parts = [suggest(recorded([("count", n)])) for n in (5, 50, 7)]
    assert merged(parts).found["fuel"] == parts[1].found["fuel"]
    assert (merged(parts).tests, merged(parts).steps) == (3, 6)


def test_a_guest_that_does_with_less_memory_is_given_what_ends_the_same(recorded):
    found = suggest(recorded([("cautious", 3)])).found
    # Without the growth it counts to 3 instead, and ends the same: memory and fuel were tried together.
    assert found["memory"].value == 65_536
    assert found["fuel"].value > 10


def test_a_limit_suffices_while_the_other_one_is_as_it_was(recorded):
    wat = """(module (memory (export "memory") 1)
      (func (export "hoard") (local i32)
        (loop
          (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
          (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100))))))"""
    (history,) = recorded([("hoard",)], wat=wat)
    found = suggest([history]).found
    # With as little memory as that it traps at once, with 1 MiB after some calls.
    assert found["memory"].value == 65_536

    def endings(**limits):
        return [done.ending for done in history.replay(**limits)]

    before, fuel = endings(), found["fuel"].value
    assert endings(fuel=fuel) == endings(fuel=fuel, memory=65_536) == endings(memory=65_536) == before
    assert endings(fuel=fuel - 1) != before


@pytest.mark.slow
def test_a_very_long_history_keeps_its_figures_only(recorded):
    (history,) = recorded([("calls",)] * MOST_STEPS + [("count", 100)])
    assert len(history.steps) == MOST_STEPS
    (left,) = suggest([history]).unrepeated
    assert f"more than {MOST_STEPS:,} executions" in left.reason
    assert left.used["fuel"] > 300


def test_a_change_of_an_argument_after_the_call_is_not_seen(engine):
    seen = []
    wat = """(component (core module $m (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
        (func (export "f") (param i32 i32)
          (loop (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))))
      (core instance $i (instantiate $m))
      (func (export "f") (param "items" (list u8)) (canon lift (core func $i "f")
        (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"""
    items = [1] * 50
    with WasmEngine(on_execution=seen.append) as watched:
        component = watched.load(wat)
        watched.execute(component, "f", items, limits=LIMITS)
        first = repetition_of(seen[0].call)
        history = History.begun_by(first, tightens=BOTH)
        history.add("test", seen[0], first)
        items.clear()
        assert suggest([history]).found["fuel"].value > 150


def test_a_history_that_cannot_even_begin_when_the_test_is_over_is_named(tmp_path):
    seen = []
    folder = tmp_path / "data"
    folder.mkdir()
    with WasmEngine(on_execution=seen.append) as watched:
        wasi = Wasi(preopen={"/data": (folder, "ro")})
        with LimitedStore(watched, LIMITS, wasi=wasi) as store:
            store.instantiate(watched.load(WAT)).call("count", 5)
        first = repetition_of(seen[0].call)
        history = History.begun_by(first, tightens=BOTH)
        for finished in seen:
            history.add("test", finished, repetition_of(finished.call))
        folder.rmdir()
        (left,) = suggest([history]).unrepeated
    assert left.reason.startswith("it could not be run again: InvalidConfiguration: wasi.preopen")
