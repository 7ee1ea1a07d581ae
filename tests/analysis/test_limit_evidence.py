"""The evidence about limits: which sizes a law allows, what several searches found, and which timeout holds."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest

from pytest_airssys_wasm.analysis.laws.law import CostLaw, Piece
from pytest_airssys_wasm.analysis.laws.terms import Factor, Formula
from pytest_airssys_wasm.analysis.limit_evidence import (
    Evidence,
    Longest,
    first_size_over,
    laws_of,
    suggested_timeout,
)
from pytest_airssys_wasm.analysis.worst.search import WorstCase
from pytest_airssys_wasm.runtime.base.outcome import Verdict


def law(*pieces):
    return CostLaw(
        export="f",
        sizes=("n",),
        meanings={"n": "bytes of text"},
        held={},
        pieces=tuple(
            Piece(
                low=(low,),
                high=(high,),
                fuel=Formula.of([(Fraction(fixed), ()), (Fraction(each), (Factor("power"),))]),
                memory=Formula.constant(65_536),
            )
            for low, high, fixed, each in pieces
        ),
        executions=9,
        is_complete=True,
        make=lambda point: point,
    )


def worst(fuel, memory, verdict=Verdict.OK):
    return WorstCase(
        export="f",
        arguments=(fuel,),
        call=f"f({fuel})",
        fuel=fuel,
        peak_memory_bytes=memory,
        verdict=verdict,
        executions=9,
        returned=8,
        growth="n",
        is_complete=True,
    )


@pytest.mark.parametrize(
    ("pieces", "limit", "size"),
    [
        ([(0, 100, 7, 10)], 500, 50),
        ([(0, 100, 7, 10)], 506, 50),
        ([(0, 100, 7, 10)], 507, 51),
        ([(0, 100, 7, 10)], 2_000, None),
        ([(3, 100, 7, 10)], 0, 3),
        ([(0, 9, 7, 0), (10, 100, 0, 10)], 99, 10),
        ([(0, 10**12, 7, 10)], 10**9 + 6, 10**8),
    ],
)
def test_the_first_size_over_a_limit_is_exact(pieces, limit, size):
    assert first_size_over(law(*pieces), "fuel", limit) == size


def test_a_law_of_the_memory_is_compared_with_the_limit_of_the_memory():
    assert first_size_over(law((0, 9, 1, 1)), "memory", 65_535) == 0
    assert first_size_over(law((0, 9, 1, 1)), "memory", 65_536) is None


def test_the_evidence_of_several_processes_has_the_dearest_of_each():
    first = Evidence().with_worst_case(worst(70, 2)).with_worst_case(worst(30, 9)).with_law(law((0, 9, 1, 1)))
    second = Evidence().with_worst_case(worst(80, 1, Verdict.OUT_OF_FUEL))
    for together in (first.plus(second), second.plus(first)):
        found = together.dearest["f"]
        assert (found.fuel, found.fuel_call, found.memory_bytes, found.memory_call) == (80, "f(80)", 9, "f(30)")
        assert found.ended_by == "out-of-fuel"
        assert laws_of(together)["f"].text == law((0, 9, 1, 1)).text


@pytest.mark.parametrize(
    ("cpu_ms", "waiting_ms", "expected"),
    [
        (0.01, 0.0, (100, 20, 5, "", False)),
        (4.9, 0.0, (100, 20, 5, "", False)),
        (5.1, 0.0, (200, 20, 10, "cpu", False)),
        (31.0, 40.0, (1_000, 20, 50, "cpu", False)),
        (0.1, 24.0, (200, 4, 50, "waiting", True)),
        (0.1, 900.0, (4_000, 4, 1_000, "waiting", True)),
    ],
)
def test_a_timeout_has_a_margin_over_the_longest_time_and_is_round(cpu_ms, waiting_ms, expected):
    longest = Longest(cpu_ms=cpu_ms, cpu_test="cpu", waiting_ms=waiting_ms, waiting_test="waiting")
    found = suggested_timeout(longest)
    assert (found.timeout_ms, found.margin, found.taken_ms, found.test, found.is_waiting) == expected


def test_only_a_guest_that_may_wait_is_given_its_wall_clock_time():
    usage = SimpleNamespace(wall_ms=80.0, cpu_ms=3.0)
    assert Evidence().with_execution(usage, "t", may_wait=False).longest == Longest(cpu_ms=3.0, cpu_test="t")
    assert Evidence().with_execution(usage, "t", may_wait=True).longest.waiting_ms == 80.0
    unknown = SimpleNamespace(wall_ms=80.0, cpu_ms=None)
    assert Evidence().with_execution(unknown, "t", may_wait=False).longest.cpu_ms == 80.0
