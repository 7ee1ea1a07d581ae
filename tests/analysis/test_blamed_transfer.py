"""Blame of the limit on the bytes that a call transfers, also of arguments that exceed it before any guest code runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pytest_airssys_wasm import HostFunctions, LimitedStore, ResourceLimits, Verdict, WasmError, analysis
from support.checkout import ROOT

LIMITS = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000, transfer=1_000)


def test_the_transfer_limit_is_blamed(engine):
    guest = engine.load(ROOT / "fixtures/guests/text-transform/text-transform.wasm")
    limits = replace(LIMITS, fuel=None)
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "transform", "x" * 800, limits=limits)
    blame = analysis.blame(caught.value)
    assert blame.limit == "transfer"
    engine.execute(guest, "transform", "x" * 800, limits=replace(limits, transfer=blame.needed))
    with pytest.raises(WasmError):
        engine.execute(guest, "transform", "x" * 800, limits=replace(limits, transfer=blame.needed - 1))


async def _execute_async(engine, guest, *call):
    async with LimitedStore(engine, LIMITS) as store:
        await store.execute_async(guest, *call)


def _call_in_a_store(engine, guest, *call):
    with LimitedStore(engine, LIMITS) as store:
        store.instantiate(guest).call(*call)


@pytest.mark.parametrize(
    "make",
    [
        lambda *call: call[0].execute(*call[1:], limits=LIMITS),
        _call_in_a_store,
        lambda *call: asyncio.run(_execute_async(*call)),
    ],
    ids=["execute", "call", "execute_async"],
)
def test_the_transfer_limit_is_blamed_for_arguments_that_exceed_it_alone(engine, make):
    guest = engine.load(ROOT / "fixtures/guests/text-transform/text-transform.wasm")
    with pytest.raises(WasmError) as caught:
        make(engine, guest, "transform", "x" * 2_000)
    assert caught.value.usage is None
    blame = analysis.blame(caught.value)
    assert (blame.limit, blame.given, blame.verdict) == ("transfer", 1_000, Verdict.OUT_OF_FUEL)
    limits = replace(LIMITS, fuel=None)
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "transform", "x" * 2_000, limits=limits)
    needed = analysis.blame(caught.value).needed
    engine.execute(guest, "transform", "x" * 2_000, limits=replace(limits, transfer=needed))
    with pytest.raises(WasmError):
        engine.execute(guest, "transform", "x" * 2_000, limits=replace(limits, transfer=needed - 1))


def test_arguments_that_were_refused_are_given_to_a_guest_until_it_calls_the_host(engine):
    guest = engine.load(
        """(component
          (import "log" (func $log))
          (core module $m (import "env" "log" (func $log)) (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 16))
            (func (export "f") (param i32 i32) (call $log)))
          (core func $log_lowered (canon lower (func $log)))
          (core instance $i (instantiate $m (with "env" (instance (export "log" (func $log_lowered))))))
          (func (export "f") (param "text" string)
            (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"""
    )
    host = HostFunctions()
    host.register("log", lambda: None)
    with pytest.raises(WasmError) as caught:
        engine.execute(guest, "f", "x" * 2_000, limits=LIMITS, host=host)
    blame = analysis.blame(caught.value)
    assert (blame.limit, blame.first_host_call, blame.needed) == ("transfer", "log", None)
    assert blame.used_until_then > 2_000
