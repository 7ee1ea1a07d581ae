"""Each law holds, and fails on an engine that breaks it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import find
from hypothesis import strategies as st
from msgspec import structs

from pytest_airssys_wasm import HostFunctions, ProcessIsolation, WasmEngine
from pytest_airssys_wasm.fuzzing import laws
from pytest_airssys_wasm.fuzzing.bundled_subjects import bundled_subjects
from pytest_airssys_wasm.fuzzing.law_tests import AMPLE, LawTest, Subject
from pytest_airssys_wasm.fuzzing.laws import LAWS, OF_RUNS
from pytest_airssys_wasm.fuzzing.strategies import manifests, resource_limits
from pytest_airssys_wasm.fuzzing.trials import Guest
from pytest_airssys_wasm.plugin.suite.laws import LAW_NAMES
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import Ceilings, ResourceLimits
from support.planted_guests import NOT_DETERMINISTIC

pytestmark = pytest.mark.slow

GUEST = """(module (memory 2) (func (export "nop") (param i32) (result i32) i32.const 7) (func (export "spin") (loop br 0))
    (func (export "count") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "grow") (result i32) i32.const 9 memory.grow))"""
ARGUMENTS = {
    "nop": st.tuples(st.integers(0, 9)),
    "spin": st.just(()),
    "count": st.tuples(st.integers(1, 999)),
    "grow": st.just(()),
}


def subjects_of(engine):
    guest = Guest(engine=engine, component=engine.load(GUEST), limits=ResourceLimits(memory="1 MiB"))
    return [Subject(guest=guest, function=name, arguments=args) for name, args in ARGUMENTS.items()]


@pytest.fixture(scope="module")
def test_of(engine):
    """The test of a law with guests in both modes of isolation, and the same examples each time."""
    isolation = ProcessIsolation() if engine.isolation is None else None
    with WasmEngine(isolation=isolation) as other:
        yield LawTest(subjects=[*subjects_of(engine), *subjects_of(other)], seed=0)


def test_the_plugin_names_every_law():
    assert tuple(sorted(LAWS)) == LAW_NAMES


def test_the_docstring_lists_every_law():
    assert [*LAWS] == [line.split("|")[1].strip() for line in laws.__doc__.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("law", LAWS)
def test_every_law_holds(test_of, law):
    LAWS[law](structs.replace(test_of, examples=25))


def planted(change):
    """`laws.run` with its outcome changed."""
    run = laws.run
    calls = []

    def changed(call, limits):
        calls.append(limits)
        return change(run(call, limits), limits, len(calls))

    return changed


def with_usage(result, **changes):
    return structs.replace(result, usage=result.usage and replace(result.usage, **changes))


def harmful_above(name, most):
    """Return a change by which a call fails if a limit is higher than `most`, which the law has to try."""
    return lambda result, limits, call: (
        structs.replace(result, verdict=Verdict.TRAP) if getattr(limits, name) > most else result
    )


DEFECTS = {
    "closed-verdicts": lambda result, limits, call: structs.replace(result, verdict=Verdict.INVALID_CONFIG),
    "repeatable": lambda result, limits, call: structs.replace(result, value=call),
    "one-fuel-threshold": lambda result, limits, call: structs.replace(result, value=limits.fuel),
    "one-memory-threshold": lambda result, limits, call: structs.replace(result, value=limits.memory),
    "more-never-hurts": lambda result, limits, call: (
        structs.replace(result, verdict=Verdict.TRAP) if call % 2 == 0 else result
    ),
    "within-limits": lambda result, limits, call: with_usage(result, peak_memory_bytes=limits.memory + 1),
    "ends-in-time": lambda result, limits, call: with_usage(result, wall_ms=limits.timeout_ms + 5_000),
}
FURTHER = {
    "refused growths are not told": (
        "one-memory-threshold",
        lambda result, limits, call: with_usage(structs.replace(result, verdict=Verdict.OK), denied_growths=0),
    ),
    "small budgets are not obeyed": (
        "one-fuel-threshold",
        lambda result, limits, call: (
            structs.replace(result, verdict=Verdict.OK, value=7) if limits.fuel == 0 else result
        ),
    ),
    "too much fuel is consumed": (
        "within-limits",
        lambda result, limits, call: with_usage(
            result, fuel=replace(result.usage.fuel, consumed=2**64) if result.usage else None
        ),
    ),
    "too much is written": ("within-limits", lambda result, limits, call: structs.replace(result, output_bytes=2**21)),
    "too much is transferred": (
        "within-limits",
        lambda result, limits, call: with_usage(
            structs.replace(result, verdict=Verdict.OK), transfer_bytes=limits.transfer + 1
        ),
    ),
    **{
        f"more {name} are harmful": ("more-never-hurts", harmful_above(name, most))
        for name, most in {
            "tables": 16,
            "table_elements": 20_000,
            "instances": 64,
            "memories": 16,
            "transfer": 2**24,
            "output": 2**20,
        }.items()
    },
}


@pytest.mark.parametrize("law", DEFECTS)
def test_every_law_fails_on_a_runtime_that_breaks_it(test_of, monkeypatch, law):
    monkeypatch.setattr(laws, "run", planted(DEFECTS[law]))
    with pytest.raises(Exception):  # noqa: B017 Hypothesis groups several failures
        LAWS[law](test_of)


@pytest.mark.parametrize("defect", FURTHER)
def test_a_law_fails_on_each_way_to_break_it(test_of, monkeypatch, defect):
    law, change = FURTHER[defect]
    monkeypatch.setattr(laws, "run", planted(change))
    with pytest.raises(Exception):  # noqa: B017 as above
        LAWS[law](test_of)


@pytest.mark.parametrize("law", DEFECTS)
@pytest.mark.parametrize("is_process", [False, True])
def test_every_law_fails_on_a_runtime_that_breaks_it_in_one_mode_only(test_of, monkeypatch, law, is_process):
    run, changed = laws.run, planted(DEFECTS[law])

    def in_one_mode(call, limits):
        is_there = (call.subject.guest.engine.isolation is not None) is is_process
        return (changed if is_there else run)(call, limits)

    monkeypatch.setattr(laws, "run", in_one_mode)
    with pytest.raises(Exception):  # noqa: B017 as above
        LAWS[law](test_of)


def test_every_law_about_executions_has_a_defect():
    assert {*DEFECTS, "breaches-stay-inside"} == {*OF_RUNS}


def test_the_law_of_breaches_fails_if_a_breach_reaches_another_store(test_of, monkeypatch):
    twice, values = laws._twice, iter(range(10_000))
    monkeypatch.setattr(laws, "_twice", lambda *args: (twice(*args)[0], next(values), 0))
    with pytest.raises(AssertionError):
        LAWS["breaches-stay-inside"](test_of)


def test_the_law_of_manifests_fails_on_a_parser_that_names_no_place(test_of, monkeypatch):
    def parse(text, path):
        raise laws.InvalidConfiguration("somewhere", text, "something else")

    monkeypatch.setattr(laws, "parse_manifest", parse)
    with pytest.raises(AssertionError):
        LAWS["manifests-are-judged"](test_of)


def test_the_law_of_round_trips_fails_on_a_writer_that_loses_a_limit(test_of, monkeypatch):
    write = laws.manifest_of
    monkeypatch.setattr(laws, "manifest_of", lambda limits: write(replace(limits, fuel=5)))
    with pytest.raises(AssertionError):
        LAWS["manifests-round-trip"](test_of)


def test_limits_are_at_most_the_ceilings(test_of, monkeypatch):
    seen, run = [], laws.run
    monkeypatch.setattr(laws, "run", lambda call, limits: (seen.append(limits), run(call, limits))[1])
    ceilings = Ceilings(fuel=1_000, memory=2**20, timeout_ms=2_000)
    for law in OF_RUNS.values():
        law(structs.replace(test_of, ceilings=ceilings, examples=20))
    assert seen
    assert all(limits == ceilings.lower(limits) for limits in seen)


def test_limits_made_by_the_strategy_are_limits():
    assert find(resource_limits(), lambda limits: limits.fuel == 0).fuel == 0
    assert find(resource_limits(), lambda limits: limits.transfer == 33 and limits.output < 9).transfer == 33
    assert isinstance(find(resource_limits(), lambda limits: True), ResourceLimits)


def test_manifests_have_each_way_to_write_a_timeout():
    for key in ("timeout_ms", "timeout_seconds"):
        assert key in find(manifests(), lambda text, key=key: key in text)


def test_the_laws_are_tried_on_the_guests_of_the_suite(engine):
    subjects = bundled_subjects(engine)
    assert len(subjects) > 50
    assert 0 < len(bundled_subjects(engine, every=8)) < len(subjects)


@pytest.mark.parametrize("law", ["repeatable", "one-fuel-threshold", "breaches-stay-inside"])
def test_a_call_that_differs_by_what_it_imports_is_not_held_against_the_limits(engine, law):
    host, ticks = HostFunctions(), count()
    host.register("env#now", lambda: next(ticks))
    guest = Guest(engine=engine, component=engine.load(NOT_DETERMINISTIC), limits=AMPLE, host=host)
    LAWS[law](LawTest(subjects=[Subject(guest=guest, function="stamp", arguments=st.just((1001,)))], examples=3))
