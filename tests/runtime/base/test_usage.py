"""The figures of what was used."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_airssys_wasm.runtime.base.usage import FuelMetrics, Usage, UsageTotals
from pytest_airssys_wasm.runtime.budget.units import MAX_U64


def test_fuel_figures_of_a_budget():
    half = FuelMetrics(max_fuel=1_000, consumed=500)
    assert (half.remaining, half.usage_percentage, half.is_exhausted, half.is_exact) == (500, 50.0, False, True)
    assert half.exceeds_threshold(49.9)
    assert not half.exceeds_threshold(50)  # it is used, not exceeded


def test_a_spent_budget_is_exhausted():
    for consumed in (10, 11):  # wasmtime may bill past the end
        spent = FuelMetrics(max_fuel=10, consumed=consumed)
        assert (spent.remaining, spent.is_exhausted) == (0, True)


def test_a_budget_of_zero_is_used_up_and_an_unlimited_one_never():
    zero = FuelMetrics(max_fuel=0, consumed=0)
    assert (zero.remaining, zero.usage_percentage, zero.is_exhausted) == (0, 100.0, True)
    unlimited = FuelMetrics(max_fuel=None, consumed=10**9)
    assert (unlimited.remaining, unlimited.usage_percentage, unlimited.is_exhausted) == (None, 0.0, False)
    assert not unlimited.exceeds_threshold(0)


@given(st.integers(0, MAX_U64), st.data())
def test_fuel_figures_agree_with_each_other(max_fuel, data):
    metrics = FuelMetrics(max_fuel=max_fuel, consumed=data.draw(st.integers(0, max_fuel)))
    assert metrics.remaining + metrics.consumed == max_fuel
    assert metrics.is_exhausted == (metrics.remaining == 0)


def usage(consumed=1, is_exact=True, wall_ms=0.5, peak=65536, denied=0, host_calls=0, moved=0):
    return Usage(
        fuel=FuelMetrics(max_fuel=100, consumed=consumed, is_exact=is_exact),
        wall_ms=wall_ms,
        peak_memory_bytes=peak,
        memory_limit_bytes=1048576,
        denied_growths=denied,
        host_calls=host_calls,
        transfer_bytes=moved,
    )


def test_before_the_first_execution_there_is_no_total():
    assert UsageTotals(100).usage() is None


def test_the_total_adds_up_and_keeps_the_highest_peak():
    totals = UsageTotals(1_000)
    totals.add(usage(consumed=7, wall_ms=0.5, peak=131072, denied=1, host_calls=2, moved=10))
    totals.add(usage(consumed=3, wall_ms=0.25, peak=65536, denied=2, host_calls=3, moved=5))
    assert totals.usage() == Usage(
        fuel=FuelMetrics(max_fuel=1_000, consumed=10),
        wall_ms=0.75,
        peak_memory_bytes=131072,
        memory_limit_bytes=1048576,
        denied_growths=3,
        host_calls=5,
        transfer_bytes=15,
    )


def test_a_total_with_one_inexact_part_is_inexact():
    totals = UsageTotals(None)
    for is_exact in (True, False, True):
        totals.add(usage(is_exact=is_exact))
    assert not totals.usage().fuel.is_exact
    assert totals.usage().fuel.max_fuel is None
