"""A host function whose coroutine was ended at the deadline has time to return: its guest is not abandoned."""

from __future__ import annotations

import asyncio
import time

import pytest

from pytest_airssys_wasm import ExecutionTimeout, HostFunctions, LimitedStore, ResourceLimits
from pytest_airssys_wasm.runtime.execution.awaiting.host_coroutines import HostCoroutine

GUEST = """(module
  (import "env" "wait" (func $wait))
  (memory (export "memory") 1)
  (func (export "run") (call $wait))
  (func (export "one") (result i32) (i32.const 1)))"""
SLOW_S = 0.03
"""More than a guest that cannot be interrupted gets, and what a machine needs that has other things to do."""


@pytest.fixture
def slow_returns(monkeypatch):
    """Make each end of a host coroutine take its time, as on a machine that has not run this code for a while."""
    result = HostCoroutine.result

    def slowly(self):
        try:
            return result(self)
        finally:
            time.sleep(SLOW_S)

    monkeypatch.setattr(HostCoroutine, "result", slowly)


async def wait():
    await asyncio.sleep(60)


@pytest.mark.usefixtures("slow_returns")
def test_the_store_of_a_guest_whose_host_function_returns_late_can_be_used(engine):
    host = HostFunctions()
    host.register("env#wait", wait)

    async def use():
        with LimitedStore(engine, ResourceLimits(memory=2**20, timeout_ms=100), host=host) as store:
            instance = store.instantiate(engine.load(GUEST))
            with pytest.raises(ExecutionTimeout):
                await instance.call_async("run")
            return store.is_usable and instance.call("one")

    assert asyncio.run(use()) == 1
