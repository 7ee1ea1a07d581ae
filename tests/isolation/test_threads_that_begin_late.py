"""Guests whose time is up before their thread begins, on a machine that is busy with others, in both modes."""

from __future__ import annotations

import asyncio

import pytest

from pytest_airssys_wasm import ExecutionTimeout, LimitedStore, ProcessIsolation, ResourceLimits, Wasi, WasmEngine
from pytest_airssys_wasm.isolation import backend
from pytest_airssys_wasm.runtime.execution.guest_threads import GuestThreads
from support.bombs import wait_for

GUEST = '(module (memory 1) (func (export "f") (result i32) i32.const 42))'


@pytest.fixture(params=["thread", pytest.param("process", marks=pytest.mark.slow)])
def engine(request):
    with WasmEngine(isolation=ProcessIsolation() if request.param == "process" else None) as engine:
        yield engine


@pytest.mark.parametrize("is_awaited", [False, True], ids=["called", "awaited"])
def test_a_guest_that_was_not_entered_in_time_is_late_and_is_not_entered_any_more(engine, monkeypatch, is_awaited):
    guest, later = engine.load(GUEST), []
    run = GuestThreads.run
    # Its guests do not run on the thread of their caller.
    store = LimitedStore(engine, ResourceLimits(memory="1 MiB", timeout_ms=0), wasi=Wasi())
    monkeypatch.setattr(backend, "_LAST_RESORT_S", 0.1)
    monkeypatch.setattr(GuestThreads, "run", lambda threads, job: later.append(job))
    with pytest.raises(ExecutionTimeout) as caught:
        asyncio.run(store.instantiate_async(guest)) if is_awaited else store.instantiate(guest)
    assert caught.value.usage.fuel.consumed == 0
    ended = []
    for job in later:
        run(engine.guest_threads, lambda job=job: ended.append(job()))
    wait_for(lambda: len(ended) == len(later) == 1)
    assert ended == [None]
    assert len(engine.abandoned_guests) == engine.live_memories == 0
    store.close()
