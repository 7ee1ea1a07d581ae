"""The search for the dearest arguments finds what is known to be the worst, and says how it grows."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_airssys_wasm import HostFunctions, ResourceLimits, UnknownExport, Verdict, Wasi, WasmError, analysis
from pytest_airssys_wasm.analysis.worst.growth import growth_of
from pytest_airssys_wasm.analysis.worst.mutation import Mutator
from pytest_airssys_wasm.analysis.worst.values import shortened, size_of
from pytest_airssys_wasm.fuzzing import values
from pytest_airssys_wasm.runtime.binary.constants import Constants
from pytest_airssys_wasm.runtime.wit.types import ListType, OptionType, Primitive
from support.checkout import ROOT
from support.dear_kernels import DEAR, SIZE, component
from support.kernels import function, module, times
from support.wave_values import TYPES, fits

LIMITS = ResourceLimits(memory="4 MiB", fuel=20_000_000, timeout_ms=20_000)
QUICK = ("insertion sort", "hash set", "naive search", "parentheses", "header", "varints", "set bits", "common divisor")


@pytest.mark.parametrize(
    ("name", "executions"),
    [(name, 600) if name in QUICK else pytest.param(name, 1_000, marks=pytest.mark.slow) for name in DEAR],
)
def test_the_known_worst_case_is_found(engine, name, executions):
    dear = DEAR[name]
    guest = engine.load(component(dear))
    known = engine.execute(guest, "f", *dear.worst, limits=LIMITS).usage.fuel.consumed
    worst = analysis.worst_case(guest, "f", limits=LIMITS, executions=executions)
    assert worst.fuel >= 0.95 * known
    assert worst.executions <= executions
    assert sum(map(size_of, guest.parameter_types("f"), worst.arguments)) <= SIZE
    assert engine.execute(guest, "f", *worst.arguments, limits=LIMITS).usage.fuel.consumed == worst.fuel
    assert dear.growth in (None, worst.growth)
    assert (worst.verdict, worst.is_complete) == (Verdict.OK, True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_other_seeds_find_it_too(engine, seed):
    for name in ("unstable insertion sort", "keyword", "magic number"):
        guest = engine.load(component(DEAR[name]))
        known = engine.execute(guest, "f", *DEAR[name].worst, limits=LIMITS).usage.fuel.consumed
        assert analysis.worst_case(guest, "f", limits=LIMITS, executions=1_000, seed=seed).fuel >= 0.95 * known, name


@pytest.mark.slow
def test_the_same_seed_gives_the_same(engine):
    guest = engine.load(component(DEAR["keyword"]))
    first, second, other = (
        analysis.worst_case(guest, "f", limits=LIMITS, executions=300, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second
    assert first.fuel <= other.fuel * 1.2


def test_arguments_that_reach_a_limit_end_the_search_and_smaller_ones_show_the_growth(engine):
    guest = engine.load(component(DEAR["cube"]))
    limits = ResourceLimits(memory="1 MiB", fuel=50_000, timeout_ms=20_000)
    worst = analysis.worst_case(guest, "f", limits=limits)
    assert (worst.verdict, worst.growth) == (Verdict.OUT_OF_FUEL, "n^3")
    assert worst.executions < 60
    with pytest.raises(WasmError):
        engine.execute(guest, "f", *worst.arguments, limits=limits)


def test_the_search_may_be_for_memory(engine):
    guest = engine.load(
        module('(func (export "f") (param i32) (drop (memory.grow (i32.and (local.get 0) (i32.const 31)))))')
    )
    worst = analysis.worst_case(guest, "f", limits=LIMITS, executions=400, measure="memory")
    assert worst.peak_memory_bytes == 32 * 65536


@pytest.mark.slow
def test_arguments_of_all_types_are_made(engine):
    guest = engine.load(ROOT / "fixtures/guests/inventory/inventory.wasm")
    for name in (
        "items",
        "conditions",
        "matrix",
        "strings",
        "nested-option",
        "deep-result",
        "aisles",
        "triple",
        "unit",
    ):
        export = f"demo:inventory/echo@1.0.0#echo-{name}"
        worst = analysis.worst_case(guest, export, limits=LIMITS, executions=25)
        assert worst.returned == worst.executions, name
        assert sum(map(size_of, guest.parameter_types(export), worst.arguments)) <= 64, name


@pytest.mark.slow
def test_a_rust_guest_is_searched(engine):
    guest = engine.load(ROOT / "examples/rust/invoice.wasm")
    worst = analysis.worst_case(guest, "total-of", limits=LIMITS, executions=200)
    assert worst.fuel > 5_000
    assert worst.call.startswith("total-of([")


def test_a_search_whose_inputs_all_fail_says_so(engine):
    guest = engine.load(module(function("unreachable")))
    worst = analysis.worst_case(guest, "f", limits=LIMITS, executions=50)
    assert (worst.returned, worst.verdict) == (0, Verdict.TRAP)
    assert f"none of {worst.executions} runs returned" in str(worst)


def test_a_call_without_arguments_is_its_own_worst_case(engine):
    worst = analysis.worst_case(engine.load('(module (func (export "f")))'), "f", limits=LIMITS)
    assert (worst.arguments, worst.executions) == ((), 1)


def test_wrong_questions_are_refused(engine):
    guest = engine.load(module(function(times("(local.get $n)", ""))))
    for options in ({"executions": 0}, {"max_size": -1}, {"time_s": 0}, {"measure": "time"}):
        with pytest.raises(WasmError):
            analysis.worst_case(guest, "f", limits=LIMITS, **options)
    with pytest.raises(UnknownExport):
        analysis.worst_case(guest, "g", limits=LIMITS)
    hosted = engine.load(ROOT / "fixtures/guests/hosted/hosted.wasm")
    with pytest.raises(analysis.CannotRepeat, match=r"demo:hosted/host@1\.0\.0#"):
        analysis.worst_case(hosted, "run", limits=LIMITS, host=HostFunctions(), wasi=Wasi())
    inventory = engine.load(ROOT / "fixtures/guests/inventory/inventory.wasm")
    with pytest.raises(TypeError, match="no values of type"):
        analysis.worst_case(inventory, "demo:inventory/stock@1.0.0#[method]shelf.label", limits=LIMITS)


def test_without_time_it_is_not_complete(engine):
    worst = analysis.worst_case(engine.load(component(DEAR["count"])), "f", limits=LIMITS, time_s=1e-9)
    assert (worst.is_complete, worst.executions) == (False, 1)


@pytest.mark.parametrize(
    ("cost", "growth"),
    [
        (lambda _: 7, "1"),
        (lambda n: 100 + 3 * n, "n"),
        (lambda n: 100 + 20 * (n // 4) + 7 * (n % 4), "n"),
        (lambda n: 5 + 9 * n + n * (n - 1) // 2, "n^2"),
        (lambda n: n**3 + 4, "n^3"),
        (lambda n: 50 + 40 * n + (n * 7919) % 13, "n"),
        (lambda n: 50 + 9 * n * n + (n * 7919) % 31, "n^2"),
        (lambda n: 50 + 40 * n * (n.bit_length()), None),
        (lambda n: 2**n, None),
    ],
)
def test_growth_is_named_and_linear_growth_is_never_called_worse(cost, growth):
    found = growth_of({n: cost(n) for n in range(17, 65)})
    assert found == growth or (growth is None and found in (None, "n"))


def test_a_single_dear_part_of_the_largest_arguments_is_not_called_growth():
    assert growth_of({n: 50 + 40 * n + (n * 7919) % 13 + 1_000 * (n > 40) for n in range(1, 65)}) == "n"
    assert growth_of({n: 50 + 9 * n * n + (n * 7919) % 13 + 40_000 * (n > 40) for n in range(1, 65)}) == "n^2"


def test_arguments_are_shortened_at_their_ends():
    text, nested = Primitive("string"), ListType(Primitive("string"))
    assert shortened(text, "  ä  !", 3) == "  "
    assert shortened(nested, ["bb", "a"], 2) == []
    assert shortened(nested, ["bb", "a", "c"], 5) == ["bb", "a"]


def test_thinned_arguments_keep_their_ends_their_periods_and_the_proportions_of_their_runs():
    text, nested = Primitive("string"), ListType(Primitive("string"))
    assert shortened(text, "x" + " " * 62 + "!", 8, is_thinned=True) == "x" + " " * 6 + "!"
    assert shortened(text, "[" * 32 + "]" * 32, 16, is_thinned=True) == "[" * 8 + "]" * 8
    assert shortened(text, "ab" * 64, 64, is_thinned=True) == "ab" * 32
    assert shortened(text, "ab", 1, is_thinned=True) == "a"
    assert shortened(ListType(Primitive("u8")), [*range(100)], 4, is_thinned=True) == [0, 33, 66, 99]
    assert shortened(nested, ["a", "bb", "c", "dd", "e"], 6, is_thinned=True) == ["a", "e"]


@pytest.mark.slow
@given(
    TYPES.flatmap(lambda type_: st.tuples(st.just(type_), values(type_, max_size=8))), st.integers(0, 9), st.booleans()
)
@settings(max_examples=50)
def test_a_shortened_value_fits_its_type(pair, size, is_thinned):
    type_, value = pair
    assert fits(shortened(type_, value, size, is_thinned=is_thinned), type_)


def test_few_figures_have_no_growth():
    assert growth_of({}) is None
    assert growth_of({3: 5, 4: 6}) is None


@pytest.mark.slow
@given(TYPES.flatmap(lambda type_: st.tuples(st.just(type_), values(type_, max_size=8))), st.integers(0, 9))
@settings(max_examples=50)
def test_a_changed_value_fits_its_type(pair, seed):
    type_, value = pair
    mutator = Mutator(Random(seed), Constants(integers=(-7, 2**40), texts=(b"MAGC",)))
    for _ in range(10):
        (value,) = mutator.arguments([type_], [value], 8)
        assert fits(value, type_)


@pytest.mark.parametrize("type_", [Primitive("f32"), "f32"])
def test_a_changed_f32_is_not_too_large_for_its_type(type_):
    mutator = Mutator(Random(0), Constants(integers=(), texts=()))
    for _ in range(100):
        assert abs(mutator.changed(type_, 3.4028234663852886e38, 8)) < 3.5e38


def test_a_list_of_options_can_be_sorted():
    type_ = ListType(OptionType(Primitive("u8")))
    for seed in range(200):
        assert fits(Mutator(Random(seed), Constants()).changed(type_, [None, 3, None, 1], 0), type_)
