"""Analyses run a guest again and again: only if it cannot affect the host, in fresh stores, and beside all records."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import ExecutionTimeout, HostFunctions, LinkError, ResourceLimits, Wasi, WasmError, analysis
from pytest_airssys_wasm.analysis.repeatable import RepeatableGuest, obstacle_to_repetition
from support.checkout import ROOT

LIMITS = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000)
LOGGING = '(module (import "env" "log" (func $log (param i32))) (func (export "f") (call $log (i32.const 1))))'
WRITING = '(module (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32))) (func (export "f")))'
COUNTING = """(module (global $calls (mut i32) (i32.const 0)) (func (export "f") (result i32)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls)))"""


def test_each_run_has_a_fresh_store(engine):
    guest = RepeatableGuest(engine.load(COUNTING), limits=LIMITS)
    assert [guest.run("f").value for _ in range(3)] == [1, 1, 1]
    assert guest.runs == 3


def test_runs_are_not_reported_as_executions_of_the_user(engine):
    seen = []
    engine.on_execution = seen.append
    try:
        RepeatableGuest(engine.load(COUNTING), limits=LIMITS).run("f")
    finally:
        engine.on_execution = None
    assert seen == []


def test_the_engine_of_a_guest_is_found_by_itself(engine):
    component = engine.load(COUNTING)
    assert component.loaded_by is engine
    with pytest.raises(TypeError, match="expected the result of an engine's load"):
        RepeatableGuest(ROOT / "x.wasm", limits=LIMITS)


def test_an_import_that_is_not_repeatable_is_named(engine):
    calls = []
    host = HostFunctions()
    host.register("env#log", calls.append)
    for functions in (None, host):
        with pytest.raises(analysis.CannotRepeat, match=r"imports env#log: .* repeatable=True") as caught:
            RepeatableGuest(engine.load(LOGGING), limits=LIMITS, host=functions)
        assert caught.value.imports == ("env#log",)
    assert calls == []


def test_a_host_function_in_the_place_of_wasi_has_to_be_repeatable_too(engine):
    guest, host = engine.load(WRITING), HostFunctions()
    host.register("wasi_snapshot_preview1#fd_close", lambda handle: 0)
    assert obstacle_to_repetition(guest, host, None).imports == ("wasi_snapshot_preview1#fd_close",)
    assert obstacle_to_repetition(guest, host, Wasi()) is None
    host.register("wasi_snapshot_preview1#fd_close", lambda handle: 0, repeatable=True)
    assert obstacle_to_repetition(guest, host, None) is None


def test_an_import_that_is_repeatable_is_called(engine):
    calls = []
    host = HostFunctions()
    host.register("env#log", repeatable=True)(calls.append)
    assert RepeatableGuest(engine.load(LOGGING), limits=LIMITS, host=host).run("f").error is None
    assert calls == [1]


def test_the_promise_belongs_to_the_registration(engine):
    host = HostFunctions()
    host.register("env#log", lambda _: None, repeatable=True)
    assert host.is_repeatable("env", "log")
    other = HostFunctions()
    other.register("env#log", lambda _: None)
    assert not host.merged(other).is_repeatable("env", "log")
    assert other.merged(host).is_repeatable("env", "log")
    host.register("env#log", lambda _: None)
    assert not host.is_repeatable("env", "log")


def test_a_resource_may_be_repeatable_with_its_methods():
    class Counter:
        def add(self):
            return 1

    host = HostFunctions()
    host.register_resource("demo:a/b@1.0.0#counter", Counter, repeatable=True)
    for name in ("counter", "[constructor]counter", "[method]counter.add"):
        assert host.is_repeatable("demo:a/b@1.0.0", name), name
    assert not host.is_repeatable("demo:a/b@1.0.0", "[method]counter.subtract")
    assert not host.is_repeatable("demo:a/b@1.0.0", "other")


def test_wasi_without_grants_is_harmless(engine):
    assert RepeatableGuest(engine.load(WRITING), limits=LIMITS).run("f").error is None


@pytest.mark.parametrize("access", ["ro", "rw"])
def test_a_folder_may_be_granted_for_reading_only(engine, tmp_path, access):
    wasi = Wasi(preopen={"/": (tmp_path, access)})
    if access == "ro":
        assert RepeatableGuest(engine.load(WRITING), limits=LIMITS, wasi=wasi).run("f").error is None
    else:
        with pytest.raises(analysis.CannotRepeat, match=r"wasi_snapshot_preview1#fd_close, and wasi\.preopen grants"):
            RepeatableGuest(engine.load(WRITING), limits=LIMITS, wasi=wasi)


def test_the_streams_of_the_process_are_not_used_again_and_again(engine):
    with pytest.raises(analysis.CannotRepeat, match=r"wasi\.inherit"):
        RepeatableGuest(engine.load(WRITING), limits=LIMITS, wasi=Wasi(inherit=True))


def test_how_a_run_ends_is_data(engine):
    guest = RepeatableGuest(engine.load('(module (func (export "f") unreachable))'), limits=LIMITS)
    done = guest.run("f")
    assert (str(done.verdict), done.error.kind, done.value) == ("trap", "unreachable", None)
    assert done.ending == guest.run("f").ending
    with pytest.raises(WasmError) as caught:
        guest.first("f")
    assert caught.value.call.text == "f()"


def test_an_error_before_the_run_is_raised(engine):
    with pytest.raises(LinkError):
        RepeatableGuest(engine.load(COUNTING), limits=LIMITS).run("g")


def test_the_limits_hold_for_each_run(engine):
    guest = RepeatableGuest(engine.load('(module (func (export "f") (loop br 0)))'), limits=LIMITS)
    with pytest.raises(ExecutionTimeout):
        raise guest.run("f", limits=guest.under(fuel=None, timeout_ms=5)).error
    assert str(guest.run("f").verdict) == "out-of-fuel"


@pytest.mark.parametrize("name", ["CannotRepeat", "NoLaw", "cost_law"])
def test_public_names_say_where_they_are(name):
    assert name in dir(analysis)
    found = getattr(analysis, name)
    assert not isinstance(found, type) or found.__module__ == "pytest_airssys_wasm.analysis"
