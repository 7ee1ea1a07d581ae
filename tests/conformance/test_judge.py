"""Every field that differs from its expectation is a mismatch, and nothing else is."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.conformance.matching import mismatches
from pytest_airssys_wasm.conformance.model import MEASURES
from pytest_airssys_wasm.conformance.runner import ActorPass, Observation

STEP = '[limits]\nmemory = "1 MiB"\n[[steps]]\ncall = "f"\n[steps.expect]\n'

# What is expected; an answer that is right; an answer that is wrong; the field at fault.
TABLE = {
    "a verdict": ("", {}, {"verdict": "timeout"}, "verdict"),
    "a failure that does not come": ('verdict = "timeout"', {"verdict": "timeout"}, {}, "verdict"),
    "one of two verdicts": (
        'verdict = ["out-of-memory", "timeout"]',
        {"verdict": "timeout"},
        {"verdict": "out-of-fuel"},
        "verdict",
    ),
    "a kind of trap": (
        'verdict = "trap"\ntrap = "unreachable"',
        {"verdict": "trap", "trap": "unreachable"},
        {"verdict": "trap", "trap": "stack-overflow"},
        "trap",
    ),
    "one of two kinds of trap": (
        'verdict = "trap"\ntrap = ["unreachable", "bad-signature"]',
        {"verdict": "trap", "trap": "bad-signature"},
        {"verdict": "trap", "trap": "stack-overflow"},
        "trap",
    ),
    "a trap or something else": (
        'verdict = ["trap", "out-of-memory"]\ntrap = "unreachable"',
        {"verdict": "out-of-memory"},
        {"verdict": "trap", "trap": "stack-overflow"},
        "trap",
    ),
    "a resource": (
        'verdict = "resource-limit"\nresource = "tables"',
        {"verdict": "resource-limit", "resource": "tables"},
        {"verdict": "resource-limit", "resource": "memories"},
        "resource",
    ),
    "an exit code": (
        'verdict = "exit"\ncode = 3',
        {"verdict": "exit", "code": 3},
        {"verdict": "exit", "code": 1},
        "code",
    ),
    "the phase": (
        'verdict = "timeout"\nphase = "instantiate"',
        {"verdict": "timeout", "phase": "instantiate"},
        {"verdict": "timeout"},
        "phase",
    ),
    "the phase of a call": (
        'verdict = "trap"\nphase = "call"',
        {"verdict": "trap", "trap": "unreachable"},
        {"verdict": "trap", "trap": "unreachable", "phase": "instantiate"},
        "phase",
    ),
    "a place in the message": (
        'verdict = "invalid-config"\nmentions = ["max_bytes", "line 2"]',
        {"verdict": "invalid-config", "message": "Line 2: max_bytes is wrong"},
        {"verdict": "invalid-config", "message": "max_bytes is wrong"},
        "message",
    ),
    "a message at all": (
        'verdict = "invalid-config"\nmentions = ["max_bytes"]',
        {"verdict": "invalid-config", "message": "max_bytes"},
        {"verdict": "invalid-config"},
        "message",
    ),
    "a value": ("value = 3", {"value": 3}, {"value": 4}, "value"),
    "a value that is missing": ("value = 3", {"value": 3}, {}, "value"),
    "no value": ("value = {}", {"value": None}, {"value": 0}, "value"),
    "truth, which is no number": ("value = true", {"value": True}, {"value": 1}, "value"),
    "a value in a range": ("value = { min = 2 }", {"value": 2}, {"value": 1}, "value"),
    "a large value as text": (
        'value = "18446744073709551615"',
        {"value": 2**64 - 1},
        {"value": 2**64 - 2},
        "value",
    ),
    "a value that is no number": ("value = nan", {"value": "nan"}, {"value": 0.0}, "value"),
    "a record": (
        "value = { a = 1, b = [true, {}] }",
        {"value": {"b": [True, None], "a": 1}},
        {"value": {"a": 1, "b": [True]}},
        "value",
    ),
    "exact fuel": ("fuel_consumed = 7", {"fuel_consumed": 7}, {"fuel_consumed": 8}, "fuel_consumed"),
    "fuel that is not told": ("fuel_consumed = 7", {"fuel_consumed": 7}, {}, "fuel_consumed"),
    "too little fuel": (
        "fuel_consumed = { min = 5 }",
        {"fuel_consumed": 5},
        {"fuel_consumed": 4},
        "fuel_consumed",
    ),
    "too much fuel": (
        "fuel_consumed = { max = 5, may_be_unknown = true }",
        {},
        {"fuel_consumed": 6},
        "fuel_consumed",
    ),
    "too late": ("elapsed_ms = { max = 50 }", {"elapsed_ms": 50.0}, {"elapsed_ms": 50.1}, "elapsed_ms"),
    "always too late": ("fastest_ms = { max = 50 }", {"elapsed_ms": 50.0}, {"elapsed_ms": 51.0}, "fastest_ms"),
    "a peak": (
        "peak_memory_bytes = 65536",
        {"peak_memory_bytes": 65536},
        {"peak_memory_bytes": 0},
        "peak_memory_bytes",
    ),
    "refusals": ("denied_growths = { min = 1 }", {"denied_growths": 1}, {"denied_growths": 0}, "denied_growths"),
    "a figure that never comes": ('steady = ["fuel_consumed"]', {"fuel_consumed": 1}, {}, "fuel_consumed"),
    "limits of a manifest": (
        'limits = { fuel = 5, timeout_ms = "unlimited" }',
        {"limits": {"fuel": 5, "timeout_ms": "unlimited"}},
        {"limits": {"fuel": 6, "timeout_ms": "unlimited"}},
        "limits.fuel",
    ),
    "limits that are not told": (
        "limits = { memory_bytes = 5 }",
        {"limits": {"memory_bytes": 5}},
        {},
        "limits.memory_bytes",
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_is_right_passes_and_what_is_wrong_is_found(make_case, answer, observed, name):
    expected, right, wrong, field = TABLE[name]
    case = make_case(STEP + expected)
    assert mismatches(case, observed([answer(**right)])) == []
    (finding,) = mismatches(case, observed([answer(**wrong)]))
    assert finding.field == field
    assert finding.step == 1


# What no right runtime answers, whatever the case expects.
NEVER = {
    "a trap beside another verdict": ({"verdict": "ok", "trap": "unreachable"}, "trap"),
    "a trap without its kind": ({"verdict": "trap"}, "trap"),
    "a resource limit without the resource": ({"verdict": "resource-limit"}, "resource"),
    "an exit without its code": ({"verdict": "exit"}, "code"),
    "a value beside a failure": ({"verdict": "timeout", "value": 1}, "value"),
    "negative fuel": ({"fuel_consumed": -1}, "fuel_consumed"),
    "more fuel than there was": ({"fuel_consumed": 1_000_001}, "fuel_consumed"),
    "more memory than was allowed": ({"peak_memory_bytes": 2**20 + 1}, "peak_memory_bytes"),
    "negative time": ({"elapsed_ms": -0.1}, "elapsed_ms"),
}


def test_a_null_beside_a_failure_is_no_value(make_case, answer, observed):
    nothing = answer("timeout", value=None, trap=None, resource=None, code=None, limits=None)
    assert mismatches(make_case(STEP + 'verdict = "timeout"'), observed([nothing])) == []


@pytest.mark.parametrize("name", NEVER)
def test_what_no_right_runtime_answers_is_found_in_every_case(make_case, answer, observed, name):
    fields, field = NEVER[name]
    verdicts = ["ok", "trap", "resource-limit", "exit", "timeout"]
    case = make_case(STEP + f"verdict = {verdicts}")
    (finding,) = mismatches(case, observed([answer(**fields)]))
    assert finding.field == field


@pytest.mark.parametrize(("limit", "verdict"), [("fuel", "out-of-fuel"), ("timeout_ms", "timeout")])
def test_a_limit_that_was_not_set_is_not_hit(make_case, answer, observed, limit, verdict):
    case = make_case(f'[limits]\n{limit} = "unlimited"\n[[steps]]\ncall = "f"\nexpect = {{ verdict = "{verdict}" }}')
    (finding,) = mismatches(case, observed([answer(verdict)]))
    assert finding.field == "verdict"


def test_a_step_that_was_not_answered_is_found(make_case, answer, observed):
    case = make_case('[[steps]]\ncall = "f"\n[[steps]]\ncall = "g"\n')
    (finding,) = mismatches(case, observed([answer(), None]))
    assert (finding.field, finding.step, finding.step_name) == ("answer", 2, "g")


def test_what_must_be_steady_is_compared_over_all_repetitions(make_case, answer, observed):
    case = make_case(STEP + 'steady = ["fuel_consumed", "value"]')
    same, other = answer(fuel_consumed=5, value=1), answer(fuel_consumed=6, value=1)
    assert mismatches(case, observed([same], [same])) == []
    (finding,) = mismatches(case, observed([same], [same], [other]))
    assert (finding.field, finding.expected, finding.got) == ("fuel_consumed", "5 each time", 6)


def test_what_is_steady_may_differ_between_actors(make_case, answer):
    case = make_case(
        """
        [[actors]]
        name = "one"
        steps = [{ call = "f", expect = { steady = ["value"] } }]
        [[actors]]
        name = "two"
        steps = [{ call = "f", expect = { steady = ["value"] } }]
        """
    )
    seen = [
        ActorPass(actor=name, copy=0, repetition=number, answers=(answer(value=name),))
        for number in (0, 1)
        for name in ("one", "two")
    ]
    assert mismatches(case, Observation(passes=tuple(seen), elapsed_ms=1.0)) == []


def test_the_fastest_of_all_repetitions_counts(make_case, answer, observed):
    case = make_case(STEP + "fastest_ms = { max = 10 }")
    assert mismatches(case, observed([answer(elapsed_ms=90.0)], [answer(elapsed_ms=9.0)])) == []


@pytest.mark.parametrize("measure", [*MEASURES, "elapsed_ms"])
def test_what_was_measured_of_the_whole_case_is_compared(make_case, answer, observed, measure):
    case = make_case(f'[[steps]]\ncall = "f"\n[expect]\n{measure} = {{ max = 8 }}')
    assert mismatches(case, observed([answer()], **{measure: 8})) == []
    (finding,) = mismatches(case, observed([answer()], **{measure: 9}))
    assert (finding.field, finding.step) == (measure, None)
    assert finding.sentence == f"the whole case: {measure}: expected at most 8, got 9"


def test_a_measure_that_could_not_be_taken_is_no_pass(make_case, answer, observed):
    case = make_case('[[steps]]\ncall = "f"\n[expect]\nhost_rss_growth_mib = { max = 8 }')
    assert [finding.got for finding in mismatches(case, observed([answer()]))] == [None]


def test_the_same_finding_of_many_repetitions_is_said_once(make_case, answer, observed):
    case = make_case(STEP + "value = 1")
    (finding,) = mismatches(case, observed(*([answer(value=2)] for _ in range(300))))
    assert finding.times == 300
    assert finding.repetition == 0
    assert "(300 times)" in finding.sentence


def test_each_actor_is_compared_with_its_own_expectations(make_case, answer):
    case = make_case(
        """
        [[actors]]
        name = "one"
        steps = [{ call = "f", expect = { value = 1 } }]
        [[actors]]
        name = "two"
        steps = [{ call = "f", expect = { value = 2 } }]
        """
    )

    def saw(one, two):
        seen = [
            ActorPass(actor=name, copy=copy, repetition=0, answers=(answer(value=value),))
            for name, value in (("one", one), ("two", two))
            for copy in (0, 1)
        ]
        return Observation(passes=tuple(seen), elapsed_ms=1.0)

    assert mismatches(case, saw(1, 2)) == []
    (finding,) = mismatches(case, saw(1, 1))
    assert (finding.actor, finding.times) == ("two", 2)
    assert finding.sentence.startswith("actor two, step 1 (f): value: expected 2, got 1")


def test_a_finding_says_in_one_sentence_what_where_and_what_the_runtime_said(make_case, answer, observed):
    case = make_case('[[steps]]\nname = "the loop"\ncall = "f"\nexpect = { verdict = "out-of-fuel" }')
    wrong = answer("trap", trap="unreachable", message="it crashed")
    (finding,) = mismatches(case, observed([wrong]))
    assert finding.sentence == (
        "step 1 (the loop): verdict: expected out-of-fuel, got 'trap (unreachable)': it crashed"
    )


# A figure, the capability without which null is a right answer for it, and a wrong answer.
FIGURES = {
    "fuel_consumed = { min = 5 }": ("fuel-count", {"fuel_consumed": 4}),
    "peak_memory_bytes = 65536": ("memory-peak", {"peak_memory_bytes": 1}),
    "denied_growths = 1": ("memory-denials", {"denied_growths": 0}),
    'steady = ["fuel_consumed"]': ("fuel-count", None),
}


@pytest.mark.parametrize("expected", FIGURES)
def test_null_is_right_for_a_figure_that_is_not_promised_and_a_wrong_figure_is_not(
    make_case, answer, observed, expected
):
    capability, wrong = FIGURES[expected]
    case, silent = make_case(STEP + expected), frozenset({"module"})
    assert mismatches(case, observed([answer()], capabilities=silent)) == []
    assert len(mismatches(case, observed([answer()], capabilities=silent | {capability}))) == 1
    if wrong is not None:
        assert len(mismatches(case, observed([answer(**wrong)], capabilities=silent))) == 1


@pytest.mark.parametrize(("kind", "is_right"), [("unreachable", True), ("no-idea", True), ("stack-overflow", False)])
def test_a_trap_may_have_a_name_of_the_runtimes_own_but_no_wrong_one(make_case, answer, observed, kind, is_right):
    case, trapped = make_case(STEP + 'verdict = "trap"\ntrap = "unreachable"'), answer("trap", trap=kind)
    assert (mismatches(case, observed([trapped], capabilities=frozenset({"module"}))) == []) == is_right
    promising = observed([trapped], capabilities=frozenset({"trap-kinds"}))
    assert (mismatches(case, promising) == []) == (kind == "unreachable")


@pytest.mark.parametrize(
    ("figure", "capability"),
    [({"fuel_consumed": 2_000_000}, "fuel-limit"), ({"peak_memory_bytes": 2**21}, "store-memory-limit")],
)
def test_a_figure_is_held_to_a_limit_that_is_promised(make_case, answer, observed, figure, capability):
    case = make_case(STEP)
    assert mismatches(case, observed([answer(**figure)], capabilities=frozenset())) == []
    assert len(mismatches(case, observed([answer(**figure)], capabilities=frozenset({capability})))) == 1


def test_what_follows_from_a_failed_step_is_not_told_again(make_case, answer, observed):
    case = make_case('[[steps]]\ncall = "f"\n[[steps]]\ncall = "g"\n[[steps]]\ncall = "h"\nfresh = true\n')
    found = mismatches(case, observed([answer("trap", trap="unreachable"), None, None]))
    assert [finding.pin for finding in found] == ["step 1: verdict = trap (unreachable)", "step 3: answer = null"]


def test_of_a_runtime_that_died_nothing_else_is_said(make_case, answer, observed):
    case = make_case(
        '[[steps]]\ncall = "f"\nexpect = { fastest_ms = { max = 5 } }\n[expect]\nhost_rss_growth_mib = { max = 1 }\n'
    )
    found = mismatches(case, observed([answer("runtime-died", message="signal")]))
    assert [finding.pin for finding in found] == ["step 1: verdict = runtime-died"]


def test_different_answers_in_one_place_are_told_each(make_case, answer, observed):
    case = make_case(STEP + "value = 1")
    found = mismatches(case, observed(*([answer(value=number % 3)] for number in range(9))))
    assert [(finding.pin, finding.times) for finding in found] == [("step 1: value = 0", 3), ("step 1: value = 2", 3)]


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        ('stdout = "hé\\n"', {"stdout": "hé\n".encode()}, {"stdout": b"h"}),
        ('stderr = ""', {"stderr": b""}, {"stderr": b"oops"}),
        ('stdout = { base64 = "/wA=" }', {"stdout": b"\xff\0"}, {"stdout": "\xff\0".encode()}),
    ],
)
def test_output_is_compared_to_the_byte(make_case, answer, observed, expected, right, wrong):
    case = make_case(STEP + expected)
    assert mismatches(case, observed([answer(**right)])) == []
    (finding,) = mismatches(case, observed([answer(**wrong)]))
    assert finding.pin == f"step 1: {expected.partition(' ')[0]}"
    # Null is right only for a runtime that does not promise to tell.
    (finding,) = mismatches(case, observed([answer()]))
    assert finding.pin.endswith(" = null")
    assert mismatches(case, observed([answer()], capabilities=frozenset({"wasi-p1"}))) == []
    assert len(mismatches(case, observed([answer(**wrong)], capabilities=frozenset()))) == 1
