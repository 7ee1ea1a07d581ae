"""Searches that are guided by the blocks that examples reach get behind several conditions, and judge as others do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_airssys_wasm import HostFunctions, ProcessIsolation, ResourceLimits, WasmEngine
from pytest_airssys_wasm.fuzzing import guidance
from pytest_airssys_wasm.fuzzing.export_check import check_export
from pytest_airssys_wasm.fuzzing.guidance import GuidedTrials, ReachedBlocks, guided
from pytest_airssys_wasm.fuzzing.search import Plan
from pytest_airssys_wasm.fuzzing.trials import Guest, try_call
from pytest_airssys_wasm.validation.candidate import Candidate
from pytest_airssys_wasm.validation.unfit import Unfit
from support.deep_guests import DEEP

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
# It passes six blocks for each unit of its argument, and traps if there are 1,000 of them.
TURNS = """(module (func (export "turn") (param $n i32)
  (loop $next (if (local.get $n) (then
    (if (i32.eq (local.get $n) (i32.const 1000)) (then unreachable))
    (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br $next))))))"""


def checked(engine, text, *, is_guided, examples):
    guest = engine.load(text)
    candidate = Candidate(
        engine=engine,
        wasm=Path("guest.wat"),
        loader=lambda: guest,
        manifest=None,
        declared_limits=LIMITS,
        host=HostFunctions(),
        wasi=None,
    )
    plan = Plan(profile="ci", examples=examples, time_s=60, shrink_s=60, seed=0, is_guided=is_guided)
    return check_export(candidate, "f", plan)


@pytest.mark.slow
def test_a_fault_behind_several_conditions_is_found_and_shrunk(engine):
    assert "reached" not in checked(engine, DEEP["two numbers"].source, is_guided=False, examples=100)
    with pytest.raises(Unfit) as raised:
        checked(engine, DEEP["two numbers"].source, is_guided=True, examples=100)
    assert raised.value.reason == "f(7919, 104729, 0, 0) ended with trap (unreachable)"


def test_the_note_says_how_many_blocks_were_reached(engine):
    sound = DEEP["two numbers"].source.replace("unreachable", "nop")
    note = checked(engine, sound, is_guided=True, examples=2)
    assert re.fullmatch(r"66 examples, seed 0; [12] of 4 blocks reached", note)


def test_the_smallest_example_for_some_blocks_is_kept_and_the_newest_is_picked_first():
    blocks = ReachedBlocks()
    assert blocks.pick() is None
    blocks.add(("long",), b"\0\1")
    blocks.add(("b",), b"\0\1")
    blocks.add(("longer",), b"\0\1")
    blocks.add(("new",), b"\1\0")
    blocks.add(("both",), b"\1\1")  # nothing new
    assert [blocks.pick() for _ in range(4)] == [("new",), ("b",), ("new",), ("b",)]
    assert blocks.count == 2


@pytest.fixture
def turning(engine):
    """The trials of a guest that may turn a hundred times."""
    component = engine.load(TURNS)
    whole = Guest(engine=engine, component=component, limits=LIMITS)
    fuel = try_call(whole, "turn", (100,)).usage.fuel.consumed
    limits = ResourceLimits(memory="1 MiB", fuel=fuel, timeout_ms=20_000)
    with GuidedTrials(Guest(engine=engine, component=component, limits=limits)) as trials:
        yield trials


def test_the_fuel_of_probes_is_not_held_against_a_guest(turning):
    assert turning.probe("turn", (100,), (), set()) is None


def test_a_call_that_runs_out_of_fuel_only_without_probes_is_a_fault(turning):
    assert turning.probe("turn", (101,), (), set()).kind == "out-of-fuel"
    assert turning.probe("turn", (1000,), (), set()).kind == "trap:unreachable"


def test_ends_that_are_allowed_are_noted(turning):
    needed = set()
    assert turning.probe("turn", (1000,), ("trap:unreachable", "trap"), needed) is None
    assert turning.probe("turn", (500,), ("out-of-fuel",), needed) is None
    assert needed == {"trap:unreachable", "trap", "out-of-fuel"}


def test_a_large_guest_is_not_copied(engine, monkeypatch):
    monkeypatch.setattr(guidance, "MOST_CODE_BYTES", 8)
    assert guided(Guest(engine=engine, component=engine.load(TURNS), limits=LIMITS)) is None


@pytest.mark.slow
def test_a_guest_in_a_worker_process_is_guided_too():
    wanted = pytest.raises(Unfit, match=r"f\(7919, 104729, 0, 0\) ended with trap")
    with WasmEngine(isolation=ProcessIsolation()) as engine, wanted:
        checked(engine, DEEP["two numbers"].source, is_guided=True, examples=200)
