"""The amount of a limit that would have been enough, where one more run can find it without touching the host."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.analysis import CannotRepeat
from pytest_airssys_wasm.analysis.enough import MOST_MEMORY_BYTES, how_much_is_enough
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import Ceilings, ResourceLimits
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.store import LimitedStore

GUEST = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
  (global $calls (mut i32) (i32.const 0))
  (func (export "count") (param i32) (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0))
  (func (export "spin") (loop br 0))
  (func (export "grow") (param i32) local.get 0 memory.grow i32.const -1 i32.eq (if (then unreachable)))
  (func (export "grow-and-spin") (param i32)
    local.get 0 memory.grow i32.const -1 i32.eq (if (then unreachable)) (loop br 0))
  (func (export "say") (param i32)
    (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0))
  (func (export "later") (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (i32.gt_u (global.get $calls) (i32.const 1)) (then (loop br 0)))))"""
LIMITS = {"memory": "1 MiB", "fuel": 10_000, "timeout_ms": 20_000, "output": 100}


@pytest.fixture
def ended(engine):
    """Calls an export of the guest; returns the error that it ended with."""

    def call(name, *args, wasi=None, **limits):
        with pytest.raises(WasmError) as caught:
            engine.execute(
                engine.load(GUEST), name, *args, limits=ResourceLimits(**{**LIMITS, **limits}), wasi=wasi or Wasi()
            )
        return caught.value

    return call


def test_of_fuel_it_is_what_the_call_consumes(engine, ended):
    enough = how_much_is_enough(ended("count", 5_000))
    assert (enough.limit, enough.tried, enough.verdict) == ("fuel", None, Verdict.OK)
    limits = ResourceLimits(**{**LIMITS, "fuel": enough.needed})
    assert engine.execute(engine.load(GUEST), "count", 5_000, limits=limits, wasi=Wasi()).usage.fuel.is_exhausted
    with pytest.raises(WasmError):
        less = ResourceLimits(**{**LIMITS, "fuel": enough.needed - 10})  # wasmtime looks at loops and calls only
        engine.execute(engine.load(GUEST), "count", 5_000, limits=less, wasi=Wasi())


def test_of_memory_it_is_the_peak(ended):
    enough = how_much_is_enough(ended("grow", 30))
    assert (enough.limit, enough.needed) == ("memory", 31 * 65536)


def test_of_time_it_is_about_what_the_call_takes(ended):
    enough = how_much_is_enough(ended("count", 3_000_000, fuel=None, timeout_ms=0))
    assert enough.limit == "timeout_ms"
    assert enough.verdict in (Verdict.OK, Verdict.TIMEOUT)
    assert enough.needed is None or enough.needed > 0.1


def test_of_output_it_is_what_was_written(ended):
    assert how_much_is_enough(ended("say", 50)).needed == 300


@pytest.mark.slow
def test_an_endless_call_is_given_up_after_its_second(ended):
    enough = how_much_is_enough(ended("spin"))
    assert (enough.verdict, enough.needed) == (Verdict.TIMEOUT, None)


def test_only_the_limit_that_ended_the_call_is_lifted(ended):
    enough = how_much_is_enough(ended("grow-and-spin", 30))
    assert (enough.limit, enough.verdict, enough.needed) == ("memory", Verdict.OUT_OF_FUEL, None)


def test_a_re_run_does_not_get_all_the_memory_of_the_host(ended):
    enough = how_much_is_enough(ended("grow", 65_000, memory="16 MiB"))
    assert enough.tried == MOST_MEMORY_BYTES
    assert enough.needed is None


def test_nothing_is_told_where_no_limit_ended_the_call(engine):
    guest = engine.load('(module (func (export "f") unreachable))')
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "f", limits=ResourceLimits(**LIMITS))
    assert how_much_is_enough(caught.value) is None


@pytest.mark.parametrize("access", ["ro", "rw"])
def test_a_guest_that_could_change_files_is_not_run_again(ended, tmp_path, access):
    error = ended("count", 5_000, wasi=Wasi(preopen={"/": (tmp_path, access)}))
    if access == "rw":
        with pytest.raises(CannotRepeat, match="grants it the folder '/' for writing"):
            how_much_is_enough(error)
    else:
        assert how_much_is_enough(error).needed > 10_000


def test_a_guest_with_host_functions_is_not_run_again(engine):
    calls = []
    host = HostFunctions()
    host.register("env#f", lambda: calls.append(1))
    guest = engine.load('(module (import "env" "f" (func $f)) (func (export "g") call $f (loop br 0)))')
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "g", limits=ResourceLimits(**LIMITS), host=host)
    with pytest.raises(CannotRepeat, match="imports env#f: calls of host functions are repeated only if"):
        how_much_is_enough(caught.value)
    assert calls == [1]


def test_a_call_that_others_came_before_is_not_run_again(engine):
    with LimitedStore(engine, ResourceLimits(**LIMITS), wasi=Wasi()) as store:
        instance = store.instantiate(engine.load(GUEST))
        instance.later()
        with pytest.raises(WasmError) as caught:
            instance.later()
    with pytest.raises(CannotRepeat, match="later was not the first call in its store"):
        how_much_is_enough(caught.value)


def test_the_first_call_of_an_instance_is_run_again_with_a_budget_of_its_own(engine):
    with LimitedStore(engine, ResourceLimits(**LIMITS), wasi=Wasi()) as store:
        instance = store.instantiate(engine.load(GUEST))
        with pytest.raises(WasmError) as caught:
            instance.count(5_000)
    assert how_much_is_enough(caught.value).needed > 10_000


def test_a_shared_budget_says_nothing_about_one_call(engine):
    with LimitedStore(engine, ResourceLimits(**LIMITS), wasi=Wasi(), fuel_per="store") as store:
        instance = store.instantiate(engine.load(GUEST))
        with pytest.raises(WasmError) as caught:
            instance.count(5_000)
        assert caught.value.usage.fuel.max_fuel <= 10_000
    with pytest.raises(CannotRepeat, match="it shared a fuel budget with other calls"):
        how_much_is_enough(caught.value)


def test_the_sufficient_limit_of_an_instantiation_is_found_too(engine):
    guest = engine.load(
        """(module (global $n (mut i32) (i32.const 5000)) (start $s)
          (func $s (loop (global.set $n (i32.sub (global.get $n) (i32.const 1))) (br_if 0 (global.get $n)))))"""
    )
    with LimitedStore(engine, ResourceLimits(**LIMITS)) as store, pytest.raises(WasmError) as caught:
        store.instantiate(guest)
    assert how_much_is_enough(caught.value).needed > 10_000


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
def test_a_run_stays_below_the_ceilings(ended, call, ceilings, expected):
    enough = how_much_is_enough(ended(*call), ceilings)
    assert (enough.tried, enough.is_at_ceiling, enough.timeout_ms, enough.verdict) == expected


@pytest.mark.parametrize(
    ("call", "ceilings"),
    [
        (("count", 5_000), Ceilings(fuel=10_000)),
        (("count", 5_000), Ceilings(fuel=5_000)),  # the call itself was over it
        (("count", 5_000), Ceilings(memory=2**16)),
        (("grow", 30), Ceilings(memory=2**20)),
    ],
)
def test_there_is_no_run_that_the_ceilings_leave_no_room_for(engine, ended, call, ceilings):
    error = ended(*call)
    executions = []
    engine.on_execution = executions.append
    try:
        with pytest.raises(CannotRepeat, match="the ceilings of the ini file leave no room"):
            how_much_is_enough(error, ceilings)
    finally:
        engine.on_execution = None
    assert executions == []
