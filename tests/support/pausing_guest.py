"""A guest that calls the host, a host that pauses on the event loop, and a heartbeat that tells whether the loop goes on."""

from __future__ import annotations

import asyncio
import time

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.host.functions import HostFunctions

PLENTY = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=60_000)
GUEST = """(component
  (import "pause" (func $pause (param "ms" u32) (result u32)))
  (core func $lowered (canon lower (func $pause)))
  (core module $m
    (import "host" "pause" (func $pause (param i32) (result i32)))
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "spin") (loop br 0))
    (func (export "pauses") (param $times i32) (param $ms i32) (result i32)
      (local $sum i32)
      (loop
        (local.set $sum (i32.add (local.get $sum) (call $pause (local.get $ms))))
        (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
      local.get $sum))
  (core instance $i (instantiate $m (with "host" (instance (export "pause" (func $lowered))))))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "pauses") (param "times" u32) (param "ms" u32) (result u32) (canon lift (core func $i "pauses"))))"""


class Pauses:
    """A host with the import `pause` as a coroutine, and what became of its calls."""

    def __init__(self):
        self.begun = self.ended = self.cancelled = 0
        self.functions = HostFunctions()
        self.functions.register("pause", self.pause)

    async def pause(self, ms):
        self.begun += 1
        try:
            await asyncio.sleep(ms / 1_000)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1
        return 1

    async def until_cancelled(self):
        """Check that a call was cancelled, given the time that a busy machine takes."""
        until = time.monotonic() + 20
        while not self.cancelled:
            assert time.monotonic() < until
            await asyncio.sleep(0.001)


def all_guests_ended(engine):
    """Whether they do, given the time that a busy machine takes."""
    until = time.monotonic() + 20
    while (engine.runs or engine.live_memories) and time.monotonic() < until:
        time.sleep(0.01)
    return not engine.runs and not engine.live_memories


async def heartbeat(beats):
    while True:
        beats.append(time.monotonic())
        await asyncio.sleep(0.001)


async def with_heartbeat(awaitable):
    """Return the result or the error of the awaitable, and the number of times that another task ran meanwhile."""
    beats = []
    beating = asyncio.create_task(heartbeat(beats))
    await asyncio.sleep(0)
    try:
        return await asyncio.gather(awaitable, return_exceptions=True), beats
    finally:
        beating.cancel()
