"""Each law holds, and fails on an engine that breaks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_airssys_wasm.fuzzing import laws
from pytest_airssys_wasm.fuzzing.laws import LAWS, Subject, bundled_subjects
from pytest_airssys_wasm.plugin.suite.laws import LAW_NAMES
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits


@pytest.fixture(scope="module")
def subjects(engine):
    guest = engine.load(
        """(module (memory 2) (func (export "nop") (result i32) i32.const 7) (func (export "spin") (loop br 0))
        (func (export "grow") (result i32) i32.const 9 memory.grow))"""
    )
    return [Subject(component=guest, function=name) for name in ("nop", "spin", "grow")]


def test_the_plugin_names_every_law():
    assert tuple(sorted(LAWS)) == LAW_NAMES


@pytest.mark.parametrize("law", LAWS)
def test_every_law_holds(engine, subjects, law):
    LAWS[law](engine, subjects)


def planted(change):
    """`laws.run` with its outcome changed."""
    run = laws.run
    calls = []

    def changed(engine, subject, limits):
        calls.append(limits)
        return change(run(engine, subject, limits), limits, len(calls))

    return changed


DEFECTS = {
    "closed-verdicts": lambda result, limits, call: replace(result, verdict=Verdict.INVALID_CONFIG),
    "repeatable": lambda result, limits, call: replace(result, value=call),
    "more-fuel-never-hurts": lambda result, limits, call: (
        replace(result, verdict=Verdict.TRAP) if limits.fuel > 50_000 else result
    ),
    "peak-below-limit": lambda result, limits, call: replace(
        result, usage=result.usage and replace(result.usage, peak_memory_bytes=limits.memory + 1)
    ),
    "ends-in-time": lambda result, limits, call: replace(
        result, usage=result.usage and replace(result.usage, wall_ms=limits.timeout_ms + 5_000)
    ),
}


@pytest.mark.parametrize("law", DEFECTS)
def test_every_law_fails_on_a_runtime_that_breaks_it(engine, subjects, monkeypatch, law):
    monkeypatch.setenv("CI", "true")  # the same examples each time: few of them may show it
    monkeypatch.setattr(laws, "run", planted(DEFECTS[law]))
    with pytest.raises(Exception):  # noqa: B017 Hypothesis groups several failures
        LAWS[law](engine, subjects)


def test_the_law_of_manifests_fails_on_a_parser_that_names_no_place(engine, monkeypatch):
    def parse(text, path):
        raise laws.InvalidConfiguration("somewhere", text, "something else")

    monkeypatch.setattr(laws, "parse_manifest", parse)
    with pytest.raises(AssertionError):
        LAWS["manifests-are-judged"](engine, [])


def test_limits_made_by_the_strategy_are_limits():
    from hypothesis import find

    assert find(laws.resource_limits(), lambda limits: limits.fuel == 0) == replace(
        find(laws.resource_limits(), lambda limits: limits.fuel == 0), fuel=0
    )
    assert isinstance(find(laws.resource_limits(), lambda limits: True), ResourceLimits)


def test_the_laws_are_tried_on_the_guests_of_the_suite(engine):
    assert len(bundled_subjects(engine)) > 50
