"""The tightest limits: with them every call ends as before, and with one unit less of any of them some call does not."""

from __future__ import annotations

import copy
import itertools
import pickle
from dataclasses import replace

import pytest

from pytest_airssys_wasm import HostFunctions, OutOfFuel, ResourceLimits, UnknownExport, Wasi, WasmError, analysis
from pytest_airssys_wasm.analysis.repeatable import RepeatableGuest
from support.checkout import ROOT
from support.kernels import EDIT, N, function, module, times

LIMITS = ResourceLimits(memory="16 MiB", fuel=5_000_000, timeout_ms=20_000)
NAMES = ("memory", "fuel", "tables", "table_elements", "instances", "memories", "transfer", "output")
GROWING = module(
    function(times(N, EDIT)),
    '(table 5 funcref) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))',
    '(func (export "trap") (param i32) (if (local.get 0) (then unreachable)))',
)
SAYING = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
  (func (export "say") (param i32)
    (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0)))"""
ITEM = {"name": "pen", "quantity": 2, "price": 100, "tax": "standard"}
CASES = {
    "module": (GROWING, [("f", 10), ("f", 200), ("grow", 3), ("trap", 0), ("trap", 1)]),
    "refused growth": (GROWING, [("grow", 1_000), ("f", 3)]),
    "output": (SAYING, [("say", 3), ("say", 7)]),
    "rust": (ROOT / "examples/rust/invoice.wasm", [("total-of", [ITEM] * 5, None), ("total-of", [], "SPRING")]),
    "zig": (ROOT / "examples/c/json-minify.wasm", [("minify", "[1, 2, 3]"), ("minify", "{")]),
    "assemblyscript": (
        ROOT / "fixtures/guests/as-transform/as-transform.wasm",
        [("transform", "hello"), ("transform", "x" * 500)],
    ),
    "wasi": (ROOT / "fixtures/guests/word-count/word-count.wasm", [("count", "a b c"), ("average", [1, 2, 3])]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_call_ends_the_same_and_with_one_unit_less_one_does_not(engine, name):
    source, calls = CASES[name]
    component = engine.load(source)
    tightest = analysis.tightest_limits(component, calls, limits=LIMITS)
    assert tightest.is_complete
    guest = RepeatableGuest(component, limits=LIMITS)

    def endings(limits):
        return [guest.run(export, *args, limits=limits).ending for export, *args in calls]

    before = endings(LIMITS)
    assert endings(tightest) == before
    for limit in NAMES:
        value = getattr(tightest, limit)
        assert value <= getattr(LIMITS, limit)
        if value:
            assert endings(replace(tightest, **{limit: value - 1})) != before, limit
    assert set(tightest.witnesses) == {limit for limit in NAMES if getattr(tightest, limit)}


def test_the_witness_is_the_call_that_needs_it(engine):
    tightest = analysis.tightest_limits(engine.load(GROWING), [("f", 10), ("f", 200), ("grow", 3)], limits=LIMITS)
    assert (tightest.witnesses["fuel"], tightest.witnesses["memory"]) == ("f(200)", "grow(3)")
    assert tightest.memory == 4 * 65536
    assert tightest.table_elements == 5


def test_they_are_ordinary_limits(engine):
    tightest = analysis.tightest_limits(engine.load(GROWING), [("f", 10)], limits=LIMITS)
    assert isinstance(tightest, ResourceLimits)
    plain = ResourceLimits(**{name: getattr(tightest, name) for name in (*NAMES, "timeout_ms")})
    assert tightest == plain
    assert plain == tightest
    assert tightest != LIMITS
    assert hash(tightest) == hash(plain)
    for copied in (pickle.loads(pickle.dumps(tightest)), copy.deepcopy(tightest)):
        assert (copied, copied.witnesses, copied.is_complete) == (tightest, tightest.witnesses, True)
    engine.execute(engine.load(GROWING), "f", 10, limits=tightest)
    with pytest.raises(OutOfFuel):
        engine.execute(engine.load(GROWING), "f", 10, limits=replace(tightest, fuel=tightest.fuel - 1))


def test_unlimited_fuel_is_tightened_too(engine):
    tightest = analysis.tightest_limits(engine.load(GROWING), [("f", 10)], limits=replace(LIMITS, fuel=None))
    assert tightest.fuel == analysis.tightest_limits(engine.load(GROWING), [("f", 10)], limits=LIMITS).fuel


def test_a_search_is_short(engine):
    tightest = analysis.tightest_limits(engine.load(GROWING), [("f", 200)], limits=LIMITS)
    assert tightest.executions < 80


def test_a_call_that_a_limit_ends_is_told_as_it_ends(engine):
    with pytest.raises(OutOfFuel):
        analysis.tightest_limits(engine.load(GROWING), [("f", 10**6)], limits=replace(LIMITS, fuel=1_000))


def test_wrong_calls_are_refused(engine):
    guest = engine.load(GROWING)
    for calls in ([], ["f"], [()]):
        with pytest.raises(WasmError, match=r"calls: expected a list of \(export, \*arguments\)"):
            analysis.tightest_limits(guest, calls, limits=LIMITS)
    with pytest.raises(UnknownExport):
        analysis.tightest_limits(guest, [("g",)], limits=LIMITS)
    with pytest.raises(analysis.CannotRepeat):
        analysis.tightest_limits(engine.load(SAYING), [("say", 1)], limits=LIMITS, wasi=Wasi(inherit=True))


def test_a_guest_that_varies_has_no_limits(engine):
    guest = engine.load(f"""(module (import "env" "next" (func $next (result i32)))
      (func (export "f") (local $n i32) (local $i i32) (local $s i32)
        (local.set $n (call $next)) {times(N, EDIT)}))""")
    numbers, host = itertools.count(1), HostFunctions()
    host.register("env#next", lambda: next(numbers), repeatable=True)
    with pytest.raises(analysis.CannotRepeat, match=r"f used \d+ fuel, and in the next run \d+: it varies"):
        analysis.tightest_limits(guest, [("f",)], limits=LIMITS, host=host)


def test_without_time_they_are_not_complete(engine):
    tightest = analysis.tightest_limits(engine.load(GROWING), [("f", 10)], limits=LIMITS, time_s=1e-9)
    assert not tightest.is_complete
    assert engine.execute(engine.load(GROWING), "f", 10, limits=tightest).value is None
