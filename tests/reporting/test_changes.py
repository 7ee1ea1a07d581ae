"""The changes since an earlier report: those of the comparison, and nothing about tests that only one report has."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings

from pytest_airssys_wasm.reporting import html, markdown
from pytest_airssys_wasm.reporting.changes import changes_since, text_lines
from pytest_airssys_wasm.reporting.comparison import compare
from pytest_airssys_wasm.reporting.side_by_side import render
from support.records import HOSTILE, execution, outcome, report, reports


def since(earlier, now):
    return changes_since(earlier, now, "old.json")


def case(name, ending="passed"):
    return outcome(test=f"conformance/fuel/{name}", kind="case", outcome=ending, reason=None)


def test_costs_and_outcomes_are_those_of_the_comparison():
    earlier = report(tests=[outcome(), case("a")], executions=[execution(fuel_consumed=200)])
    now = report(
        tests=[outcome(outcome="failed", reason="got 1"), case("a", "known")],
        executions=[execution(fuel_consumed=250), execution(export="other")],
    )
    changes, compared = since(earlier, now), compare({"earlier": earlier, "now": now})
    assert changes.costs == compared.costs
    assert set(changes.outcomes) == {*compared.tests, *compared.differences}
    cost = "| <code>tests/test&#95;a.py::test&#95;a</code> | <code>guest</code> | <code>run</code> | 200 fuel | 250 fuel (+50, +25.0 %) |"
    cost = cost.replace("&#95;", "\\_")
    assert cost in markdown.render(now, changes)
    assert cost in render(compared)


def test_tests_that_only_one_report_has_are_counted_and_are_not_differences():
    earlier = report(
        tests=[outcome(test="t"), outcome(test="gone"), case("a"), case("b")],
        executions=[execution(test="t"), execution(test="gone")],
    )
    now = report(tests=[outcome(test="t"), outcome(test="new"), case("b")], executions=[execution(test="t")])
    changes = since(earlier, now)
    assert (changes.outcomes, changes.costs, changes.new, changes.not_run) == ((), (), 1, 2)
    assert changes.summary == ("1 test not in the earlier report", "2 tests not run this time")
    for text in (markdown.render(now, changes), html.render(now, changes), *next(text_lines(changes, most=9))[:1]):
        assert "removed" not in text
        assert "gone" not in text


def test_without_differences_the_reports_say_so():
    changes = since(report(tests=[outcome()]), report(tests=[outcome()]))
    assert list(text_lines(changes, most=9)) == [("no differences", False)]
    assert "no differences" in markdown.render(report(), changes)
    assert "no differences" in html.render(report(), changes)
    assert 'id="changes"' not in html.render(report())


def test_what_fails_now_comes_first_and_only_what_got_worse_is_marked():
    earlier = report(
        tests=[outcome(test="a", outcome="failed"), outcome(test="b")],
        executions=[execution(test="a", fuel_consumed=9), execution(test="b", fuel_consumed=5)],
    )
    now = report(
        tests=[outcome(test="a"), outcome(test="b", outcome="failed", reason="no")],
        executions=[execution(test="a", fuel_consumed=8), execution(test="b", fuel_consumed=6)],
    )
    assert list(text_lines(since(earlier, now), most=9)) == [
        ("2 tests with another outcome, 2 costs differ", False),
        ("outcome  b: passed before, failed now (no)", True),
        ("outcome  a: failed before, passed now", False),
        ("cost     a: guest run: 9 fuel before, 8 fuel (-1, -11.1 %) now", False),
        ("cost     b: guest run: 5 fuel before, 6 fuel (+1, +20.0 %) now", True),
    ]
    assert html.render(now, since(earlier, now)).count('class="dearer"') == 1


def test_more_changes_than_anyone_reads_are_counted():
    names = [f"t{n:04}" for n in range(html.MOST_CHANGES + 3)]
    earlier = report(tests=[outcome(test=name) for name in names])
    changes = since(earlier, report(tests=[outcome(test=name, outcome="failed") for name in names]))
    assert "3 more changes not shown" in html.render(report(), changes)
    assert f"{len(names) - markdown.MOST_CHANGES} more tests" in markdown.render(report(), changes)
    assert len(list(text_lines(changes, most=5))) == 7


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text_in_each_report(name):
    earlier = report(tests=[outcome(test=name)], executions=[execution(test=name, component=name, export=name)])
    now = report(
        tests=[outcome(test=name, outcome="failed", reason=name)],
        executions=[execution(test=name, component=name, export=name, fuel_consumed=7)],
    )
    changes = changes_since(earlier, now, name)
    plain = re.sub(r"</?code>|<br>|<!-- -->", "", markdown.render(now, changes))
    assert not re.search(r"<(?!!)[a-z/]", plain, re.IGNORECASE)
    assert html.render(now, changes).count("<script") == 2
    assert "<img" not in html.render(now, changes)
    assert all(line.isprintable() for line, _ in text_lines(changes, most=9))


@pytest.mark.slow
@given(reports, reports)
@settings(max_examples=20)
def test_any_two_reports_can_be_compared(earlier, now):
    changes = since(earlier, now)
    assert changes.outcomes == since(earlier, now).outcomes
    assert all(one.cases for one in changes.outcomes)
    html.render(now, changes).encode("utf-8")
