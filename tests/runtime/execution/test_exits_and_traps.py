"""Exits through WASI have one answer in both modes, and every trap that a guest can reach has a kind."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import (
    ComponentTrapped,
    GuestExit,
    LimitedStore,
    Ok,
    ResourceLimits,
    Wasi,
)
from pytest_airssys_wasm.runtime.capi import failures
from pytest_airssys_wasm.runtime.execution import verdict

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
MODULE = """(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
  (func (export "result") (param i32) (result i32) (call $exit (local.get 0)) i32.const 5)
  (func (export "nothing") (param i32) (call $exit (local.get 0)))
  (func (export "_start") (call $exit (i32.const 0))))"""
STARTS = """(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
  (func $start (call $exit (i32.const 0))) (start $start)
  (func (export "result") (result i32) i32.const 5) (func (export "nothing")))"""
COMPONENT = """(component
  (import "wasi:cli/exit@0.2.0" (instance $e (export "exit" (func (param "status" (result))))))
  (core func $exit (canon lower (func $e "exit")))
  (core module $m (import "" "exit" (func $exit (param i32)))
    (func (export "succeed") (result i32) (call $exit (i32.const 0)) i32.const 0)
    (func (export "nothing") (call $exit (i32.const 0)))
    (func (export "fail") (result i32) (call $exit (i32.const 1)) i32.const 0))
  (core instance $i (instantiate $m (with "" (instance (export "exit" (func $exit))))))
  (func (export "number") (result u32) (canon lift (core func $i "succeed")))
  (func (export "nothing") (canon lift (core func $i "nothing")))
  (func (export "fail") (result u32) (canon lift (core func $i "fail")))
  (func $run (result (result)) (canon lift (core func $i "succeed")))
  (component $command (import "r" (func $r (result (result)))) (export "run" (func $r)))
  (instance $command (instantiate $command (with "r" (func $run))))
  (export "wasi:cli/run@0.2.0" (instance $command)))"""


@pytest.fixture(scope="module", params=["thread", pytest.param("process", marks=pytest.mark.slow)])
def either_engine(request, new_engine):
    with new_engine(request.param) as engine:
        yield engine


def outcome(engine, source, function, *args):
    try:
        return engine.execute(engine.load(source), function, *args, limits=LIMITS, wasi=Wasi()).value
    except GuestExit as error:
        return error


@pytest.mark.parametrize("status", [1, 125, 126, 127, 128, 255, 256, 2**32 - 1])
@pytest.mark.parametrize("function", ["result", "nothing"])
def test_every_status_is_told(either_engine, status, function):
    error = outcome(either_engine, MODULE, function, status)
    assert error.code == status
    assert error.usage.fuel.is_exact


@pytest.mark.parametrize(
    ("source", "function", "args"), [(MODULE, "result", (0,)), (STARTS, "result", ()), (COMPONENT, "number", ())]
)
def test_an_exit_in_success_instead_of_a_result_is_an_exit(either_engine, source, function, args):
    error = outcome(either_engine, source, function, *args)
    assert error.code == 0
    assert "its call returned nothing" in str(error)


def test_an_exit_in_success_instead_of_an_instance_is_an_exit(either_engine):
    with LimitedStore(either_engine, LIMITS, wasi=Wasi()) as store, pytest.raises(GuestExit) as caught:
        store.instantiate(either_engine.load(STARTS))
    assert caught.value.code == 0


@pytest.mark.parametrize(
    ("source", "function", "args", "value"),
    [
        (MODULE, "nothing", (0,), None),
        (MODULE, "_start", (), None),
        (STARTS, "nothing", (), None),
        (COMPONENT, "nothing", (), None),
        (COMPONENT, "wasi:cli/run@0.2.0#run", (), Ok()),
    ],
)
def test_a_command_and_a_function_without_a_result_may_exit_in_success(either_engine, source, function, args, value):
    assert outcome(either_engine, source, function, *args) == value


def test_a_call_on_an_instance_that_exits_in_success_is_the_same(either_engine):
    with LimitedStore(either_engine, LIMITS, wasi=Wasi()) as store:
        instance = store.instantiate(either_engine.load(COMPONENT))
        assert instance["wasi:cli/run@0.2.0"].run() == Ok()
    with LimitedStore(either_engine, LIMITS, wasi=Wasi()) as store, pytest.raises(GuestExit) as caught:
        store.instantiate(either_engine.load(COMPONENT)).number()
    assert caught.value.code == 0


P1 = "wasi_snapshot_preview1"
WITH_MEMORY, WITHOUT = '(memory (export "memory") 1)', ""


@pytest.mark.parametrize(
    ("memory", "name", "args", "kind"),
    [
        (WITHOUT, "args_sizes_get", (0, 0), "invalid-wasi-call"),
        (WITH_MEMORY, "args_sizes_get", (1, 1), "unaligned-pointer"),
        (WITH_MEMORY, "args_sizes_get", (65_536, 65_536), "memory-out-of-bounds"),
        (WITH_MEMORY, "clock_res_get", (65_535, 0), "invalid-wasi-call"),
        (WITH_MEMORY, "clock_res_get", (-1, 0), "invalid-wasi-call"),
        (WITH_MEMORY, "fd_fdstat_set_flags", (3, 65_535), "invalid-wasi-call"),
        (WITH_MEMORY, "random_get", (0, 2**31 - 1), "invalid-wasi-call"),
        (WITH_MEMORY, "poll_oneoff", (1, 1, 1, 1), "unaligned-pointer"),
    ],
)
def test_a_trap_inside_wasi_has_a_kind(engine, memory, name, args, kind):
    declared = " ".join(["i32"] * len(args))
    values = " ".join(f"(i32.const {value})" for value in args)
    source = f"""(module (import "{P1}" "{name}" (func $f (param {declared}) (result i32))) {memory}
      (func (export "f") (drop (call $f {values}))))"""
    with pytest.raises(ComponentTrapped) as caught:
        engine.execute(engine.load(source), "f", limits=LIMITS, wasi=Wasi())
    assert caught.value.kind == kind
    assert not caught.value.args[0].startswith("0: ")  # the innermost cause alone


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("cannot remove owned resource while borrowed", "resource-lent"),
        ("cannot lift own resource from a borrow", "unknown-handle"),
        ("index is not a resource", "unknown-handle"),
        ("index 3 is not a resource", "unknown-handle"),
        ("index 3 is not an own resource", "unknown-handle"),
        ("unknown handle index 3", "unknown-handle"),
        ("handle index 3 used with the wrong type, expected host resource but found ...", "unknown-handle"),
        ("resource has children", "unknown-handle"),
        ("host resource already consumed", "unknown-handle"),
        ("pointer out of bounds", "memory-out-of-bounds"),
        ("pointer out of bounds of memory", "memory-out-of-bounds"),
        ("pointer size overflow", "memory-out-of-bounds"),
        ("return pointer not aligned", "unaligned-pointer"),
        ("empty poll list", "invalid-wasi-call"),
        ("write not permitted: check_write not called first", "invalid-wasi-call"),
        ("write exceeded budget", "invalid-wasi-call"),
        ("Buffer too large for blocking-write-and-flush (expected at most 4096)", "invalid-wasi-call"),
        ("cannot write more zeroes than `check_write` allows", "invalid-wasi-call"),
        ("unpermitted: argument exceeds permitted size", "invalid-wasi-call"),
    ],
)
def test_each_error_of_wasmtime_without_a_code_has_a_kind(cause, kind):
    assert verdict._trap(failures.take(failures.new_error(cause))).kind == kind
