"""Figures: rounded so that none says more than is true."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.base.figures import measured_ms as milliseconds
from pytest_airssys_wasm.runtime.base.figures import percent, seconds, size


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (None, "-"),
        (0.0, "0 %"),
        (0.01, "<0.1 %"),
        (0.1, "0.1 %"),
        (9.99, "9.9 %"),
        (10.0, "10 %"),
        (99.99, "99 %"),
        (100.0, "100 %"),
        (1e9, ">999 %"),
    ],
)
def test_a_share_is_rounded_down(share, shown):
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1,023 B"), (1024, "1 KiB"), (1_600_000, "1.526 MiB"), (2**40, "1,024 GiB")]
)
def test_a_size_is_in_the_largest_unit_that_it_fills(count, shown):
    assert size(count) == shown


@pytest.mark.parametrize(("time_ms", "shown"), [(0.126, "0.13"), (12.34, "12.3"), (1234.5, "1,234")])
def test_a_time_has_three_digits_or_more(time_ms, shown):
    assert milliseconds(time_ms) == shown


@pytest.mark.parametrize(
    ("time_s", "shown"),
    [(0.25, "0.25"), (1, "1"), (12.345, "12.3"), (150.4, "150"), (1_200, "1,200"), (1e7, "10,000,000")],
)
def test_seconds_have_no_exponent(time_s, shown):
    assert seconds(time_s) == shown
