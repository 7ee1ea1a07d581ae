"""The law of an export says what a call costs, to the unit, for sizes that nobody has tried; or there is none."""

from __future__ import annotations

import random

import pytest

from evidence.exceptions import contradicted, guest
from pytest_airssys_wasm import (
    ComponentTrapped,
    HostFunctions,
    OutOfFuel,
    ResourceLimits,
    UnknownExport,
    WasmError,
    analysis,
)
from support.checkout import ROOT
from support.kernels import EDIT, MORE, ONE_SIZE, TWO_SIZES, N, function, module, times, unrolled, when
from support.law_guests import GUESTS, LIMITS, mismatches

POINTS = 250
"""The number of sizes at which a law is tried that nobody has tried before."""


@pytest.fixture
def law_of(engine):
    """Finds the law of a guest, given as text or as a path; there has to be one."""

    def find(source, export="f", **options):
        return analysis.cost_law(engine.load(source), export, limits=LIMITS, strict=True, **options)

    return find


@pytest.mark.parametrize(
    ("name", "params"), [*((name, "n") for name in ONE_SIZE), *((name, "nm") for name in TWO_SIZES)]
)
def test_the_law_of_a_kernel_holds_at_fresh_points(engine, law_of, name, params):
    guest = engine.load(module(function({**ONE_SIZE, **TWO_SIZES}[name], params=params)))
    law = analysis.cost_law(guest, "f", limits=LIMITS, strict=True)
    assert law.executions <= 60 * len(params)
    assert law.is_complete
    assert mismatches(engine, guest, "f", law, POINTS) == []


@pytest.mark.parametrize("name", GUESTS)
def test_the_law_of_a_compiled_guest_holds_at_fresh_points(engine, name):
    path, export, arguments = GUESTS[name]
    guest = engine.load(ROOT / path)
    law = analysis.cost_law(guest, export, limits=LIMITS, strict=True, arguments=arguments)
    assert mismatches(engine, guest, export, law, POINTS) == []


def test_a_law_covers_what_loops_do(law_of):
    texts = {
        name: law_of(module(function(ONE_SIZE[name]))).text for name in ("count", "triangle", "unrolled-4", "fill")
    }
    assert texts == {
        "count": "fuel = 7 + 13·n, n = value of argument 0; exact for 0 ≤ n ≤ 4,096",
        "triangle": "fuel = 7 + 17/2·n + 13/2·n², n = value of argument 0; exact for 0 ≤ n ≤ 1,024",
        "unrolled-4": "fuel = 13 + 13·(n mod 4) + 27·⌊n/4⌋, n = value of argument 0; exact for 0 ≤ n ≤ 4,096",
        "fill": "fuel = 5 + n, n = value of argument 0; exact for 0 ≤ n ≤ 4,096",
    }


def test_its_text_names_what_is_counted(law_of):
    text = law_of(ROOT / "fixtures/guests/text-transform/text-transform.wasm", "transform").text
    assert text == "fuel = 488 for n = 0; 351 + 53·n for 1 ≤ n ≤ 4,096, n = bytes of s; exact for 0 ≤ n ≤ 4,096"


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    ("of", "power"),
    [
        (lambda edit: times(N, MORE + edit), "n"),
        (lambda edit: times(N, times(N, MORE + edit, "j")), "n²"),
        (lambda edit: unrolled(N, 4, MORE + edit), "⌊n/4⌋"),
    ],
)
def test_an_edit_of_a_loop_changes_one_coefficient_by_its_cost(law_of, of, power, count):
    before, after = (law_of(module(function(of(EDIT * edits)))) for edits in (0, count))
    old, new = (law.pieces[-1].fuel.coefficients(law.sizes) for law in (before, after))
    per_time = {"n": 4, "n²": 4, "⌊n/4⌋": 16}[power]
    assert new[power] - old[power] == per_time * count
    if power != "⌊n/4⌋":
        assert {name: one for name, one in new.items() if name != power} == {
            name: one for name, one in old.items() if name != power
        }


def test_a_law_does_not_speak_of_other_sizes(law_of):
    law = law_of(module(function(ONE_SIZE["count"])), max_size=100)
    assert law.ranges == {"n": (0, 100)}
    for sizes in ({"n": 101}, {"n": -1}, {"m": 3}, {}, {"n": 3, "m": 3}, {"n": 2.0}, {"n": True}):
        for ask in (law.fuel, law.peak_memory_bytes, law.arguments):
            with pytest.raises(ValueError):
                ask(sizes)


@pytest.mark.slow
def test_a_chaotic_cost_has_no_law(engine, law_of):
    mixed = "(i32.mul (local.get $n) (i32.const 0x9E3779B1))"
    scattered = times(f"(i32.and (i32.xor {mixed} (i32.shr_u {mixed} (i32.const 13))) (i32.const 1023))", EDIT)
    guest = engine.load(module(function(scattered)))
    assert analysis.cost_law(guest, "f", limits=LIMITS) is None
    with pytest.raises(analysis.NoLaw, match=r"no formula of degree 3 or less|no more runs"):
        law_of(module(function(scattered)))


def test_a_guest_that_varies_has_no_law(engine):
    host = HostFunctions()
    drawn = iter(range(1_000))
    host.register("env#roll", lambda: next(drawn), repeatable=True)
    guest = engine.load(
        '(module (import "env" "roll" (func $roll (result i32))) (func (export "f") (param $n i32) (local $i i32) (local $s i32)'
        + times("(call $roll)", EDIT)
        + "))"
    )
    with pytest.raises(analysis.NoLaw, match="not deterministic"):
        analysis.cost_law(guest, "f", limits=LIMITS, host=host, strict=True)


def test_a_law_ends_where_calls_end_otherwise(engine, law_of):
    law = law_of(module(function(when("(i32.gt_s (local.get $n) (i32.const 700))", "unreachable", times(N, EDIT)))))
    assert law.ranges["n"][0] == 0
    assert 24 <= law.ranges["n"][1] <= 700


def test_a_cost_that_is_constant_in_a_short_range_says_the_range(law_of):
    # Fewer sizes than the search may run.
    law = law_of(module(function(when("(i32.gt_s (local.get $n) (i32.const 30))", "unreachable", EDIT))))
    assert law.ranges["n"][0] == 0
    assert 24 <= law.ranges["n"][1] <= 30
    assert law.fuel({"n": 0}) == law.fuel({"n": 24})


@pytest.mark.parametrize("special", [45, 777, 3_001])
def test_an_exception_at_a_number_of_the_code_is_seen(engine, law_of, special):
    body = times(N, EDIT) + when(f"(i32.eq {N} (i32.const {special}))", MORE * 5)
    law = law_of(module(function(body)))
    assert special <= law.ranges["n"][1]
    fuel = engine.execute(engine.load(module(function(body))), "f", special, limits=LIMITS).usage.fuel.consumed
    assert law.fuel({"n": special}) == fuel == law.fuel({"n": special - 1}) + 13 + 5 * 6


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["equal", "between", "bytes of elements", "with a header", "a global"])
def test_an_exception_is_seen_among_numbers_of_other_functions(engine, condition):
    loaded = engine.load(guest(condition, 2_345, 40, random.Random(condition)))
    law = analysis.cost_law(loaded, "f", limits=LIMITS, strict=True)
    assert law.ranges["n"][1] > 2_345
    assert law.executions <= 60
    assert contradicted(engine, loaded, 2_345) == ""


@pytest.mark.parametrize("every", [37, 97, 250])
def test_a_law_ends_before_an_exception_comes_again(engine, law_of, every):
    source = module(function(times(N, EDIT) + when(f"(i32.eqz (i32.rem_u {N} (i32.const {every})))", "", MORE)))
    law = law_of(source)
    assert law.ranges == {"n": (0, 2 * every - 1)}
    assert f"{2 * every} on, some sizes cost something else at regular distances" in law.limit_reached
    guest = engine.load(source)
    for n in range(0, 2 * every, 5):
        assert engine.execute(guest, "f", n, limits=LIMITS).usage.fuel.consumed == law.fuel({"n": n})


def test_a_law_keeps_the_limits(engine):
    limits = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000)
    guest = engine.load(module(function(ONE_SIZE["count"])))
    law = analysis.cost_law(guest, "f", limits=limits, strict=True)
    (_, high) = law.ranges["n"]
    assert law.fuel({"n": high}) <= 10_000


def test_a_call_that_always_fails_raises_its_own_error(engine):
    spin = engine.load(module(function("(loop (br 0))")))
    with pytest.raises(OutOfFuel):
        analysis.cost_law(spin, "f", limits=ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000))


@pytest.mark.parametrize("export", ["always", "together"])
def test_a_call_that_ends_under_less_fuel_than_its_limit_has_no_law(engine, export):
    dear = "(drop (i32.const 0))" * 1_000  # so much fuel for so little time
    guest = engine.load(f"""(module (func (export "always") (param i32) (loop {dear} br 0))
        (func (export "together") (param i32 i32) (if (i32.eq (local.get 0) (i32.const 20)) (then (loop br 0)))))""")
    with pytest.raises(analysis.NoLaw) as caught:
        analysis.cost_law(guest, export, limits=ResourceLimits(memory=2**20, fuel=None, timeout_ms=60_000), strict=True)
    given = {"always": "2,000,000,000", "together": "10,000,000"}[export]
    assert (
        str(caught.value) == f"even calls with small arguments need more than {given} fuel, too much for so many runs"
    )


def test_a_call_that_never_ends_is_run_once(engine):
    guest = engine.load(f"""(module (func (export "f") (param i32) (loop {"(drop (i32.const 0))" * 1_000} br 0)))""")
    made = []

    def arguments(size):
        made.append(size)
        return [size]

    limits = ResourceLimits(memory=2**20, fuel=None, timeout_ms=60_000)
    assert analysis.cost_law(guest, "f", limits=limits, arguments=arguments) is None
    assert len(made) == 1  # each of them takes seconds where fuel is used more slowly


def test_a_call_without_sizes_that_fails_raises_its_own_error(engine):
    guest = engine.load('(module (func (export "f") unreachable))')
    with pytest.raises(ComponentTrapped):
        analysis.cost_law(guest, "f", limits=LIMITS)


def test_wrong_questions_are_refused(engine):
    guest = engine.load(module(function("")))
    with pytest.raises(UnknownExport):
        analysis.cost_law(guest, "g", limits=LIMITS)
    with pytest.raises(TypeError, match="function of one or two sizes"):
        analysis.cost_law(guest, "f", limits=LIMITS, arguments=lambda: ())
    for options in ({"time_s": 0}, {"time_s": "1"}, {"max_size": -1}, {"limits": None}):
        with pytest.raises(WasmError):
            analysis.cost_law(guest, "f", **{"limits": LIMITS, **options})


def test_a_search_without_time_says_that_it_is_not_complete(engine):
    guest = engine.load(module(function(ONE_SIZE["count"])))
    law = analysis.cost_law(guest, "f", limits=LIMITS, time_s=1e-9)
    assert law is None or not law.is_complete


@pytest.mark.slow
def test_the_search_is_the_same_each_time(law_of):
    source = module(function(ONE_SIZE["two-breaks"]))
    assert law_of(source) == law_of(source)
