import math

import pytest

from pytest_airssys_wasm import Err, Ok, OutOfFuel, OutOfMemory

pytestmark = pytest.mark.component("../sparkline.wasm", world="../wit/world.wit#sparkline")


@pytest.mark.parametrize(
    ("series", "width", "line"),
    [
        ([1, 2, 3, 5, 8, 13, 8, 5, 3, 2, 1], 11, "▁▂▂▃▅█▅▃▂▂▁"),
        (range(1000), 20, "▁▁▂▂▂▃▃▄▄▄▅▅▅▆▆▇▇▇██"),
        ([0, 1], 8, "▁▁▁▁████"),
        ([3, 3], 2, "▁▁"),
        ([1], 0, ""),
    ],
)
def test_a_series_becomes_a_line_of_that_width(component, series, width, line):
    assert component.draw(series, width) == Ok(line)


@pytest.mark.parametrize(
    ("series", "width", "reason"),
    [
        ([], 10, "there is nothing to draw"),
        ([1, math.nan], 10, "not all numbers are finite"),
        ([0], 241, "a line has at most 240 columns"),
        # Found by fuzzing: the guest ran out of fuel, and aborted because no array is so long.
        ([0], 468, "a line has at most 240 columns"),
        ([0], 134_217_726, "a line has at most 240 columns"),
    ],
)
def test_what_cannot_be_drawn_is_refused(component, series, width, reason):
    assert component.draw(series, width) == Err(reason)


def test_the_collector_frees_what_calls_leave_behind(component, limited_store):
    """100 calls with 32 KB of numbers each: 3.2 MB pass through 512 KiB."""
    for _ in range(100):
        component.draw(range(4_000), 80)
    assert limited_store.usage.peak_memory_bytes <= 384 * 1024
    assert limited_store.usage.denied_growths == 0


def test_a_series_that_does_not_fit_is_out_of_memory(component):
    with pytest.raises(OutOfMemory) as caught:
        component.draw(range(40_000), 100)
    assert "assembly/index/draw" in str(caught.value.frames)


@pytest.mark.fuel(100_000)
def test_a_series_too_long_for_the_budget_is_stopped(component):
    with pytest.raises(OutOfFuel):
        component.draw(range(10_000), 20)
