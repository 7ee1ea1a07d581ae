"""Components with their exports: a bar is the call nearest to its limit, and marks the limit that was hit."""

from __future__ import annotations

import pytest
from hypothesis import given

from pytest_airssys_wasm.reporting.anchors import Anchors
from pytest_airssys_wasm.reporting.components import by_component
from support.records import execution, report, reports


def bars(**changes):
    """The bars of one export that was called once."""
    ((one,),) = [component.exports for component in by_component(report(executions=[execution(**changes)]), 9)]
    return one


def test_components_and_exports_are_in_alphabetical_order_and_instantiations_first():
    given = [("b", "run"), ("a", "z"), ("a", None), ("a", "c")]
    executions = [execution(component=component, export=export) for component, export in given]
    found = by_component(report(executions=executions), 9)
    shape = [(one.name, [row.summary.export for row in one.exports]) for one in found]
    assert shape == [("a", [None, "c", "z"]), ("b", ["run"])]


def test_a_bar_is_the_call_that_came_nearest_to_its_own_limit_and_names_its_test():
    executions = [
        execution(test="big", fuel_consumed=900, fuel_limit=9_000, peak_memory_bytes=1_000, memory_limit_bytes=1_000),
        execution(test="near", fuel_consumed=99, fuel_limit=100),
    ]
    ((one,),) = [component.exports for component in by_component(report(executions=executions), 9)]
    assert (one.fuel.percent, one.fuel.figure, one.fuel.test) == (99, "99 of 100 (99 %)", "near")
    assert (one.memory.percent, one.memory.test) == (100, "big")


def test_what_ended_a_guest_is_marked_at_its_limit():
    fuel = bars(verdict="out-of-fuel", fuel_consumed=1_000)
    assert (fuel.fuel.mark, fuel.memory.mark) == ("out-of-fuel", "")
    memory = bars(verdict="out-of-memory", denied_growths=1)
    assert (memory.fuel.mark, memory.memory.mark) == ("", "out-of-memory")
    assert bars(denied_growths=2).memory.mark == "2 growths refused"


def test_an_unlimited_budget_has_a_figure_and_no_bar():
    one = bars(fuel_limit=None, fuel_is_exact=False)
    assert (one.fuel.percent, one.fuel.figure) == (None, "≥100 of unlimited")


@pytest.mark.slow
@given(reports)
def test_every_call_is_counted_and_every_bar_fits(written):
    found = by_component(written, 1_000)
    assert sum(one.calls for one in found) == len(written.executions)
    assert sum(one.not_ok for one in found) == sum(one.verdict != "ok" for one in written.executions)
    for row in (row for one in found for row in one.exports):
        assert row.fuel.percent is None or 0 <= row.fuel.percent <= 100
        assert 0 <= row.memory.percent <= 100


def test_of_too_many_exports_those_in_trouble_are_drawn():
    executions = [execution(export=f"e{n}", fuel_consumed=100 + n) for n in range(9)]
    executions.append(execution(export="broken", verdict="trap", fuel_consumed=1))
    (found,) = by_component(report(executions=executions), 3)
    assert [row.summary.export for row in found.exports] == ["broken", "e7", "e8"]


def test_ids_are_the_same_in_each_report_and_unique_in_one():
    assert Anchors.of("test", "a::b") == "test-1876d59392c8"
    assert Anchors.of("export", "a", "bc") != Anchors.of("export", "ab", "c")
    assert Anchors.of("export", "a", None) != Anchors.of("export", "a", "")
    anchors = Anchors()
    first, second = (anchors.give("test", "\ud800") for _ in range(2))
    assert (first, second) == (Anchors.of("test", "\ud800"), f"{first}-2")
