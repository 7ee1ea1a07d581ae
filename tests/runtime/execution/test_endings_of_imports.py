"""The endings of executions that call the host: functions of the host, and WASI."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import (
    ComponentTrapped,
    GuestExit,
    HostFunctionError,
    LinkError,
    ResourceLimitExceeded,
)
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from support.endings import LIMITS, ending

IMPORTING = """(module (import "env" "wait" (func $wait)) (import "env" "fail" (func $fail (param i32) (result f64)))
  (func (export "wait") call $wait) (func (export "fail") (result f64) i32.const 7 call $fail))"""


def test_missing_imports_are_all_named_with_their_types(engine):
    error = ending(engine, engine.load(IMPORTING), "wait")
    assert type(error) is LinkError
    assert error.imports == ("env#wait", "env#fail")
    assert "env#fail: (func (param i32) (result f64))" in str(error)


def test_what_a_host_function_raises_is_the_cause(engine):
    host = HostFunctions()
    host.register("env#wait", lambda: None)

    @host.register("env#fail")
    def fail(number):
        raise KeyError(number)

    error = ending(engine, engine.load(IMPORTING), "fail", host=host)
    assert type(error) is HostFunctionError
    assert isinstance(error.__cause__, KeyError)
    assert error.__cause__.args == (7,)
    assert "env#fail" in str(error)
    assert error.usage.host_calls == 1


@pytest.mark.parametrize("answer", [None, "x", True, (1.0, 2.0)])
def test_a_host_function_that_returns_the_wrong_thing_is_a_host_error(engine, answer):
    host = HostFunctions()
    host.register("env#wait", lambda: None)
    host.register("env#fail", lambda number: answer)
    error = ending(engine, engine.load(IMPORTING), "fail", host=host)
    assert type(error) is HostFunctionError
    assert isinstance(error.__cause__, TypeError)


WRITER = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
  (func $hello (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func (export "leave") (param i32) call $hello local.get 0 call $exit)
  (func (export "flood") (loop call $hello br 0)))"""


def test_wasi_is_not_there_unless_granted(engine):
    error = ending(engine, engine.load(WRITER), "leave", 0)
    assert type(error) is LinkError
    assert "wasi=Wasi()" in str(error)


def test_an_exit_status_other_than_zero_is_an_exit(engine):
    guest = engine.load(WRITER)
    error = ending(engine, guest, "leave", 3, wasi=Wasi())
    assert (type(error), error.code) == (GuestExit, 3)
    assert engine.execute(guest, "leave", 0, limits=LIMITS, wasi=Wasi()).value is None


def test_output_is_captured_and_bounded(engine):
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=5_000, output=10_000)
    with LimitedStore(engine, limits, wasi=Wasi()) as store:
        instance = store.instantiate(engine.load(WRITER))
        with pytest.raises(ResourceLimitExceeded) as caught:
            instance.flood()
        assert caught.value.resource == "output"
        assert len(store.stdout) == 10_000
        assert store.stdout.startswith(b"hello\nhello\n")


def test_a_pointer_that_wasi_refuses_is_a_trap_of_its_kind(engine):
    component = engine.load(
        '(module (import "wasi_snapshot_preview1" "random_get" (func $get (param i32 i32) (result i32))) (memory (export "memory") 1)'
        ' (func (export "f") (drop (call $get (i32.const 65535) (i32.const 2)))))'
    )
    error = ending(engine, component, "f", wasi=Wasi())
    assert isinstance(error, ComponentTrapped)
    assert error.kind == "memory-out-of-bounds"
