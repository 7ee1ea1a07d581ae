"""Guests with probes do the same as without, and find exactly what was reached."""

from __future__ import annotations

import pytest
from msgspec import structs

from pytest_airssys_wasm import ProcessIsolation, ResourceLimits, Verdict, Wasi, WasmEngine
from pytest_airssys_wasm.analysis.guest_coverage import probed_guest
from pytest_airssys_wasm.analysis.guest_coverage.probed_build import ProbedBuild
from pytest_airssys_wasm.analysis.guest_coverage.probed_guest import ProbedGuest
from pytest_airssys_wasm.conformance.loader import data_folder
from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.binary.probes import COUNTING_PROBE_FUEL, PROBE_FUEL, CannotInstrument
from support.probed import called
from support.random_modules import random_module

LIMITS = ResourceLimits(memory="2 MiB", fuel=300_000, timeout_ms=20_000)
CASES = data_folder("conformance")
ARGUMENTS = {"i32": 3, "i64": -5, "f32": 1.5, "f64": float("nan"), "string": "hi", "list<u8>": b"321", "bool": True}
ARGUMENTS |= dict.fromkeys(["u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64"], 5)
# Each turn takes another branch.
STAIRS = """(module (func (export "climb") (param $to i32) (local $i i32)
  (loop $next
    {steps}
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (local.get $to)))))
  (func (export "warm") (drop (i32.const 1))))"""


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as made:
        yield made


def stairs(count):
    steps = "".join(
        f"(if (i32.eq (local.get $i) (i32.const {number})) (then (drop (i32.const {number}))))"
        for number in range(count)
    )
    return STAIRS.replace("{steps}", steps)


def same_with_probes(engine, text, name, *, is_counted=True):
    """Check that a guest does the same with probes, and return the number of calls that were compared.

    If the probes are counted as well, the fuel is compared to the unit.
    """
    component = engine.load(text)
    if any(True for _ in component.needed_from_host()):
        return 0
    _, binary = engine.to_binary(text.encode(), name)
    builds = [
        ProbedBuild(binary, engine, is_counting=is_counting)
        for is_counting in ((False, True) if is_counted else (False,))
    ]
    compared = 0
    try:
        for export in [*component.function_names()][:4]:
            types = [*map(str, component.parameter_types(export))]
            if not all(type_ in ARGUMENTS for type_ in types):
                continue
            history, done = called(engine, component, [(export, *(ARGUMENTS[one] for one in types))], LIMITS)
            if any(one.verdict is Verdict.OUT_OF_FUEL for one in done):
                continue
            runs = [build.run(history, history.steps) for build in builds]
            for run in runs:
                assert [one.ending for one in run.done] == [one.ending for one in done], name
                assert [one.peak_memory_bytes for one in run.done] == [one.peak_memory_bytes for one in done], name
                assert run.found == runs[0].found, name
            if is_counted and all(one.error is None for one in done):  # else the fuel of the last frame may be missing
                fuel, passed = sum(one.fuel for one in done), runs[1].passed
                assert sum(one.fuel for one in runs[0].done) == fuel + PROBE_FUEL * passed, name
                assert sum(one.fuel for one in runs[1].done) == fuel + COUNTING_PROBE_FUEL * passed, name
            compared += 1
    finally:
        for build in builds:
            build.close()
    return compared


@pytest.mark.slow
def test_random_modules_do_the_same_with_probes(engine):
    assert sum(same_with_probes(engine, random_module(seed), f"seed {seed}") for seed in range(12)) > 30


@pytest.mark.slow
def test_three_hundred_random_modules_do_the_same_with_probes(engine):
    compared = sum(
        same_with_probes(engine, random_module(seed), f"seed {seed}", is_counted=not seed % 5)
        for seed in range(12, 312)
    )
    assert compared > 900


@pytest.mark.slow
def test_the_guests_of_the_suite_do_the_same_with_probes(engine):
    compared = 0
    for path in sorted(CASES.glob("**/*.toml"))[::8]:
        text = toml.loads(path.read_text()).get("wat", "")
        try:
            engine.load(text or "(module)")
        except Exception:  # noqa: BLE001 some cases are about guests that cannot be loaded
            continue
        compared += same_with_probes(engine, text or "(module)", path.name)
    assert compared > 25


@pytest.mark.parametrize("fuel", [10, 100, 500, 1_501, 2_000, 3_333, 7_000])
def test_what_is_reached_until_the_fuel_is_used_up_is_exact(engine, fuel):
    text, count = stairs(40), 40
    component = engine.load(text)
    limits = ResourceLimits(memory="1 MiB", fuel=fuel, timeout_ms=20_000)
    history, done = called(engine, component, [("warm",), ("climb", 1_000)], limits)
    assert done[-1].verdict is Verdict.OUT_OF_FUEL
    # One turn takes 4 units for each step, one more in the step that it enters, and 8 for the counter. wasmtime looks at
    # the fuel where a turn begins.
    turns, used = 0, 1
    while used <= fuel:
        used += 4 * count + int(turns < count) + 8
        turns += 1
    _, binary = engine.to_binary(text.encode(), "stairs")
    with ProbedGuest(binary, engine) as probed:
        repeated = probed.repeat(history)
        assert (repeated.steps, repeated.reason, repeated.is_cut) == (3, None, False)
        climb = next(one for one in probed.functions if one.name == "climb")
        found = probed.found[climb.first_probe : climb.first_probe + len(climb.blocks)]
    entered = found[1 : 2 * count : 2]
    assert list(entered) == [1] * min(count, turns) + [0] * (count - min(count, turns))


def test_a_search_for_the_end_of_the_fuel_that_would_take_too_long_is_told(engine, monkeypatch):
    monkeypatch.setattr(probed_guest, "_MOST_FUEL", 100)
    component = engine.load(stairs(40))
    limits = ResourceLimits(memory="1 MiB", fuel=2_000, timeout_ms=20_000)
    history, _ = called(engine, component, [("climb", 1_000)], limits)
    _, binary = engine.to_binary(stairs(40).encode(), "stairs")
    with ProbedGuest(binary, engine) as probed:
        assert probed.repeat(history).is_cut
        assert 0 < sum(probed.found) < len(probed.found)


def test_an_overflow_of_the_stack_is_told(engine):
    text = '(module (func $f (export "f") (call $f) (drop (i32.const 1))))'
    limits = ResourceLimits(memory="1 MiB", fuel=100_000_000, timeout_ms=20_000)
    history, done = called(engine, engine.load(text), [("f",)], limits)
    assert done[-1].error.kind == "stack-overflow"
    with ProbedGuest(engine.to_binary(text.encode(), "deep")[1], engine) as probed:
        repeated = probed.repeat(history)
        assert (repeated.steps, repeated.reason, repeated.is_cut) == (2, None, True)


def test_a_guest_that_goes_on_after_it_ran_out_of_fuel_is_measured_until_then(engine):
    component = engine.load(stairs(3))
    limits = ResourceLimits(memory="1 MiB", fuel=100, timeout_ms=20_000)
    history, _ = called(engine, component, [("climb", 1_000), ("warm",)], limits)
    _, binary = engine.to_binary(stairs(3).encode(), "stairs")
    with ProbedGuest(binary, engine) as probed:
        repeated = probed.repeat(history)
        assert repeated.steps == 2
        assert "had run out of fuel" in repeated.reason
        assert probed.found[-1] == 0  # the only block of `warm`


MEMORY = """(module (memory (export "memory") 1)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "ends") (if (i32.gt_s (memory.size) (i32.const 1)) (then unreachable))))"""


@pytest.mark.parametrize("isolation", [None, pytest.param(ProcessIsolation(), marks=pytest.mark.slow)])
def test_probes_take_nothing_of_the_memory_limit_and_are_read_after_a_trap(isolation):
    with WasmEngine(isolation=isolation) as engine:
        component = engine.load(MEMORY)
        limits = ResourceLimits(memory="128 KiB", memories=1, fuel=10_000, timeout_ms=20_000)
        history, done = called(engine, component, [("grow", 2), ("grow", 1), ("ends",)], limits)
        assert [one.value for one in done[1:3]] == [-1, 1]
        assert done[-1].verdict is Verdict.TRAP
        _, binary = engine.to_binary(MEMORY.encode(), "memory")
        with ProbedGuest(binary, engine) as probed:
            repeated = probed.repeat(history)
            assert (repeated.steps, repeated.reason) == (4, None)
            assert probed.found == b"\x01\x01\x01"


def test_a_guest_that_ends_otherwise_is_not_measured(engine):
    component = engine.load(MEMORY)
    history, _ = called(engine, component, [("grow", 1)], LIMITS)
    for changed, reason in (
        ({"verdict": Verdict.TRAP}, "grow ended with trap, and when it was run again with ok"),
        ({"peak_memory_bytes": 1}, "grow took 1 bytes of memory, and when it was run again 131,072"),
    ):
        other = structs.replace(history, steps=[history.steps[0], structs.replace(history.steps[1], **changed)])
        _, binary = engine.to_binary(MEMORY.encode(), "memory")
        with ProbedGuest(binary, engine) as probed:
            assert probed.repeat(other).reason == reason
            assert not any(probed.found)


CLOCK = """(module (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "f") (local $n i32) (drop (call $random (i32.const 0) (i32.const 1)))
    (local.set $n (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
    (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""


def test_a_guest_that_varies_is_not_measured(engine):
    component = engine.load(CLOCK)
    history, _ = called(engine, component, [("f",)] * 3, LIMITS, wasi=Wasi())
    _, binary = engine.to_binary(CLOCK.encode(), "clock")
    with ProbedGuest(binary, engine) as probed:
        assert "fuel, and when it was run again" in probed.repeat(history).reason


def test_all_files_are_removed(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _, binary = engine.to_binary(MEMORY.encode(), "memory")
    with ProbedGuest(binary, engine):
        assert [*tmp_path.iterdir()]
    assert not [*tmp_path.iterdir()]


def test_guests_that_cannot_be_loaded_with_probes_are_told_as_such(engine):
    text = "(module " + "(memory 0)" * 100 + "(func (drop (i32.const 1))))"
    _, binary = engine.to_binary(text.encode(), "many")
    with pytest.raises(CannotInstrument, match=r"with probes it cannot be loaded: .*memories count exceeds limit"):
        ProbedGuest(binary, engine)
