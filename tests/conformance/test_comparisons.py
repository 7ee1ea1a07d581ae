"""A figure may be compared with that of another step."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.conformance.matching import mismatches

TWO_STEPS = """
[[steps]]
name = "first"
call = "f"
[[steps]]
call = "f"
[steps.expect]
fuel_consumed = {}
"""


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [("{ same_as = 'first' }", 100, 101), ("{ of = 'first', min = 9.5, max = 10.5 }", 1_000, 900)],
)
def test_a_figure_is_compared_with_that_of_another_step(make_case, answer, observed, expected, right, wrong):
    case = make_case(TWO_STEPS.format(expected))
    first = answer(fuel_consumed=100)
    assert mismatches(case, observed([first, answer(fuel_consumed=right)])) == []
    (finding,) = mismatches(case, observed([first, answer(fuel_consumed=wrong)]))
    assert (finding.field, finding.step, finding.got) == ("fuel_consumed", 2, wrong)


def test_a_figure_compared_with_one_that_is_not_known_is_found(make_case, answer, observed):
    case = make_case(TWO_STEPS.format("{ of = 'first', max = 2 }"))
    (finding,) = mismatches(case, observed([answer(), answer(fuel_consumed=1)]))
    assert finding.field == "fuel_consumed"


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("{ min = 1_000 }", "at least 1,000"),
        ("{ max = 10 }", "at most 10"),
        ("{ min = 1, max = 10 }", "1 to 10"),
        ("{ min = 1, max = 10, may_be_unknown = true }", "1 to 10 (or unknown)"),
        ("{ max = 2, of = 'first' }", "at most 2 times that of step 'first'"),
        ("{ same_as = 'first' }", "the same as in step 'first'"),
        ("7", "7"),
    ],
)
def test_what_was_expected_is_said_in_words(make_case, answer, observed, expected, words):
    case = make_case(TWO_STEPS.format(expected))
    (finding,) = mismatches(case, observed([answer(fuel_consumed=100), answer(fuel_consumed=999)]))
    assert finding.expected == words
