"""Guests that were given up, and what they hold until they return."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from pytest_airssys_wasm import (
    ExecutionTimeout,
    HostFunctions,
    LimitedStore,
    ResourceLimitExceeded,
    ResourceLimits,
    Wasi,
    WasmEngine,
)
from pytest_airssys_wasm.runtime.capi import heap
from pytest_airssys_wasm.runtime.execution import abandoned_guests
from pytest_airssys_wasm.runtime.execution.open_files import free_descriptors, used_descriptors
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=5, fuel=10**8)
BLOCKED = '(module (import "host" "block" (func $block)) (func (export "f") call $block))'
HARMLESS = '(module (func (export "g")))'
ASLEEP = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "f") (i64.store offset=24 (i32.const 0) (i64.const 300_000_000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"""
LISTS = """(component (core module $m (memory (export "mem") 16)
    (func (export "f") (result i32) (local $i i32)
      (loop $next
        (i32.store offset=65540 (i32.shl (local.get $i) (i32.const 3)) (i32.const 32))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 65536))))
      (i64.store (i32.const 8) (i64.const 0x1000000010000))
      (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "f") (result (list (list u8))) (canon lift (core func $i "f") (memory (core memory $i "mem")))))"""


class Blocking:
    """A host function that blocks its guests until the block ends, and an engine on which they are given up."""

    def __init__(self, engine: WasmEngine) -> None:
        self.engine = engine
        self.host = HostFunctions()
        self.host.register("host#block", lambda: self.until.wait(30))
        self.until = threading.Event()
        self.guest = engine.load(BLOCKED)
        self.harmless = engine.load(HARMLESS)

    def give_up(self, number: int) -> None:
        wanted = len(self.engine.abandoned_guests) + number
        while len(self.engine.abandoned_guests) < wanted:  # a guest that was stopped before it was blocked returns
            with pytest.raises(ExecutionTimeout):
                self.engine.execute(self.guest, "f", limits=LIMITS, host=self.host)

    def run_harmless(self):
        return self.engine.execute(self.harmless, "g", limits=ResourceLimits(memory=0, timeout_ms=10_000))

    def wait_for_return(self) -> None:
        self.until.set()
        wait_until_none_is_left(self.engine)


def wait_until_none_is_left(engine: WasmEngine) -> None:
    for _ in range(1_000):
        if not len(engine.abandoned_guests):
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{len(engine.abandoned_guests)} guests have not returned")


@pytest.fixture
def blocking():
    blocking = Blocking(WasmEngine())
    yield blocking
    blocking.wait_for_return()


def test_an_engine_with_too_many_abandoned_guests_refuses_others_and_names_them(blocking, monkeypatch):
    monkeypatch.setattr(abandoned_guests, "MOST_GUESTS", 3)
    open_store = LimitedStore(blocking.engine, ResourceLimits(memory=0, timeout_ms=10_000))
    blocking.give_up(2)
    blocking.run_harmless()
    blocking.give_up(1)
    with pytest.raises(ResourceLimitExceeded, match=r"3 abandoned guests .* f of <text> \(3 times\)") as caught:
        blocking.run_harmless()
    assert caught.value.resource == "abandoned-guests"
    with open_store, pytest.raises(ResourceLimitExceeded, match="3 abandoned guests"):
        open_store.instantiate(blocking.harmless)


def test_it_serves_others_again_when_they_have_returned(blocking, monkeypatch):
    monkeypatch.setattr(abandoned_guests, "MOST_GUESTS", 1)
    blocking.give_up(1)
    with pytest.raises(ResourceLimitExceeded, match="1 abandoned guest has not returned"):
        blocking.run_harmless()
    blocking.wait_for_return()
    blocking.run_harmless()


def test_awaited_executions_are_refused_too(blocking, monkeypatch):
    monkeypatch.setattr(abandoned_guests, "MOST_GUESTS", 1)
    execute = blocking.engine.execute_async

    async def run() -> None:
        with pytest.raises(ExecutionTimeout):
            await execute(blocking.guest, "f", limits=LIMITS, host=blocking.host)
        with pytest.raises(ResourceLimitExceeded, match="1 abandoned guest"):
            await execute(blocking.harmless, "g", limits=ResourceLimits(memory=0, timeout_ms=10_000))

    asyncio.run(run())


def test_other_engines_are_not_concerned(blocking, monkeypatch):
    monkeypatch.setattr(abandoned_guests, "MOST_GUESTS", 1)
    blocking.give_up(1)
    other = WasmEngine()
    other.execute(other.load(HARMLESS), "g", limits=ResourceLimits(memory=0, timeout_ms=10_000))


def test_their_memories_count_together(monkeypatch):
    monkeypatch.setattr(abandoned_guests, "MOST_BYTES", 200_000)
    engine = WasmEngine()
    guest = engine.load(ASLEEP)
    while len(engine.abandoned_guests) < 2:
        with pytest.raises(ExecutionTimeout):
            engine.execute(guest, "f", limits=LIMITS, wasi=Wasi())
    with pytest.raises(ResourceLimitExceeded, match="of memory") as caught:
        engine.execute(guest, "f", limits=LIMITS, wasi=Wasi())
    assert caught.value.resource == "abandoned-guests"
    wait_until_none_is_left(engine)


@pytest.mark.slow
def test_a_result_that_is_still_converted_counts_as_much_as_it_may_take(monkeypatch):
    monkeypatch.setattr(abandoned_guests, "MOST_BYTES", abandoned_guests.CONVERSION_BYTES)
    monkeypatch.setattr(WitComponent, "lifted", lambda *_: None)  # wasmtime converts the list, which nothing ends
    given_back = []
    monkeypatch.setattr(abandoned_guests, "give_back_memory", lambda: given_back.append(True))
    engine = WasmEngine()
    guest = engine.load(LISTS)
    refused = None
    for _ in range(30):
        try:
            engine.execute(guest, "f", limits=ResourceLimits(memory="1 MiB", timeout_ms=20, fuel=10**8))
        except ResourceLimitExceeded as error:
            refused = error
            break
        except ExecutionTimeout:
            pass
    assert refused is not None
    assert refused.resource == "abandoned-guests"
    wait_until_none_is_left(engine)
    assert given_back


def test_guests_with_folders_leave_descriptors_to_the_process(blocking, monkeypatch, tmp_path):
    monkeypatch.setattr(abandoned_guests, "free_descriptors", lambda _used: 1)
    blocking.give_up(1)
    blocking.run_harmless()  # it has no folders, and cannot be to blame
    limits = {"limits": LIMITS, "host": blocking.host}
    with pytest.raises(ExecutionTimeout):
        blocking.engine.execute(blocking.guest, "f", wasi=Wasi(preopen={"/x": (tmp_path, "ro")}), **limits)
    with pytest.raises(ResourceLimitExceeded, match="file descriptors") as caught:
        blocking.run_harmless()
    assert caught.value.resource == "abandoned-guests"


def test_free_descriptors_are_counted():
    before = free_descriptors(used_descriptors())
    reader, writer = os.pipe()
    assert free_descriptors(used_descriptors()) == before - 2
    os.close(reader)
    os.close(writer)


def test_memory_is_given_back_where_the_c_library_can(monkeypatch):
    heap.give_back_memory()
    monkeypatch.setattr(heap, "_TRIM", None)
    heap.give_back_memory()
