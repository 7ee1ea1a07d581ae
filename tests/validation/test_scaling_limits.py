"""The size at which a call meets a limit is found to the unit, whatever the law says of sizes beyond its range."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import ResourceLimits, WasmError, analysis
from pytest_airssys_wasm.analysis.repeatable import RepeatableGuest
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.validation.scaling_limits import met_limit
from support.checkout import ROOT
from support.kernels import EDIT, N, function, module, times, when

LIMITS = ResourceLimits(memory="1 MiB", fuel=100_000, timeout_ms=20_000)


@pytest.fixture
def met(engine):
    """Finds the size at which a guest meets a limit, and checks by runs of this size and of the one before."""

    def find(source, export="f", limits=LIMITS, returning=64):
        guest = engine.load(source)
        law = analysis.cost_law(guest, export, limits=limits, strict=True, max_size=1_024)
        repeated = RepeatableGuest(guest, limits=limits)
        made = law.make
        found = met_limit(
            law,
            limits,
            lambda step: (step,) * len(law.sizes),
            lambda point: repeated.run(export, *made(point)),
            returning,
        )
        if found is not None:
            engine.execute(guest, export, *made(found.before), limits=limits)
            with pytest.raises(WasmError) as caught:
                engine.execute(guest, export, *made(found.point), limits=limits)
            assert caught.value.verdict is found.verdict
            assert [high - low for low, high in zip(found.before, found.point)] == [1] * len(law.sizes)
        return found, repeated.runs

    return find


def test_a_size_that_the_law_predicts_takes_a_few_runs(met):
    found, runs = met(module(function(times(N, EDIT))))
    assert found.point == (7_693,)
    assert found.verdict is Verdict.OUT_OF_FUEL
    assert runs <= 4


def test_a_guest_that_costs_more_beyond_the_range_of_the_law_meets_the_limit_earlier(met):
    dear = times(N, EDIT + when("(i32.gt_s (local.get $n) (i32.const 3000))", EDIT * 9))
    found, _ = met(module(function(dear)))
    assert found.point == (3_001,)


def test_a_guest_that_costs_less_beyond_the_range_of_the_law_meets_the_limit_later(met):
    cheap = times("(i32.shr_u (local.get $n) (i32.gt_s (local.get $n) (i32.const 4000)))", EDIT)
    found, _ = met(module(function(cheap)))
    assert found.point[0] > 10_000


def test_a_limit_of_memory_is_met_by_a_guest_that_grows(met):
    grow = when("(i32.eq (memory.grow (i32.shr_u (local.get $n) (i32.const 3))) (i32.const -1))", "unreachable")
    found, _ = met(module(function(grow)))
    assert found.point == (128,)
    assert found.verdict is Verdict.OUT_OF_MEMORY


@pytest.mark.parametrize("of_two", ["sum", "product"])
def test_two_sizes_grow_together(met, of_two):
    inner = times("(local.get $m)", EDIT, "j")
    body = times(N, inner) if of_two == "product" else times(N, EDIT) + inner
    found, _ = met(module(function(body, params="nm")))
    assert found.point[0] == found.point[1]


def test_a_text_that_does_not_fit_meets_the_limit_of_memory_first(met):
    limits = ResourceLimits(memory="512 KiB", fuel=20_000_000, timeout_ms=20_000)
    found, _ = met(ROOT / "examples/c/json-minify.wasm", "minify", limits)
    assert found.verdict is Verdict.OUT_OF_MEMORY
    assert 2**17 < found.point[0] < 2**19


@pytest.mark.parametrize(
    "body",
    [EDIT, when("(i32.gt_s (local.get $n) (i32.const 5000))", "unreachable", times(N, EDIT))],
    ids=["a constant cost", "a trap before"],
)
def test_without_a_limit_that_is_met_there_is_no_size(met, body):
    found, runs = met(module(function(body)))
    assert found is None
    assert runs < 60


def test_a_search_that_is_too_dear_ends(met, monkeypatch):
    monkeypatch.setattr("pytest_airssys_wasm.validation.scaling_limits._MOST_FUEL", 150_000)
    dear = times(N, EDIT + when("(i32.gt_s (local.get $n) (i32.const 3000))", EDIT * 9))
    found, runs = met(module(function(dear)))
    assert found is None
    assert runs < 5
