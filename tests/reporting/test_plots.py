"""The drawings are small, have everything in the right place, and show limits."""

from __future__ import annotations

import pytest
from hypothesis import given

from pytest_airssys_wasm.reporting.plots import BINS, MOST_LANES, plots
from support.records import execution, report, reports


@pytest.mark.slow
@given(reports)
def test_everything_drawn_lies_within_the_plot(written):
    drawn = plots(written)
    assert drawn.axis.low < drawn.axis.high
    for lane in drawn.lanes:
        assert all(0 <= bin.at < BINS for bin in lane.bins)
        assert all(0 <= limit <= 1 for limit in lane.limits)
        assert sum(bin.ok + bin.other for bin in lane.bins) == lane.calls


def test_what_was_consumed_at_the_ends_of_the_axis_is_drawn_within_it():
    drawn = plots(report(executions=[execution(fuel_consumed=fuel) for fuel in (0, 1, 10**6)]))
    (lane,) = drawn.lanes
    assert [(bin.at, bin.ok) for bin in lane.bins] == [(0, 2), (BINS - 1, 1)]


def test_a_distant_limit_does_not_squeeze_the_axis():
    drawn = plots(report(executions=[execution(fuel_consumed=500, fuel_limit=2**64 - 1)]))
    assert (drawn.axis.low, drawn.axis.high) == (2, 3)
    assert drawn.lanes[0].limits == ()


def test_a_limit_stands_where_its_fuel_would():
    drawn = plots(report(executions=[execution(fuel_consumed=10, fuel_limit=100), execution(fuel_consumed=1_000)]))
    assert (drawn.axis.low, drawn.axis.high) == (1, 3)
    assert drawn.lanes[0].limits == (0.5, 1.0)


def test_twenty_thousand_executions_make_a_small_plot():
    executions = [
        execution(test=f"t{n % 900}", export=f"e{n % 300}", fuel_consumed=n * 7919 % 100_003) for n in range(20_000)
    ]
    drawn = plots(report(executions=executions))
    assert (len(drawn.lanes), drawn.lanes_in_all) == (MOST_LANES, 300)
    assert sum(len(lane.bins) for lane in drawn.lanes) <= MOST_LANES * BINS
