"""The comparison of a snapshot with a run: every planted edit is told as what it is, and nothing else is told."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from msgspec import structs

from pytest_airssys_wasm.analysis.laws.law import Law, Piece
from pytest_airssys_wasm.analysis.laws.terms import Factor, Formula
from pytest_airssys_wasm.analysis.snapshots.calibration import KERNELS, calibrate
from pytest_airssys_wasm.analysis.snapshots.comparison import Run, State, compare, updated
from pytest_airssys_wasm.analysis.snapshots.file import encode
from pytest_airssys_wasm.analysis.snapshots.model import Cost, EngineCosts, EntryKey, RecordedLaw, Snapshot

ENGINE = EngineCosts(wasmtime="50.0.1", settings=("consume_fuel", "wasm_gc"), calibration={"calls": 7, "memory": 9})
KEYS = [EntryKey(f"test_{n % 9}.py::test_{n}", "export", "run") for n in range(60)]
ENTRIES = {
    key: Cost(fuel=100 + 100 * n, peak_memory_bytes=65536, executions=1, guests=("a.wasm",))
    for n, key in enumerate(KEYS)
}
BEFORE = Snapshot(engine=ENGINE, guests={"a.wasm": "0" * 64}, entries=ENTRIES)


def run_of(entries=ENTRIES, *, engine=ENGINE, guests=BEFORE.guests, **known):
    known.setdefault("passed", {key.test for key in entries})
    return Run(snapshot=Snapshot(engine=engine, guests=guests, entries=entries), **known)


def told(comparison):
    return {change.key: change.state for change in comparison.changes if change.state is not State.UNCHANGED}


def costing(key, fuel=0, memory=0):
    cost = ENTRIES[key]
    return {
        **ENTRIES,
        key: structs.replace(cost, fuel=cost.fuel + fuel, peak_memory_bytes=cost.peak_memory_bytes + memory),
    }


def test_an_equal_run_is_unchanged():
    comparison = compare(BEFORE, run_of())
    assert told(comparison) == {}
    assert not comparison.fails


EDITS = (
    "one more",
    "one less",
    "3 % more",
    "3 % less",
    "more memory",
    "added",
    "removed",
    "renamed",
    "not run",
    "gone",
)


@pytest.mark.parametrize("seed", range(200))
def test_a_planted_edit_is_told_as_what_it_is_and_as_nothing_else(seed):
    edit, key = EDITS[seed % len(EDITS)], random.Random(seed).choice(KEYS)
    share = ENTRIES[key].fuel * 3 // 100
    without = {one: cost for one, cost in ENTRIES.items() if one != key}
    other = EntryKey(key.test, "export", "run-faster")
    everything = {one.test for one in KEYS}
    run, expected = {
        "one more": (run_of(costing(key, +1)), {key: State.REGRESSED}),
        "one less": (run_of(costing(key, -1)), {key: State.IMPROVED}),
        "3 % more": (run_of(costing(key, share), tolerance=Fraction(3, 100)), {key: State.TOLERATED}),
        "3 % less": (run_of(costing(key, -share), tolerance=Fraction(3, 100)), {key: State.IMPROVED}),
        "more memory": (run_of(costing(key, -1, 65536)), {key: State.REGRESSED}),
        "added": (run_of({**ENTRIES, other: ENTRIES[key]}), {other: State.NEW}),
        "removed": (run_of(without, passed=everything), {key: State.REMOVED}),
        "renamed": (
            run_of({**without, other: ENTRIES[key]}, passed=everything),
            {key: State.REMOVED, other: State.NEW},
        ),
        "not run": (run_of(without), {key: State.NOT_RUN}),
        "gone": (run_of(without, gone={key.test}), {key: State.REMOVED}),
    }[edit]
    assert told(compare(BEFORE, run)) == expected


def test_the_edge_of_a_tolerance_is_exact():
    key = KEYS[0]  # 100 units
    for more, state in ((1, State.TOLERATED), (2, State.TOLERATED), (3, State.REGRESSED)):
        for tolerance in ({"tolerance": Fraction(2, 100)}, {"tolerances": {key.test: Fraction(2, 100)}}):
            assert told(compare(BEFORE, run_of(costing(key, more), **tolerance))) == {key: state}


def test_the_tolerance_of_a_test_wins_over_that_of_the_run():
    run = run_of(costing(KEYS[0], 1), tolerance=Fraction(1), tolerances={KEYS[0].test: Fraction(0)})
    assert told(compare(BEFORE, run)) == {KEYS[0]: State.REGRESSED}


def test_a_dearer_guest_has_regressed_although_its_binary_is_another_one():
    comparison = compare(BEFORE, run_of(costing(KEYS[0], 1), guests={"a.wasm": "1" * 64}))
    assert told(comparison) == {KEYS[0]: State.REGRESSED}
    assert comparison.guest_changes == ("a.wasm",)


def test_another_guest_that_costs_the_same_is_unchanged():
    entries = {key: structs.replace(cost, guests=("b.wasm",)) for key, cost in ENTRIES.items()}
    assert told(compare(BEFORE, run_of(entries, guests={"b.wasm": "1" * 64}))) == {}


OTHER_ENGINES = {
    "wasmtime 50.0.1 is now 51.0.0": structs.replace(ENGINE, wasmtime="51.0.0"),
    "wasm_gc is now off": structs.replace(ENGINE, settings=("consume_fuel",)),
    "wasm_threads is now on": structs.replace(ENGINE, settings=(*ENGINE.settings, "wasm_threads")),
    "kernels cost something else (calls 7 is now 8)": structs.replace(ENGINE, calibration={"calls": 8, "memory": 9}),
}


@pytest.mark.parametrize("cause", OTHER_ENGINES)
def test_costs_with_another_engine_cannot_be_compared_and_the_cause_is_named(cause):
    engine = OTHER_ENGINES[cause]
    comparison = compare(BEFORE, run_of(costing(KEYS[3], 1), engine=engine))
    assert told(comparison) == {KEYS[3]: State.INCOMPARABLE}
    assert comparison.engine_changes == (cause,)
    assert comparison.fails


@pytest.mark.parametrize("cause", OTHER_ENGINES)
def test_costs_that_are_equal_with_another_engine_pass(cause):
    comparison = compare(BEFORE, run_of(engine=OTHER_ENGINES[cause]))
    assert told(comparison) == {}
    assert not comparison.fails


def test_a_new_kernel_is_not_another_engine():
    engine = structs.replace(ENGINE, calibration={**ENGINE.calibration, "vectors": 5})
    assert compare(BEFORE, run_of(costing(KEYS[0], 1), engine=engine)).engine_changes == ()


def test_without_a_snapshot_everything_is_new():
    comparison = compare(None, run_of())
    assert set(told(comparison).values()) == {State.NEW}
    assert comparison.fails


@pytest.mark.parametrize("state", ["not-run", "improved", "tolerated"])
def test_only_some_states_fail(state):
    part = dict([*ENTRIES.items()][:20])
    run = {
        "not-run": run_of(part),
        "improved": run_of(costing(KEYS[0], -1)),
        "tolerated": run_of(costing(KEYS[0], 1), tolerance=Fraction(1)),
    }[state]
    comparison = compare(BEFORE, run)
    assert {str(one) for one in told(comparison).values()} == {state}
    assert not comparison.fails


def test_an_update_after_a_partial_run_renews_what_ran_and_keeps_the_rest():
    dearer = costing(KEYS[0], 5)
    run = run_of({KEYS[0]: dearer[KEYS[0]]})
    found = updated(BEFORE, run, compare(BEFORE, run))
    assert found == structs.replace(BEFORE, entries=dearer)


def test_an_update_drops_what_is_gone_with_its_guest():
    entries = {key: structs.replace(cost, guests=("b.wasm",)) for key, cost in ENTRIES.items() if key != KEYS[0]}
    before = structs.replace(
        BEFORE, entries={**entries, KEYS[0]: ENTRIES[KEYS[0]]}, guests={"a.wasm": "0" * 64, "b.wasm": "1" * 64}
    )
    run = run_of(entries, gone={KEYS[0].test}, guests={"b.wasm": "1" * 64})
    found = updated(before, run, compare(before, run))
    assert (found.entries, found.guests) == (entries, {"b.wasm": "1" * 64})


def test_updates_of_the_parts_give_the_bytes_of_an_update_of_the_whole():
    found = None
    for n in range(9):
        part = {key: cost for key, cost in ENTRIES.items() if key.test.startswith(f"test_{n}.py")}
        run = run_of(part)
        found = updated(found, run, compare(found, run))
    assert encode(found) == encode(BEFORE)


def test_one_file_does_not_speak_of_two_engines():
    engine = OTHER_ENGINES["kernels cost something else (calls 7 is now 8)"]
    part = run_of({KEYS[0]: ENTRIES[KEYS[0]]}, engine=engine)
    assert updated(BEFORE, part, compare(BEFORE, part)) is None
    whole = run_of(engine=engine)
    assert updated(BEFORE, whole, compare(BEFORE, whole)) == whole.snapshot


def test_another_engine_that_costs_the_same_keeps_what_did_not_run():
    part = run_of({KEYS[0]: ENTRIES[KEYS[0]]}, engine=structs.replace(ENGINE, wasmtime="51.0.0"))
    found = updated(BEFORE, part, compare(BEFORE, part))
    assert (found.entries, found.engine.wasmtime) == (ENTRIES, "51.0.0")


def test_the_calibration_is_exact():
    first = calibrate()
    assert first == calibrate()
    assert first.calibration.keys() == KERNELS.keys()
    assert all(fuel > 5 for fuel in first.calibration.values())


LAW_KEY = EntryKey("Component.toml::law[sort]", "law", "sort")


def law_of(fixed, per_byte, high=4096):
    fuel = Formula.of([(Fraction(fixed), ()), (Fraction(per_byte), (Factor("power"),))])
    piece = Piece(low=(0,), high=(high,), fuel=fuel, memory=Formula.constant(65_536))
    return RecordedLaw(law=Law(sizes=("n",), meanings={"n": "bytes of text"}, held={}, pieces=(piece,)))


LAWS = {
    "equal": (law_of(300, 53), {}, State.UNCHANGED),
    "dearer for each byte": (law_of(300, 54), {}, State.REGRESSED),
    "dearer for small sizes only": (law_of(303, 52), {}, State.REGRESSED),
    "cheaper": (law_of(299, 53), {}, State.IMPROVED),
    "within the tolerance": (law_of(300, 54), {"tolerance": Fraction(2, 100)}, State.TOLERATED),
    "over the tolerance": (law_of(300, 55), {"tolerance": Fraction(2, 100)}, State.REGRESSED),
    "for more sizes": (law_of(300, 53, 9000), {}, State.IMPROVED),
    "for fewer sizes": (law_of(300, 53, 4095), {}, State.INCOMPARABLE),
    "dearer and for fewer sizes": (law_of(300, 54, 4095), {}, State.REGRESSED),
    "dearer with another engine": (
        law_of(300, 54),
        {"engine": structs.replace(ENGINE, wasmtime="51.0.0")},
        State.INCOMPARABLE,
    ),
    "equal with another engine": (
        law_of(300, 53),
        {"engine": structs.replace(ENGINE, wasmtime="51.0.0")},
        State.UNCHANGED,
    ),
}


@pytest.mark.parametrize("case", LAWS)
def test_a_law_has_the_states_of_a_cost(case):
    after, known, state = LAWS[case]
    before = structs.replace(BEFORE, entries={**ENTRIES, LAW_KEY: law_of(300, 53)})
    comparison = compare(before, run_of({**ENTRIES, LAW_KEY: after}, **known))
    assert told(comparison) == ({} if state is State.UNCHANGED else {LAW_KEY: state})


def test_a_law_that_was_not_found_is_removed_with_its_reason_and_one_that_was_not_looked_for_is_kept():
    before = structs.replace(BEFORE, entries={**ENTRIES, LAW_KEY: law_of(300, 53)})
    reasons = {LAW_KEY.test: "no law: no formula"}
    gone = compare(before, run_of(passed={*(key.test for key in KEYS), LAW_KEY.test}, reasons=reasons))
    assert [(change.state, change.reason) for change in gone.changes if change.key == LAW_KEY] == [
        (State.REMOVED, "no law: no formula")
    ]
    run = run_of()
    comparison = compare(before, run)
    assert told(comparison) == {LAW_KEY: State.NOT_RUN}
    assert updated(before, run, comparison).entries[LAW_KEY] == law_of(300, 53)
