"""Rows: one for each export of each component, in an order that does not depend on the order of the calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_airssys_wasm.reporting.summaries import by_export, cut_off_text
from support.records import execution, executions, outcome


def only(*records):
    (row,) = by_export(records)
    return row


def test_nothing_executed_makes_no_rows():
    assert by_export([]) == ()


def test_components_come_in_order_and_instantiations_first():
    records = [execution(component=component, export=export) for component in "ba" for export in ("z", "(a)", None, "")]
    assert [(row.component, row.export) for row in by_export(records)] == [
        (component, export) for component in "ab" for export in (None, "", "(a)", "z")
    ]


@pytest.mark.slow
@given(st.lists(executions, max_size=8), st.randoms())
def test_the_order_of_the_calls_does_not_matter(records, generator):
    shuffled = generator.sample(records, len(records))
    assert by_export(shuffled) == by_export(records)


@pytest.mark.slow
@given(st.lists(executions, max_size=8))
def test_every_call_is_counted_once(records):
    rows = by_export(records)
    assert sum(row.calls for row in rows) == len(records)
    assert all(sum(times for _, times in row.verdicts) == row.calls for row in rows)
    assert all(row.fuel_min <= row.fuel_median <= row.fuel_max for row in rows)


def test_the_median_is_an_amount_that_was_consumed():
    row = only(*(execution(fuel_consumed=fuel) for fuel in (1, 9, 4, 2)))
    assert (row.fuel_min, row.fuel_median, row.fuel_max) == (1, 2, 9)


def test_the_share_is_the_worst_of_a_call_and_its_own_limit():
    row = only(
        execution(fuel_consumed=900, fuel_limit=10_000),
        execution(fuel_consumed=100, fuel_limit=200),
        execution(fuel_consumed=5_000, fuel_limit=None),
    )
    assert row.fuel_used_percent == 50
    assert (row.fuel_limit_min, row.fuel_limit_max, row.has_unlimited_fuel) == (200, 10_000, True)


def test_a_limit_of_zero_is_used_up():
    assert only(execution(fuel_consumed=0, fuel_limit=0)).fuel_used_percent == 100


def test_without_limits_there_is_no_share():
    row = only(execution(fuel_limit=None))
    assert (row.fuel_used_percent, row.fuel_limit_min, row.has_unlimited_fuel) == (None, None, True)


def test_lower_bounds_are_counted():
    row = only(execution(), execution(fuel_is_exact=False))
    assert (row.lower_bounds, row.fuel_is_exact) == (1, False)
    assert only(execution()).fuel_is_exact


def test_ok_comes_first_then_the_most_frequent_verdict():
    verdicts = ["trap", "timeout", "exit", "timeout", "ok"]
    row = only(*(execution(verdict=verdict) for verdict in verdicts))
    assert row.verdicts == (("ok", 1), ("timeout", 2), ("exit", 1), ("trap", 1))


def test_memory_and_time_are_those_of_the_worst_call():
    row = only(
        execution(peak_memory_bytes=5, memory_limit_bytes=8, wall_ms=1),
        execution(peak_memory_bytes=3, memory_limit_bytes=16, wall_ms=9),
        execution(peak_memory_bytes=1, memory_limit_bytes=8, wall_ms=2),
    )
    assert (row.peak_memory_bytes, row.memory_limit_min_bytes, row.memory_limit_max_bytes) == (5, 8, 16)
    assert (row.wall_median_ms, row.wall_max_ms) == (2, 9)


def test_checks_of_fuzzing_that_were_cut_off_are_counted_among_those_of_fuzzing():
    names = ["fuzz[a]", "fuzz[b]", "worst-case[a]", "fuzz-limits", "fuzz-sequence", "loads", "tests[fuzz]"]
    checks = [outcome(test=f"Component.toml::{name}", kind="check") for name in names]
    assert cut_off_text(checks) is None
    checks[0] = outcome(test=checks[0].test, kind="check", is_cut_off=True)
    assert cut_off_text(checks) == "the time of 1 of 5 fuzz checks was up before all examples were tried"
