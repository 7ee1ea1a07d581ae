"""The knowledge of a host function about the execution that calls it, and of the host before anything runs."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout, LinkError, OutOfFuel
from pytest_airssys_wasm.runtime.execution.host_call_context import current_execution
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from support.asking_guest import LIMITS


def test_a_host_function_sees_what_is_left(engine):
    guest = engine.load('(module (import "env" "f" (func $f)) (func (export "g") call $f))')
    seen = []
    host = HostFunctions()
    host.register("env#f", lambda: seen.append((current_execution().remaining_fuel, current_execution().remaining_ms)))
    engine.execute(guest, "g", limits=LIMITS, host=host)
    engine.execute(guest, "g", limits=ResourceLimits(memory=0, fuel=None, timeout_ms=None), host=host)
    (fuel, ms), unlimited = seen
    assert 9_999_000 < fuel < 10_000_000
    assert 0 < ms < 20_000
    assert unlimited == (None, None)
    with pytest.raises(LookupError, match="can be called only in a host function"):
        current_execution()


def test_a_function_that_takes_other_arguments_is_named_before_anything_runs(engine):
    guest = engine.load('(module (import "env" "f" (func (param i32 i32))) (func (export "g")))')
    host = HostFunctions()
    host.register("env#f", lambda only: None)
    with pytest.raises(LinkError, match=r"env#f: .* \(the registered function takes \(only\)\)"):
        engine.execute(guest, "g", limits=LIMITS, host=host)
    for fitting in (lambda *all_of_them: None, lambda a, b, c=1: None, print):
        host.register("env#f", fitting)
        engine.execute(guest, "g", limits=LIMITS, host=host)


def test_a_host_function_that_is_late_can_see_that_it_is(engine):
    guest = engine.load('(module (import "env" "f" (func $f)) (func (export "g") call $f))')
    seen, is_through = [], threading.Event()

    def late():
        execution, until = current_execution(), time.monotonic() + 20
        while not execution.is_stopped and time.monotonic() < until:
            time.sleep(0.001)
        seen.append((execution.is_stopped, execution.remaining_ms))
        is_through.set()

    host = HostFunctions()
    host.register("env#f", late)
    with pytest.raises(ExecutionTimeout):
        engine.execute(guest, "g", limits=ResourceLimits(memory=0, fuel=None, timeout_ms=20), host=host)
    assert is_through.wait(20)
    assert seen == [(True, 0.0)]


def test_a_guest_that_asks_for_ever_fills_no_record(engine):
    guest = engine.load('(module (import "env" "f" (func $f)) (func (export "g") (loop call $f br 0)))')
    host = HostFunctions()
    host.register("env#f", lambda: current_execution().deny("it"))
    with pytest.raises(OutOfFuel) as caught:
        engine.execute(guest, "g", limits=ResourceLimits(memory=0, fuel=1_000, timeout_ms=None), host=host)
    assert caught.value.usage.denied_capabilities == ("it",) * 64
