"""Cases on slow machines: more time, and nothing else."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.conformance.model import Bounds, Case, CaseLimits, Expect, Step, WasiGrant, WholeExpect
from pytest_airssys_wasm.conformance.scaling import scaled
from pytest_airssys_wasm.runtime.base.outcome import Verdict


def case(timeout_ms=50, verdict=Verdict.TIMEOUT, **changes):
    expect = Expect(verdict=verdict, elapsed_ms=Bounds(min=50, max=1_050), fastest_ms=Bounds(max=60))
    fields = {
        "requirement": "X-1",
        "summary": "X",
        "wat": "(module)",
        "limits": CaseLimits(memory=1, fuel=2, timeout_ms=timeout_ms),
        "steps": [Step(call="f", expect=expect)],
        "expect": WholeExpect(elapsed_ms=Bounds(max=10)),
    }
    return Case(**fields | changes)


def the_actor(case):
    (actor,) = case.cast()
    return actor


def test_timeouts_and_latest_ends_are_later_and_nothing_else_changes():
    found = the_actor(scaled(case(), 4.0))
    assert (found.limits.memory, found.limits.fuel, found.limits.timeout_ms) == (1, 2, 200)
    expect = found.steps[0].expect
    assert (expect.elapsed_ms.min, expect.elapsed_ms.max) == (50, 4_200)
    assert expect.fastest_ms.max == 240
    assert scaled(case(), 4.0).expect.elapsed_ms.max == 40
    assert (found.wat, found.steps[0].call) == ("(module)", "f")


def test_a_quick_machine_may_end_sooner_and_no_later():
    expect = the_actor(scaled(case(), 0.5)).steps[0].expect
    assert (expect.elapsed_ms.min, expect.elapsed_ms.max) == (25, 1_050)


@pytest.mark.parametrize("timeout_ms", [UNSET, "unlimited", -1, "soon"])
def test_a_timeout_that_is_none_stays(timeout_ms):
    assert the_actor(scaled(case(timeout_ms), 4.0)).limits.timeout_ms == timeout_ms


@pytest.mark.parametrize("changes", [{"imports": ["sleep-ms"]}, {"imports": ["suspend-ms"]}, {"wasi": WasiGrant()}])
def test_a_guest_that_may_sleep_longer_than_its_timeout_keeps_that(changes):
    assert the_actor(scaled(case(**changes), 4.0)).limits.timeout_ms == 50
    assert the_actor(scaled(case(verdict=Verdict.OK, **changes), 4.0)).limits.timeout_ms == 200


def test_every_case_of_the_suite_can_be_scaled_and_keeps_its_verdicts():
    for chapter in find_chapters():
        for file in chapter.cases():
            whole = file.load()
            assert scaled(whole, 1) is whole
            for before, after in zip(whole.cast(), scaled(whole, 3.0).cast(), strict=True):
                assert [step.expect.verdicts for step in before.steps] == [step.expect.verdicts for step in after.steps]
                assert (before.fixture, before.wat, before.imports, before.wasi) == (
                    after.fixture,
                    after.wat,
                    after.imports,
                    after.wasi,
                )
