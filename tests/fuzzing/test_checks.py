"""Fuzzing finds planted faults and shrinks them to the smallest call, and accuses no sound guest."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.errors import Flaky

from pytest_airssys_wasm import HostFunctions, OutOfFuel, ResourceLimits, Wasi
from pytest_airssys_wasm.fuzzing import sequences
from pytest_airssys_wasm.fuzzing.export_check import UnneededAllowance, check_export
from pytest_airssys_wasm.fuzzing.limit_laws import check_limit_laws
from pytest_airssys_wasm.fuzzing.search import Plan, Search
from pytest_airssys_wasm.fuzzing.sequences import check_sequences
from pytest_airssys_wasm.fuzzing.worst_cases import check_worst_case
from pytest_airssys_wasm.runtime.base import originals
from pytest_airssys_wasm.runtime.budget.limits import Ceilings
from pytest_airssys_wasm.runtime.manifest.loading import parse_manifest
from pytest_airssys_wasm.validation.candidate import Candidate
from pytest_airssys_wasm.validation.exports import callable_exports
from pytest_airssys_wasm.validation.steps import check_entry
from pytest_airssys_wasm.validation.unfit import Blocked, NotChecked, Unfit
from support import planted_guests as planted
from support.seeds import SEEDS

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
HEAD = '[component]\nname = "a"\nversion = "1"\n[resources.memory]\nmax_bytes = 1048576\n'


def candidate(engine, text, *, host=None, wasi=None, fuzz="", limits=LIMITS):
    guest = engine.load(text)
    return Candidate(
        engine=engine,
        wasm=Path("guest.wat"),
        loader=lambda: guest,
        manifest=parse_manifest(HEAD + fuzz, Path("Component.toml")),
        declared_limits=limits,
        host=host or HostFunctions(),
        wasi=wasi,
    )


BUYER = """(module (import "shop" "price" (func $price (param i32) (result i32)))
  (func (export "buy") (param i32) (result i32) (call $price (local.get 0))))"""


def plan(**changes):
    """That of the profile `ci`, with less time for what is small."""
    return Plan(
        **{"profile": "ci", "examples": 1_000, "time_s": 60, "shrink_s": 60, "seed": 0, "is_guided": True, **changes}
    )


def the_fault(check, *args, **more):
    with pytest.raises(Unfit) as raised:
        check(*args, **more)
    return raised.value


FOUND = {
    "a trap behind four bytes": (planted.RARE_STRING, "parse", 'parse("MAGC") ended with trap (unreachable)'),
    "a case that is not handled": (
        planted.VARIANT_CASE,
        "weigh",
        "weigh(damaged(2)) ended with trap (memory-out-of-bounds)",
    ),
    "a list of one length": (
        planted.OFF_BY_ONE,
        "sum",
        f"sum([{', '.join(['0'] * 16)}]) ended with trap (unreachable)",
    ),
}


@pytest.fixture
def machine(monkeypatch):
    """A machine whose clocks the test sets."""
    clocks = SimpleNamespace(process_time=5.0, monotonic=100.0)
    for name in vars(clocks):
        monkeypatch.setattr(originals, name, lambda name=name: getattr(clocks, name))
    return clocks


def test_a_busy_machine_does_not_shorten_a_search_and_a_waiting_guest_does_not_prolong_it_without_end(machine):
    search = Search(plan=plan(time_s=10), judge=lambda _: None)
    machine.monotonic += 20
    machine.process_time += 9
    assert not search.is_over()
    machine.process_time += 1
    assert search.is_over()
    waiting = Search(plan=plan(time_s=10), judge=lambda _: None)
    machine.monotonic += 39
    assert not waiting.is_over()
    machine.monotonic += 1
    assert waiting.is_over()


def test_a_search_through_the_night_ends_when_its_time_has_passed(machine):
    search = Search(plan=plan(profile="nightly", examples=None, time_s=10), judge=lambda _: None)
    machine.monotonic += 10
    assert search.is_over()


def test_a_host_function_that_fails_is_named_with_its_error(engine):
    def price(item):
        raise LookupError("no such item")

    host = HostFunctions()
    host.register("shop#price", price, repeatable=True)
    unfit = the_fault(check_export, candidate(engine, BUYER, host=host), "buy", plan(examples=5))
    assert unfit.reason == (
        "buy(0) ended with host-error: the host function shop#price raised LookupError: no such item"
    )


def test_a_stub_without_an_answer_is_named_with_its_call_and_the_remedy(engine):
    stubs = "[[imports]]\nname = 'shop#price'\nwhen = [{ args = [3], returns = 7 }]\n"
    unfit = the_fault(check_export, candidate(engine, BUYER, fuzz=stubs), "buy", plan(examples=5))
    assert unfit.reason.endswith(": the stub has no answer for shop#price(0)")
    assert unfit.remedy.startswith(
        "write the answer into the [[imports]] of this name: returns for every call, or when"
    )


@pytest.mark.parametrize(
    "fault", [pytest.param(one, marks=pytest.mark.slow) if "list" in one else one for one in FOUND]
)
@pytest.mark.parametrize("seed", range(2))
def test_a_planted_fault_is_found_and_shrunk_to_the_smallest_call(engine, fault, seed):
    text, export, expected = FOUND[fault]
    unfit = the_fault(check_export, candidate(engine, text), export, plan(seed=seed))
    assert unfit.reason == expected


def test_the_failure_shows_an_entry_and_a_python_test_to_paste(engine):
    unfit = the_fault(check_export, candidate(engine, planted.VARIANT_CASE), "weigh", plan())
    text = "\n".join(unfit.details)
    assert 'call = "weigh"\n  args = [{ case = "damaged", value = 2 }]\n  verdict = "ok"' in text
    assert "from pytest_airssys_wasm import Variant" in text
    assert "component.call('weigh', Variant('damaged', 2))" in text
    assert '[fuzz.allow] "weigh" = ["trap:memory-out-of-bounds"]' in unfit.remedy


def test_a_call_that_could_not_be_shrunk_in_time_is_told(engine):
    unfit = the_fault(check_export, candidate(engine, planted.RARE_STRING), "parse", plan(shrink_s=0))
    assert unfit.details[0].endswith("; the search for a smaller one was cut off after 0 s")


def test_a_value_that_depends_on_a_host_function_is_found(engine):
    host, ticks = HostFunctions(), count()
    host.register("env#now", lambda: next(ticks))
    unfit = the_fault(check_export, candidate(engine, planted.NOT_DETERMINISTIC, host=host), "stamp", plan())
    assert unfit.reason.startswith("stamp(1001) returned ")
    assert "and in another fresh instance" in unfit.reason


def test_a_value_that_depends_on_the_clock_is_found(engine):
    unfit = the_fault(check_export, candidate(engine, planted.CLOCK, wasi=Wasi()), "stamp", plan())
    assert unfit.reason.startswith("stamp() returned ")


@pytest.mark.slow
def test_a_leak_is_found_with_the_smallest_call_that_has_it(engine):
    unfit = the_fault(check_sequences, candidate(engine, planted.LEAK), plan(examples=50, time_s=20))
    assert unfit.reason.startswith('greet("") makes memory grow from 1')
    text = "\n".join(unfit.details)
    assert '{ call = "greet", args = [""] }' in text
    assert "max_growth = 0" in text
    assert "component.store.usage.peak_memory_bytes == before" in text


def test_state_that_is_carried_over_is_found_with_the_shortest_sequence(engine):
    unfit = the_fault(check_sequences, candidate(engine, planted.STATE), plan(examples=200))
    assert unfit.reason == "next(); next(); next(); next() ended with trap (unreachable)"


def test_a_resource_that_is_dropped_twice_is_found_with_the_shortest_sequence(engine):
    unfit = the_fault(check_sequences, candidate(engine, planted.DROPPED_TWICE), plan(examples=200))
    calls, _, end = unfit.reason.rpartition(" ended with ")
    assert end.startswith("trap")
    assert calls.count("[constructor]bucket()") == 2
    assert calls.count("[static]bucket.merge(") == 1
    assert calls.count(";") == 2
    assert "component.call('[static]bucket.merge', r" in "\n".join(unfit.details)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sound_guest_is_not_accused(engine, seed):
    subject = candidate(engine, planted.SOUND)
    for export in callable_exports(subject.load()):
        assert "examples" in check_export(subject, export, plan(examples=30, seed=seed)) or export in (
            "count",
            "grow-once",
        )


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sound_guest_is_not_accused_by_sequences_and_laws(engine, seed):
    subject = candidate(engine, planted.SOUND)
    assert "seed" in check_sequences(subject, plan(examples=20, seed=seed, time_s=2))
    assert "8 laws" in check_limit_laws(subject, plan(examples=10, seed=seed), Ceilings())


IMPORTED = """(module (import "env" "price" (func $price (param i32) (result i32)))
  (func (export "total") (param i32) (result i32)
    (if (i32.gt_u (call $price (i32.const 1)) (i32.const 200)) (then unreachable)) i32.const 0))"""


@pytest.mark.slow
def test_imports_are_served_by_the_stubs_of_the_manifest(engine):
    for price, is_fault in ((100, False), (300, True)):
        subject = candidate(engine, IMPORTED, fuzz=f"[[imports]]\nname = 'env#price'\nreturns = {price}\n")
        if is_fault:
            assert the_fault(check_export, subject, "total", plan()).reason == "total(0) ended with trap (unreachable)"
        else:
            assert "examples, seed 0" in check_export(subject, "total", plan(examples=20))


def test_the_entries_that_are_shown_are_those_of_a_manifest(engine):
    for text, check, more in (
        (planted.STATE, check_sequences, {"examples": 200}),
        (planted.DROPPED_TWICE, check_sequences, {"examples": 200}),
    ):
        unfit = the_fault(check, candidate(engine, text), plan(**more))
        lines = unfit.details[
            unfit.details.index("to keep it, in Component.toml:") + 1 : unfit.details.index("in Python:")
        ]
        (entry,) = parse_manifest(HEAD + "\n".join(line[2:] for line in lines), Path("Component.toml")).tests
        with pytest.raises(Unfit):
            check_entry(candidate(engine, text), entry)


@pytest.mark.slow
def test_an_end_that_is_allowed_is_not_a_fault(engine):
    fuzz = '[fuzz.allow]\n"parse" = ["trap:unreachable"]\n'
    note = check_export(candidate(engine, planted.RARE_STRING, fuzz=fuzz), "parse", plan(examples=100))
    assert "as allowed: trap:unreachable" in note


@pytest.mark.slow
def test_an_allowance_that_nothing_needs_is_told(engine):
    fuzz = '[fuzz.allow]\n"size" = ["trap:unreachable", "growth"]\n'
    subject = candidate(engine, planted.SOUND, fuzz=fuzz)
    with pytest.warns(UnneededAllowance, match="size: trap:unreachable$"):
        check_export(subject, "size", plan(examples=20))


def test_another_kind_of_trap_than_the_allowed_one_is_a_fault(engine):
    fuzz = '[fuzz.allow]\n"parse" = ["trap:stack-overflow"]\n'
    unfit = the_fault(check_export, candidate(engine, planted.RARE_STRING, fuzz=fuzz), "parse", plan())
    assert "unreachable" in unfit.reason


def test_a_fault_is_kept_and_shown_again_at_once(engine):
    database = InMemoryExampleDatabase()
    subject = candidate(engine, planted.RARE_STRING)
    first = the_fault(check_export, subject, "parse", plan(database=database, key=b"a"))
    again = the_fault(check_export, subject, "parse", plan(database=database, key=b"a", examples=0))
    assert again.reason == first.reason
    sequence = the_fault(
        check_sequences, candidate(engine, planted.STATE), plan(database=database, key=b"b", examples=200)
    )
    again = the_fault(check_sequences, candidate(engine, planted.STATE), plan(database=database, key=b"b", examples=0))
    assert again.reason == sequence.reason


def test_kept_entries_that_are_not_failing_examples_are_removed(engine):
    database = InMemoryExampleDatabase()
    for entry in (b"{}", b"[", b'{"args": 3}', b'{"args": [1, 2]}', b'{"args": ["a"]}', b"\xff", b"[" * 5_000):
        database.save(b"a", entry)
    check_export(candidate(engine, planted.SOUND), "size", plan(database=database, key=b"a", examples=5))
    assert not [*database.fetch(b"a")]


def test_the_same_seed_gives_the_same_search(engine):
    subject = candidate(engine, planted.RARE_STRING)
    one, other = (the_fault(check_export, subject, "parse", plan(seed=5)).details[0] for _ in range(2))
    assert one == other


def test_a_component_that_cannot_be_instantiated_blocks_the_checks(engine):
    subject = candidate(engine, planted.SOUND, limits=ResourceLimits(memory=65_536))
    with pytest.raises(Blocked):
        check_export(subject, "size", plan())


QUADRATIC = planted.component(
    """(func (export "sort") (param $at i32) (param $size i32)
      (local $i i32) (local $j i32)
      (loop $outer
        (if (i32.lt_u (local.get $i) (local.get $size)) (then
          (local.set $j (i32.const 0))
          (loop $inner
            (if (i32.lt_u (local.get $j) (local.get $size)) (then
              (local.set $j (i32.add (local.get $j) (i32.const 1)))
              (br $inner))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $outer))))
      (call $free))""",
    'sort: (param "items" (list u8))',
)
"""Costs fuel with the square of the size."""


@pytest.mark.slow
def test_arguments_that_reach_the_fuel_limit_fail_with_the_growth_of_the_cost(engine):
    limits = ResourceLimits(memory="1 MiB", fuel=30_000, timeout_ms=20_000)
    unfit = the_fault(check_worst_case, candidate(engine, QUADRATIC, limits=limits), "sort", plan(examples=200))
    assert unfit.reason.startswith("sort([")
    assert "ended with out-of-fuel" in unfit.reason
    assert '[fuzz.allow] "sort" = ["out-of-fuel"]' in unfit.remedy
    fuzz = '[fuzz.allow]\n"sort" = ["out-of-fuel"]\n'
    check_worst_case(candidate(engine, QUADRATIC, limits=limits, fuzz=fuzz), "sort", plan(examples=200))


@pytest.mark.slow
def test_arguments_that_reach_the_fuel_limit_are_shrunk_and_the_growth_is_named(engine):
    limits = ResourceLimits(memory="1 MiB", fuel=30_000, timeout_ms=20_000)
    unfit = the_fault(check_worst_case, candidate(engine, QUADRATIC, limits=limits), "sort", plan(examples=200))
    size = unfit.reason.count("0")
    assert f"sort([{', '.join(['0'] * size)}]) ended with out-of-fuel; the cost grows like n^2" == unfit.reason
    guest = engine.load(QUADRATIC)
    engine.execute(guest, "sort", bytes(size - 1), limits=limits)
    with pytest.raises(OutOfFuel):
        engine.execute(guest, "sort", bytes(size), limits=limits)


def test_the_dearest_call_is_told_with_its_share_of_the_limit_and_the_growth(engine):
    limits = ResourceLimits(memory="1 MiB", fuel=1_000_000, timeout_ms=20_000)
    note = check_worst_case(candidate(engine, QUADRATIC, limits=limits), "sort", plan(examples=200))
    assert "of the limit, growing like n^2" in note
    assert "128 KiB of memory at most, 12 % of the limit" in note


def test_a_guest_that_cannot_be_repeated_is_not_searched(engine):
    host = HostFunctions()
    host.register("env#now", lambda: 0)
    with pytest.raises(NotChecked, match=r"^not searched: .*env#now"):
        check_worst_case(candidate(engine, planted.NOT_DETERMINISTIC, host=host), "stamp", plan(examples=20))


@pytest.mark.slow
def test_sequences_go_on_after_a_round_in_which_the_guest_did_not_repeat_itself(engine, monkeypatch):
    run, rounds = sequences.run_state_machine_as_test, count()

    def flaky_at_first(machine, **options):
        run(machine, **options)
        if next(rounds) == 0:
            raise Flaky("Inconsistent data generation!")

    monkeypatch.setattr(sequences, "run_state_machine_as_test", flaky_at_first)
    subject = candidate(engine, '(module (func (export "a") (param i32)))')
    check_sequences(subject, plan(examples=150, time_s=20))
    assert next(rounds) > 1
