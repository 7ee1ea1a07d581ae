"""Guests on fibres of one thread against a thread for each guest: `python benchmarks/fibres.py`.

Fibres are wasmtime's C async calls, polled from asyncio: a prototype that is no part of the package, for core figures
only. It has no memory account, no usage, no WASI, no output, and gives up on nobody. docs/decisions/guest-threads.md says what was decided
with these figures. Each way runs in a process of its own, three times in turn; the median is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from ctypes import byref, c_void_p
from typing import Any

import wasmtime
from wasmtime import _bindings as ffi
from wasmtime import component as wc

from pytest_airssys_wasm.conformance.measure import resident_mib
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.compile.wasmtime_config import new_config
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.host.functions import HostFunctions

GUEST = """(component
  (import "pause" (func $pause (param "ms" u32)))
  (core func $pause' (canon lower (func $pause)))
  (core module $m
    (import "host" "pause" (func $pause (param i32)))
    (memory 1)
    (func (export "noop"))
    (func (export "spin") (loop br 0))
    (func (export "pauses") (local $times i32) (loop $n
      (call $pause (i32.const 5))
      (br_if $n (i32.lt_u (local.tee $times (i32.add (local.get $times) (i32.const 1))) (i32.const 10))))))
  (core instance $i (instantiate $m (with "host" (instance (export "pause" (func $pause'))))))
  (func (export "noop") (canon lift (core func $i "noop")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "pauses") (canon lift (core func $i "pauses"))))"""
CONCURRENT = 1_000
FAILURE = ctypes.POINTER(ffi.wasmtime_error_t)

Execute = Callable[..., Coroutine[Any, Any, None]]


class Fibres:
    """Executions on fibres. A guest that yields is polled again when the loop has served the others."""

    def __init__(self) -> None:
        self._engine = wasmtime.Engine(new_config())
        self._component = wc.Component(self._engine, GUEST)
        self._linker = wc.Linker(self._engine)
        self._waiting: asyncio.Future[None] | None = None
        """The host call of the guest that is polled at present."""
        self._pending: dict[int, asyncio.Future[None]] = {}
        # Callbacks are kept alive by these attributes.
        self._call = ffi.wasmtime_component_func_async_callback_t(self._begin_pause)
        self._poll = ffi.wasmtime_func_async_continuation_callback_t(self._is_over)
        self._no_end = ctypes.CFUNCTYPE(None, c_void_p)()
        with self._linker.root() as root:
            ffi.wasmtime_component_linker_instance_add_func_async(
                root.ptr(), ctypes.create_string_buffer(b"pause"), 5, self._call, None, self._no_end
            )
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while True:
            time.sleep(0.001)
            self._engine.increment_epoch()

    def _begin_pause(self, _env, _context, _type, args, _nargs, _results, _nresults, _error, continuation) -> None:
        ms = args[0].of.u32
        self._waiting = asyncio.ensure_future(asyncio.sleep(ms / 1_000))
        self._pending[id(self._waiting)] = self._waiting
        continuation[0].callback = self._poll
        continuation[0].env = id(self._waiting)
        continuation[0].finalizer = self._no_end

    def _is_over(self, env: int) -> bool:
        if not self._pending[env].done():
            return False
        del self._pending[env]
        return True

    async def execute(self, function: str, timeout_s: float = 60.0) -> None:
        """Instantiate and call. Raises `TimeoutError` at the deadline."""
        until = time.monotonic() + timeout_s
        store = wasmtime.Store(self._engine)
        store.set_limits(2**20, 20_000, 64, 16, 16)
        store.set_fuel(10**15)
        context = store._context()
        ffi.wasmtime_context_epoch_deadline_async_yield_and_update(context, 1)
        error = FAILURE()
        instance = ffi.wasmtime_component_instance_t()
        await self._end(
            ffi.wasmtime_component_linker_instantiate_async(
                self._linker.ptr(), context, self._component.ptr(), byref(instance), byref(error)
            ),
            error,
            until,
        )
        index = self._component.get_export_index(function)
        func = ffi.wasmtime_component_func_t()
        assert index is not None
        ffi.wasmtime_component_instance_get_func(byref(instance), context, index.ptr(), byref(func))
        await self._end(
            ffi.wasmtime_component_func_call_async(byref(func), context, None, 0, None, 0, byref(error)), error, until
        )
        store.close()

    async def _end(self, future: Any, error: Any, until: float) -> None:
        try:
            while True:
                self._waiting = None
                over = ffi.wasmtime_call_future_poll(future)
                waiting = self._waiting
                if over:
                    break
                if time.monotonic() >= until:
                    raise TimeoutError
                if waiting is None:
                    await asyncio.sleep(0)
                else:
                    await asyncio.wait([waiting], timeout=until - time.monotonic())
        finally:
            ffi.wasmtime_call_future_delete(future)
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)


class Threads:
    """The same through the package."""

    def __init__(self) -> None:
        self._engine = WasmEngine()
        self._guest = self._engine.load(GUEST)
        self._host = HostFunctions()
        self._host.register("pause", lambda ms: asyncio.sleep(ms / 1_000))

    async def execute(self, function: str, timeout_s: float = 60.0) -> None:
        """Instantiate and call. Raises `TimeoutError` at the deadline."""
        limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=timeout_s * 1_000)
        try:
            await self._engine.execute_async(self._guest, function, limits=limits, host=self._host)
        except WasmError as error:
            raise TimeoutError from error


async def measured(execute: Execute) -> dict[str, float]:
    """Return the figures of one way."""
    await execute("pauses")
    before = resident_mib([os.getpid()])
    began = time.perf_counter()
    waiting = [asyncio.create_task(execute("pauses")) for _ in range(CONCURRENT)]
    most = before
    while not all(task.done() for task in waiting):
        await asyncio.wait(waiting, timeout=0.1)
        most = max(most, resident_mib([os.getpid()]))
    together_s = time.perf_counter() - began
    await asyncio.gather(*waiting)

    async def noops(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            await execute("noop")
        return (time.perf_counter() - began) / times

    await noops(100)
    return {
        "1,000 guests, each waits 10 times 5 ms, s": together_s,
        "memory of one of them, KiB": (most - before) * 1_024 / CONCURRENT,
        "one no-op execution, \u00b5s": await noops(2_000) * 1e6,
        "a 1 ms heartbeat beside an endless guest, ms late at most": await heartbeat(execute) * 1_000,
    }


async def heartbeat(execute: Execute) -> float:
    """Return the longest delay, in seconds, of a task that sleeps a millisecond at a time beside endless guests."""
    late = [0.0]

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - began - 0.001)

    beating = asyncio.create_task(beat())
    for _ in range(10):
        with contextlib.suppress(TimeoutError):
            await execute("spin", 0.1)
    beating.cancel()
    return max(late)


WAYS = {"fibres": Fibres, "threads": Threads}


def main() -> None:
    """Print the table, or the figures of one way as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(measured(WAYS[sys.argv[1]]().execute))))
        return
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(3):
        for way, seen in runs.items():
            done = subprocess.run([sys.executable, __file__, way], capture_output=True, text=True, check=True)
            seen.append(json.loads(done.stdout))
    print(f"{'':60} {'fibres':>10} {'threads':>10}")
    for name in runs["fibres"][0]:
        middle = [statistics.median(run[name] for run in seen) for seen in runs.values()]
        print(f"{name:60} {middle[0]:10.2f} {middle[1]:10.2f}")


if __name__ == "__main__":
    main()
