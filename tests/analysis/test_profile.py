"""A profile says in which functions the fuel of a call goes: exact in the sum, and near in the parts."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from pytest_airssys_wasm import ComponentTrapped, HostFunctions, OutOfFuel, ResourceLimits, WasmError, analysis
from pytest_airssys_wasm.analysis import fuel_profile
from pytest_airssys_wasm.analysis.fuel_profile import DEEPER, INSTANTIATION
from pytest_airssys_wasm.runtime.binary.byte_reader import Reader
from pytest_airssys_wasm.runtime.binary.code_modules import code_modules
from support import debug_info
from support.checkout import ROOT
from support.kernels import EDIT, M, N, function, module, times

LIMITS = ResourceLimits(memory="4 MiB", fuel=50_000_000, timeout_ms=20_000)
INNER = f"(func $inner (param $n i32) (local $i i32) (local $s i32) {times(N, EDIT)})"
SPLIT = module(
    INNER,
    "(func $quick (param $n i32) (call $inner (local.get $n)))",
    "(func $slow (param $n i32) (call $inner (i32.mul (local.get $n) (i32.const 3))))",
    '(func $main (export "f") (param $n i32) (call $quick (local.get $n)) (call $slow (local.get $n)))',
)
"""Calls the same function twice, the second time for three times as long."""
ALTERNATING = module(
    INNER,
    "(func $a (call $inner (i32.const 5)))",
    "(func $b (call $inner (i32.const 15)))",
    function(times(N, "(call $a) (call $b)")),
)
"""Calls two functions in turn, with a period that samples could follow."""


def share(profile, name):
    return sum(fuel for stack, fuel in profile.stacks.items() if name in stack) / profile.total


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1_000, 4_321])
def test_a_split_of_three_to_one_is_seen_within_two_percent(engine, n):
    profile = analysis.profile(engine.load(SPLIT), "f", n, limits=LIMITS, samples=400)
    assert (
        profile.total
        == sum(profile.stacks.values())
        == engine.execute(engine.load(SPLIT), "f", n, limits=LIMITS).usage.fuel.consumed
    )
    assert share(profile, "slow") == pytest.approx(0.75, abs=0.02)
    assert share(profile, "quick") == pytest.approx(0.25, abs=0.02)
    assert {stack[0] for stack in profile.stacks} == {"main"}
    assert ("main", "slow", "inner") in profile.stacks


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [100, 128, 400, 512])
def test_samples_do_not_follow_the_period_of_the_guest(engine, rounds):
    profile = analysis.profile(engine.load(ALTERNATING), "f", rounds, limits=LIMITS, samples=400)
    assert share(profile, "b") / share(profile, "a") == pytest.approx((15 * 13 + 8) / (5 * 13 + 8), abs=0.2)


def test_it_is_the_same_each_time(engine):
    guest = engine.load(SPLIT)
    first, second = (analysis.profile(guest, "f", 500, limits=LIMITS, samples=50) for _ in range(2))
    assert first == second


def test_a_compiled_component_is_profiled_as_it_is(engine):
    guest = engine.load(ROOT / "examples/c/json-minify.wasm")
    profile = analysis.profile(
        guest, "minify", "[" + ", ".join("123" for _ in range(60)) + "]", limits=LIMITS, samples=120
    )
    assert profile.total == sum(profile.stacks.values())
    assert any(stack[:2] == ("minify", "value") and "digits" in stack for stack in profile.stacks)
    assert profile.title.startswith('minify("[123, ')


def test_the_copying_of_data_belongs_to_the_instantiation(engine):
    guest = engine.load('(module (memory 1) (data (i32.const 0) "' + "x" * 500 + '") (func $f (export "f") (loop)))')
    profile = analysis.profile(guest, "f", limits=LIMITS)
    assert profile.stacks[INSTANTIATION,] == pytest.approx(500, abs=20)


def test_stacks_that_are_too_deep_say_so(engine):
    deep = '(module (func $f (export "f") (param i32) (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))))))'
    profile = analysis.profile(engine.load(deep), "f", 1_000, limits=LIMITS, samples=50)
    assert any(stack[0] == DEEPER for stack in profile.stacks)
    assert profile.by_function()["f"][1] == profile.total


@pytest.mark.slow
def test_differences_sum_to_the_difference(engine):
    guest = engine.load(SPLIT)
    more, less = (analysis.profile(guest, "f", n, limits=LIMITS, samples=200) for n in (900, 500))
    difference = more.minus(less)
    assert difference.total == more.total - less.total == sum(difference.stacks.values())
    assert difference.is_difference
    assert difference.title == "f(900) minus f(500)"
    long = replace(more, title="f(" + "9" * 500 + ")").minus(replace(less, title="f(" + "5" * 500 + ")")).title
    assert "… minus f(555" in long
    alike = [replace(one, title="f(" + "9" * 500 + end) for one, end in ((more, "1)"), (less, "2)"))]
    titles = re.findall(r"…( with [\d,]+ fuel)", alike[0].minus(alike[1]).title)
    assert titles == [f" with {one.total:,} fuel" for one in alike]
    assert len(long) < 160  # which a page shows whole
    assert less.minus(more).stacks == {stack: -fuel for stack, fuel in difference.stacks.items()}
    assert more.minus(more).stacks == {}
    slow = sum(fuel for stack, fuel in difference.stacks.items() if "slow" in stack)
    assert slow / difference.total == pytest.approx(0.75, abs=0.03)


@pytest.mark.slow
def test_a_planted_slowdown_is_the_first_of_the_difference(engine):
    names = [f"part{number}" for number in range(10)]
    found = 0
    for planted in range(10):  # fifty of them: `python tests/evidence/evidence.py slowdowns`
        profiles = []
        for is_slow in (False, True):
            functions = [
                f"(func ${name} (param $n i32) (local $i i32) (local $s i32)"
                + times(N, EDIT * (1 + number + 2 * (is_slow and number == planted)))
                + ")"
                for number, name in enumerate(names)
            ]
            calls = "".join(f"(call ${name} (local.get $n))" for name in names)
            guest = engine.load(module(*functions, f'(func $main (export "f") (param $n i32) {calls})'))
            profiles.append(analysis.profile(guest, "f", 50 + planted, limits=LIMITS, samples=200))
        difference = profiles[1].minus(profiles[0])
        found += next(iter(difference.by_function())) == names[planted]
    assert found >= 9


def test_functions_are_listed_by_their_own_fuel(engine):
    profile = analysis.profile(engine.load(SPLIT), "f", 500, limits=LIMITS, samples=100)
    functions = profile.by_function()
    assert next(iter(functions)) == "inner"
    assert functions["main"][1] == profile.total
    assert sum(own for own, _ in functions.values()) == profile.total


def test_a_call_that_fails_raises_its_own_error(engine):
    trap = engine.load(module(function("unreachable")))
    with pytest.raises(ComponentTrapped):
        analysis.profile(trap, "f", 1, limits=LIMITS)
    with pytest.raises(OutOfFuel):
        analysis.profile(
            engine.load(SPLIT), "f", 100, limits=ResourceLimits(memory="1 MiB", fuel=100, timeout_ms=20_000)
        )
    for options in ({"samples": 0}, {"samples": -1}, {"samples": "many"}, {"time_s": 0}):
        with pytest.raises(WasmError):
            analysis.profile(engine.load(SPLIT), "f", 100, limits=LIMITS, **options)


def test_a_call_that_varies_has_no_profile(engine):
    host = HostFunctions()
    drawn = iter(range(10, 1_000))
    host.register("env#roll", lambda: next(drawn), repeatable=True)
    guest = engine.load(
        '(module (import "env" "roll" (func $roll (result i32))) (func (export "f") (local $i i32) (local $m i32) (local $s i32)'
        + "(local.set $m (call $roll))"
        + times(M, EDIT)
        + "))"
    )
    with pytest.raises(analysis.CannotRepeat, match="it varies"):
        analysis.profile(guest, "f", limits=LIMITS, host=host)


def test_without_time_it_is_not_complete(engine):
    profile = analysis.profile(engine.load(SPLIT), "f", 500, limits=LIMITS, time_s=1e-9)
    assert (profile.is_complete, profile.samples) == (False, 1)
    assert sum(profile.stacks.values()) == profile.total


def test_a_profile_that_runs_out_of_time_has_seen_the_whole_call(engine, monkeypatch):
    class ShortTime:
        def __init__(self, _time_s):
            self.left = 32

        @property
        def is_over(self):
            self.left -= 1
            return self.left <= 0

    monkeypatch.setattr(fuel_profile, "Deadline", ShortTime)
    profile = analysis.profile(engine.load(SPLIT), "f", 500, limits=LIMITS, samples=400)
    assert (profile.is_complete, profile.samples) == (False, 32)
    assert sum(profile.stacks.values()) == profile.total
    assert share(profile, "slow") == pytest.approx(0.75, abs=0.08)  # which comes last


def test_a_call_without_fuel_has_no_stacks(engine):
    guest = engine.load('(module (func (export "f")))')
    profile = analysis.profile(guest, "f", limits=LIMITS)
    assert sum(profile.stacks.values()) == profile.total <= 2


def test_it_is_written_in_three_formats(engine, tmp_path):
    profile = analysis.profile(engine.load(SPLIT), "f", 500, limits=LIMITS, samples=100)
    for name in ("a/x.folded", "a/x.speedscope.json", "a/x.html"):
        profile.write(tmp_path / name)
    lines = (tmp_path / "a/x.folded").read_text("utf-8").splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == profile.total
    document = json.loads((tmp_path / "a/x.speedscope.json").read_text("utf-8"))
    assert sum(document["profiles"][0]["weights"]) == profile.total
    assert "f(500)" in (tmp_path / "a/x.html").read_text("utf-8")
    for name in ("x.svg", "x", "x.json"):
        with pytest.raises(WasmError, match=r"\.folded, \.speedscope\.json, \.html"):
            profile.write(tmp_path / name)


GROWING = """(module
  (memory (export "memory") 1)
  (func $grow (param i32) (drop (memory.grow (local.get 0))))
  (func $work (param $n i32) (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $step (param $pages i32) (call $work (i32.const 300)) (call $grow (local.get $pages)))
  (func (export "f")
    (call $step (i32.const 2)) (call $step (i32.const 500)) (call $step (i32.const 3)) (call $work (i32.const 300))))"""


@pytest.mark.slow
def test_a_profile_has_the_growths_of_memory_to_the_unit(engine):
    guest = engine.load(GROWING)
    memory = analysis.profile(guest, "f", limits=LIMITS, samples=20).memory
    assert (memory.initial_bytes, memory.is_complete) == (65_536, True)
    assert [(one.memory_bytes, one.refused) for one in memory.growths] == [(196_608, 0), (None, 1), (393_216, 0)]
    assert [one.frames[0].function for one in memory.growths] == ["grow"] * 3
    for fuel, peak in ((memory.growths[0].fuel - 1, 65_536), (memory.growths[0].fuel, 196_608)):
        with pytest.raises(WasmError) as spent:
            engine.execute(guest, "f", limits=replace(LIMITS, fuel=fuel))
        assert spent.value.usage.peak_memory_bytes == peak


def test_a_profile_of_a_call_whose_memory_stays_has_no_growths(engine):
    profile = analysis.profile(engine.load(SPLIT), "f", 500, limits=LIMITS, samples=20)
    assert (profile.memory.growths, profile.memory.is_complete) == ((), True)
    assert profile.minus(profile).memory is None


SPINNING = """(func $spin (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $run (export "run") (call $spin (i32.const 500)))"""


def with_lines(code, lines):
    """A module whose functions, in their order, have these lines of a source file."""
    (found,) = code_modules(debug_info.module(code=code))
    reader, addresses = Reader(found.code), []
    for _ in reader.each():
        size = reader.number(32)
        addresses.append(reader.at)
        reader.take(size)
    program = debug_info.rows([*zip(addresses, lines)], len(found.code))
    return debug_info.module(debug_info.dwarf(program, end=len(found.code)), code=code)


def test_functions_have_the_source_line_in_which_most_of_their_fuel_was_seen(engine, tmp_path):
    limits = ResourceLimits(memory="1 MiB", fuel=100_000, timeout_ms=20_000)
    profile = analysis.profile(engine.load(with_lines(SPINNING, [12, 34])), "run", limits=limits, samples=50)
    assert str(profile.places["spin"]) == "src/t.c:12"
    plain = analysis.profile(engine.load(debug_info.module(code=SPINNING)), "run", limits=limits, samples=50)
    assert plain.places == {}
    assert profile.minus(plain).places == plain.minus(profile).places == profile.places
    for one in (profile, plain):
        one.write(tmp_path / "x.html")
        one.write(tmp_path / "x.speedscope.json")
        assert ("src/t.c:12" in (tmp_path / "x.html").read_text()) == (one is profile)
        frames = json.loads((tmp_path / "x.speedscope.json").read_text())["shared"]["frames"]
        assert ({"name": "spin", "file": "src/t.c", "line": 12} in frames) == (one is profile)
