"""Blame: the limit that alone keeps a call from returning, what the call needs, and the fuel at which it traps."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from pytest_airssys_wasm import HostFunctions, LimitedStore, ResourceLimits, Verdict, Wasi, WasmError, analysis
from pytest_airssys_wasm.analysis.lifted_limits import MOST_BYTES
from pytest_airssys_wasm.analysis.repeatable import Deadline
from pytest_airssys_wasm.runtime.budget.limits import Ceilings
from support.kernels import EDIT, N, function, module, times

LIMITS = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000, output=100, transfer=1_000, table_elements=100)
SPINNING = '(module (func (export "f") (loop br 0)))'
GUEST = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
  (func (export "count") (param i32) (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0))
  (func (export "spin") (loop br 0))
  (func (export "grow") (param i32) local.get 0 memory.grow i32.const -1 i32.eq (if (then unreachable)))
  (func (export "grow-and-spin") (param i32)
    local.get 0 memory.grow i32.const -1 i32.eq (if (then unreachable)) (loop br 0))
  (func (export "more-elements") (param i32)
    (if (i32.eq (table.grow $t (ref.null func) (local.get 0)) (i32.const -1)) (then unreachable)))
  (func (export "say") (param i32)
    (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0))
  (func (export "trap-after") (param i32)
    (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0) unreachable)
  (func (export "divide-after") (param i32)
    (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0) (drop (i32.div_u (i32.const 1) (local.get 0))))
  (func (export "outside-after") (param i32)
    (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0) (drop (i32.load (i32.const -4)))))"""


@pytest.fixture
def ended(engine):
    """Calls an export of the guest; returns the error that it ended with."""

    def call(name, *args, **limits):
        with pytest.raises(WasmError) as caught:
            engine.execute(engine.load(GUEST), name, *args, limits=replace(LIMITS, **limits), wasi=Wasi())
        return caught.value

    return call


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        (("count", 5_000), "fuel"),
        (("grow", 30), "memory"),
        (("say", 50), "output"),
        (("more-elements", 400), "table_elements"),
    ],
)
def test_the_needed_amount_is_enough_and_one_unit_less_is_not(engine, ended, call, limit):
    blame = analysis.blame(ended(*call))
    assert (blame.limit, blame.given, blame.verdict) == (limit, getattr(LIMITS, limit), Verdict.OK)
    assert blame.is_complete
    guest = engine.load(GUEST)
    engine.execute(guest, *call, limits=replace(LIMITS, **{limit: blame.needed}), wasi=Wasi())
    with pytest.raises(WasmError):
        engine.execute(guest, *call, limits=replace(LIMITS, **{limit: blame.needed - 1}), wasi=Wasi())


def test_the_text_of_a_blame_is_a_sentence(ended):
    text = "memory: the call needs 1.938 MiB (2,031,616 bytes), the limit was 1 MiB"
    assert str(analysis.blame(ended("grow", 30))) == text
    assert str(analysis.blame(ended("say", 50))) == "output: the call needs 300 B, the limit was 100 B"


def test_a_re_run_that_returns_within_the_timeout_does_not_deny_it(ended):
    blame = analysis.blame(ended("count", 3_000_000, fuel=None, timeout_ms=1))
    blame = replace(blame, given=100.0, slowed_by=None)
    within = (
        "timeout: run again with more time, the call returned after about 94.3 ms, which is within the limit of 100 ms"
    )
    assert str(replace(blame, needed=94.3)) == within
    assert str(replace(blame, needed=194.3)) == "timeout: the call returns after about 194 ms, the limit was 100 ms"


def test_a_call_that_fails_otherwise_without_the_limit_says_how(ended):
    blame = analysis.blame(ended("grow-and-spin", 30))
    assert (blame.limit, blame.needed, blame.verdict) == ("memory", None, Verdict.OUT_OF_FUEL)
    assert str(blame) == "memory: with 64 MiB the call ends with out-of-fuel"


@pytest.mark.slow
def test_an_endless_call_needs_more_than_any_limit(ended):
    blame = analysis.blame(ended("spin"))
    assert (blame.limit, blame.needed, blame.verdict) == ("fuel", None, Verdict.TIMEOUT)
    assert str(blame).startswith("fuel: without this limit the call had not returned after 1 s; it may never end")


@pytest.mark.parametrize("name", ["divide-after", "outside-after"])
def test_the_fuel_at_a_trap_is_exact(engine, ended, name):
    short, long = (analysis.blame(ended(name, rounds)) for rounds in (100, 1_100))
    assert (short.limit, short.needed, short.verdict) == (None, None, Verdict.TRAP)
    assert long.fuel_at_trap - short.fuel_at_trap == 1_000 * 5
    guest = engine.load(GUEST)
    for fuel, verdict in ((long.fuel_at_trap, Verdict.TRAP), (long.fuel_at_trap - 1, Verdict.OUT_OF_FUEL)):
        with pytest.raises(WasmError) as caught:
            engine.execute(guest, name, 1_100, limits=replace(LIMITS, fuel=fuel), wasi=Wasi())
        assert caught.value.verdict is verdict
    assert str(short) == f"the trap is reached with {short.fuel_at_trap:,} fuel"


def test_fuel_that_the_engine_counts_to_the_trap_is_not_searched_for(ended):
    error = ended("trap-after", 100)
    blame = analysis.blame(error)
    assert (blame.fuel_at_trap, blame.was_fuel_lost) == (error.usage.fuel.consumed, False)
    assert blame.executions == 2  # with the limits lifted whose refusals a guest can survive
    assert str(blame) == "no limit is to blame: the call ends with trap whatever it is given"


def test_a_trap_without_fuel_limit_has_its_fuel_too(ended):
    assert analysis.blame(ended("divide-after", 1_000, fuel=None)).fuel_at_trap > 5_000


def test_the_time_of_a_busy_guest_is_its_own(ended):
    blame = analysis.blame(ended("count", 3_000_000, fuel=None, timeout_ms=1))
    assert blame.limit == "timeout_ms"
    assert blame.slowed_by in ("fuel", "machine")  # beside a busy machine it may have had little of it
    assert blame.needed is None or blame.needed > 1


def test_the_time_of_a_slow_host_function_is_the_hosts(engine):
    from threading import Event

    host = HostFunctions()
    host.register("env#wait", lambda: (Event().wait(0.15), None)[1], repeatable=True)
    guest = engine.load('(module (import "env" "wait" (func $wait)) (func (export "f") (call $wait)))')
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "f", limits=replace(LIMITS, timeout_ms=60), host=host)
    blame = analysis.blame(caught.value)
    assert (blame.limit, blame.verdict, blame.slowed_by) == ("timeout_ms", Verdict.OK, "host")
    assert blame.needed >= 150
    assert caught.value.usage.host_ms > 50
    assert "host functions or WASI took the time" in str(blame)


@pytest.mark.slow
def test_a_host_function_that_computes_is_not_taken_for_the_guest(engine):
    host = HostFunctions()
    host.register("env#compute", lambda: [sum(range(10_000_000))].clear(), repeatable=True)
    guest = engine.load('(module (import "env" "compute" (func $c)) (func (export "f") (loop (call $c) (br 0))))')
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "f", limits=replace(LIMITS, fuel=None, timeout_ms=60), host=host)
    assert analysis.blame(caught.value, time_s=0.3).slowed_by == "host"


@pytest.mark.parametrize(
    ("cpu_ms", "host_ms", "cause"),
    [(58, 0, "fuel"), (2, 0, "machine"), (2, 40, "host"), (58, 40, "host"), (None, 40, "host"), (None, 0, None)],
)
def test_the_cause_of_a_timeout_is_where_most_of_the_time_went(engine, cpu_ms, host_ms, cause):
    with pytest.raises(WasmError) as caught:
        engine.execute(engine.load(SPINNING), "f", limits=replace(LIMITS, fuel=None, timeout_ms=1))
    error = caught.value
    error.usage = replace(error.usage, wall_ms=60, cpu_ms=cpu_ms, host_ms=host_ms)
    blame = analysis.blame(error, time_s=1e-9)
    assert (blame.slowed_by, blame.is_complete) == (cause, False)
    assert str(blame).startswith("timeout: not lifted, because there was no time")


@pytest.mark.slow
def test_a_guest_that_needs_longer_than_the_limit_is_slow_by_itself_on_a_busy_machine_too(engine):
    with pytest.raises(WasmError) as caught:
        engine.execute(engine.load(SPINNING), "f", limits=replace(LIMITS, fuel=None, timeout_ms=1))
    error = caught.value
    error.usage = replace(error.usage, wall_ms=60, cpu_ms=2)
    assert analysis.blame(error, time_s=0.3).slowed_by == "fuel"


def test_other_ends_have_no_limit(engine):
    guest = engine.load(module(function("unreachable")))
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "f", 1, limits=LIMITS)
    blame = analysis.blame(caught.value)
    assert (blame.limit, blame.fuel_at_trap is not None) == (None, True)


def test_a_copied_error_cannot_be_repeated(ended):
    with pytest.raises(analysis.CannotRepeat, match="the error is a copy"):
        analysis.blame(pickle.loads(pickle.dumps(ended("spin"))))


def test_an_error_before_any_guest_code_has_no_call(engine):
    with pytest.raises(WasmError) as caught:
        engine.load(b"nothing")
    with pytest.raises(analysis.CannotRepeat, match="no guest code had started"):
        analysis.blame(caught.value)


def test_a_guest_of_a_host_function_can_be_repeated_with_another_one(engine):
    calls = []
    host, stub = HostFunctions(), HostFunctions()
    host.register("env#f", lambda: calls.append(1))
    stub.register("env#f", lambda: None, repeatable=True)
    guest = engine.load(
        '(module (import "env" "f" (func $f)) (func (export "g") (param $n i32) (local $i i32) (local $s i32) call $f '
        + times(N, EDIT)
        + "))"
    )
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "g", 1_000, limits=LIMITS, host=host)
    with pytest.raises(analysis.CannotRepeat, match="env#f"):
        analysis.blame(caught.value)
    assert analysis.blame(caught.value, host=stub).needed > 10_000
    assert calls == [1]


def test_a_guest_that_has_not_called_the_host_is_run_up_to_there(engine):
    calls = []
    host = HostFunctions()
    host.register("env#f", calls.append)
    guest = engine.load(
        '(module (import "env" "f" (func $f (param i32))) (func (export "g") (param $n i32) (local $i i32) (local $s i32) '
        + times(N, EDIT) + "(call $f (i32.const 1))))"
    )  # fmt: skip
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "g", 1_000, limits=LIMITS, host=host)
    blame = analysis.blame(caught.value)
    assert (blame.limit, blame.needed, blame.first_host_call) == ("fuel", None, "env#f")
    assert blame.used_until_then > 13_000
    assert (
        str(blame)
        == f"fuel: the call uses {blame.used_until_then:,} before it calls env#f, and is not repeated from there on"
    )
    assert calls == []


def test_a_later_call_in_a_store_cannot_be_repeated(engine):
    with LimitedStore(engine, LIMITS, wasi=Wasi()) as store:
        instance = store.instantiate(engine.load(GUEST))
        instance.count(3)
        with pytest.raises(WasmError) as caught:
            instance.spin()
    with pytest.raises(analysis.CannotRepeat, match="not the first call in its store"):
        analysis.blame(caught.value)


def test_the_first_call_of_an_instance_is_repeated(engine):
    with LimitedStore(engine, LIMITS, wasi=Wasi()) as store:
        instance = store.instantiate(engine.load(GUEST))
        with pytest.raises(WasmError) as caught:
            instance.count(5_000)
    blame = analysis.blame(caught.value)
    with LimitedStore(engine, replace(LIMITS, fuel=blame.needed), wasi=Wasi()) as store:
        store.instantiate(engine.load(GUEST)).count(5_000)


@pytest.mark.parametrize(
    ("call", "ceilings", "expected"),
    [
        (("count", 5_000), Ceilings(fuel=100_000), (100_000, True, 1_000, Verdict.OK)),
        (("count", 500_000), Ceilings(fuel=100_000), (100_000, True, 1_000, Verdict.OUT_OF_FUEL)),
        (("spin",), Ceilings(timeout_ms=50), (None, False, 50, Verdict.TIMEOUT)),
        (("grow", 30), Ceilings(memory=2**21), (2**21, True, 1_000, Verdict.OK)),
        (("grow", 40), Ceilings(memory=2**21), (2**21, True, 1_000, Verdict.OUT_OF_MEMORY)),
        (("grow", 40), Ceilings(memory=2**40), (64 * 2**20, False, 1_000, Verdict.OK)),
    ],
)
def test_ceilings_hold_for_the_runs(engine, ended, call, ceilings, expected):
    blame = analysis.blame(ended(*call), ceilings=ceilings)
    assert (blame.tried, blame.is_at_ceiling, blame.timeout_ms, blame.verdict) == expected


@pytest.mark.parametrize(
    ("call", "ceilings"),
    [
        (("count", 5_000), Ceilings(fuel=10_000)),
        (("count", 5_000), Ceilings(fuel=5_000)),  # the call itself was over it
        (("count", 5_000), Ceilings(memory=2**16)),
        (("grow", 30), Ceilings(memory=2**20)),
        (("divide-after", 100), Ceilings(fuel=5_000)),
    ],
)
def test_there_is_no_run_that_the_ceilings_leave_no_room_for(ended, call, ceilings):
    blame = analysis.blame(ended(*call), ceilings=ceilings)
    assert (blame.needed, blame.tried, blame.timeout_ms, blame.executions) == (None, None, None, 0)
    assert blame.limit is None or "the ceilings of the ini file leave no room for more" in str(blame)


def test_without_time_it_is_not_complete_and_says_so(ended):
    blame = analysis.blame(ended("count", 5_000), time_s=1e-9)
    assert (blame.limit, blame.needed, blame.is_complete) == ("fuel", None, False)
    assert str(blame) == "fuel: not lifted, because there was no time"
    blame = analysis.blame(ended("trap-after", 100), time_s=1e-9)
    assert str(blame) == "unknown: the time for re-runs was too short"


@pytest.mark.slow
def test_a_run_ends_with_the_time_for_the_search(ended):
    blame = analysis.blame(ended("spin"), time_s=0.2)
    assert (blame.verdict, blame.is_complete, blame.executions) == (Verdict.TIMEOUT, False, 1)
    assert blame.timeout_ms <= 200


def test_a_search_without_time_for_the_edge_tells_what_one_run_used(ended, monkeypatch):
    over = iter([False, False, True])
    monkeypatch.setattr(Deadline, "is_over", property(lambda _: next(over, True)))
    blame = analysis.blame(ended("grow", 30))
    assert (blame.needed, blame.is_complete) == (31 * 65536, False)
    assert str(blame) == "memory: the call needs at most 1.938 MiB (2,031,616 bytes), the limit was 1 MiB"


@pytest.mark.parametrize(
    ("limit", "call"),
    [("memory", ("grow", 1)), ("output", ("say", 1)), ("table_elements", ("count", 1))],
)
def test_a_limit_of_zero_is_lifted_too(engine, ended, limit, call):
    blame = analysis.blame(ended(*call, **{limit: 0}))
    assert (blame.limit, blame.given, blame.verdict) == (limit, 0, Verdict.OK)
    assert blame.needed > 0


def test_the_largest_limits_can_be_lifted(ended):
    most = {"table_elements": 2**64 - 1, "tables": 2**64 - 1, "memory": 2**48, "transfer": 2**48}
    assert analysis.blame(ended("divide-after", 3, **most)).fuel_at_trap > 10


def test_a_re_run_does_not_get_all_the_memory_of_the_host(ended):
    blame = analysis.blame(ended("grow", 65_000, memory="16 MiB"))
    assert (blame.tried, blame.needed) == (MOST_BYTES, None)


def test_a_second_limit_on_a_count_is_named(engine):
    guest = engine.load("(module (memory 1) (memory 1) (memory 1))")
    with LimitedStore(engine, replace(LIMITS, memories=1)) as store, pytest.raises(WasmError) as caught:
        store.instantiate(guest)
    assert str(analysis.blame(caught.value)) == "memories: the instantiation needs 3, the limit was 1"


@pytest.mark.parametrize("access", ["ro", "rw"])
def test_a_guest_that_could_change_files_is_not_run_again(engine, tmp_path, access):
    with pytest.raises(WasmError) as caught:
        wasi = Wasi(preopen={"/": (tmp_path, access)})
        engine.execute(engine.load(GUEST), "count", 5_000, limits=LIMITS, wasi=wasi)
    if access == "rw":
        with pytest.raises(analysis.CannotRepeat, match="grants it the folder '/' for writing"):
            analysis.blame(caught.value)
    else:
        assert analysis.blame(caught.value).needed > 10_000


def test_a_shared_budget_says_nothing_about_one_call(engine):
    with LimitedStore(engine, LIMITS, wasi=Wasi(), fuel_per="store") as store:
        instance = store.instantiate(engine.load(GUEST))
        with pytest.raises(WasmError) as caught:
            instance.count(5_000)
    with pytest.raises(analysis.CannotRepeat, match="it shared a fuel budget with other calls"):
        analysis.blame(caught.value)


def test_the_limit_of_an_instantiation_is_found_too(engine):
    guest = engine.load(
        """(module (global $n (mut i32) (i32.const 5000)) (start $s)
          (func $s (loop (global.set $n (i32.sub (global.get $n) (i32.const 1))) (br_if 0 (global.get $n)))))"""
    )
    with LimitedStore(engine, LIMITS) as store, pytest.raises(WasmError) as caught:
        store.instantiate(guest)
    blame = analysis.blame(caught.value)
    with LimitedStore(engine, replace(LIMITS, fuel=blame.needed)) as store:
        store.instantiate(guest)
    with LimitedStore(engine, replace(LIMITS, fuel=blame.needed - 1)) as store, pytest.raises(WasmError):
        store.instantiate(guest)


def test_a_re_run_is_not_told_as_an_execution(engine, ended):
    error = ended("count", 5_000)
    executions = []
    engine.on_execution = executions.append
    try:
        assert analysis.blame(error).executions > 2
    finally:
        engine.on_execution = None
    assert executions == []
