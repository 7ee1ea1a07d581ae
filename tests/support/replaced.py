"""Runs guests under limits where another tool has replaced clocks, threads or files. A program: tool, when, mode."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import ExitStack
from unittest import mock

WAT = """(module
  (import "host" "wait" (func $wait))
  (import "host" "wait-async" (func $wait-async))
  (func (export "spin") (loop br 0))
  (func (export "block") call $wait)
  (func (export "suspend") call $wait-async)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"""
TIMEOUT_MS = 100
"""The limit of every execution."""
ENDLESS_S = 20.0
"""The time after which a host function returns, though nobody waits for it any more."""
CALLS = ("spin", "block", "spin awaited", "suspend", "add", "suspend awaited", "add awaited", "block awaited")
"""The calls in an order in which few processes of guests are started, one of them for a call and one for an awaited one.

A process whose guest is blocked is ended.
"""


class real:
    """The functions as they are, in a class, where freezegun does not look for them."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


def freeze():
    from freezegun import freeze_time

    return freeze_time("2020-01-01")


def mock_time():
    stack = ExitStack()
    for name in ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns"):
        stack.enter_context(mock.patch(f"time.{name}", return_value=-1_000_000))
    stack.enter_context(mock.patch("time.sleep"))
    return stack


def replace_time():
    for name in ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns"):
        setattr(time, name, lambda: 5)
    time.sleep = lambda _: None
    return ExitStack()


def travel():
    import time_machine

    return time_machine.travel(0, tick=False)


def mock_system():
    stack = ExitStack()
    for name in ("os.close", "os.open", "os.read", "os.write", "os.pipe", "os.listdir", "os.stat", "subprocess.Popen"):
        stack.enter_context(mock.patch(name, side_effect=OSError(5, "mocked")))
    stack.enter_context(mock.patch("threading.Thread"))
    stack.enter_context(mock.patch("os.getpid", return_value=1))
    return stack


def fake_files():
    from pyfakefs.fake_filesystem_unittest import Patcher

    return Patcher()


def patch_threads():
    import gevent
    from gevent import monkey

    monkey.patch_all()
    gevent.spawn(int).get()  # from now on, its loop closes descriptors, when it runs
    return ExitStack()  # there is no way back


TOOLS = {
    "freezegun": freeze,
    "mock": mock_time,
    "replaced time": replace_time,
    "time-machine": travel,
    "mocked system": mock_system,
    "pyfakefs": fake_files,
    "gevent": patch_threads,
}


def main(tool, when, mode):
    """Print how each call ended, how long it took by its own account and by the clock of this program."""
    with ExitStack() as stack:
        if when == "import":
            stack.enter_context(TOOLS[tool]())
        import pytest_airssys_wasm as wasm

        print(wasm.WasmEngine.__name__)  # imports it

        if when == "engine":
            stack.enter_context(TOOLS[tool]())
        host = wasm.HostFunctions()
        host.register("host#wait", lambda: real.sleep(ENDLESS_S))

        @host.register("host#wait-async")
        async def wait():
            await asyncio.Event().wait()

        isolation = wasm.ProcessIsolation(grace_ms=200) if mode == "process" else None
        with wasm.WasmEngine(isolation=isolation) as engine:
            guest = engine.load(WAT)
            limits = wasm.ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=TIMEOUT_MS)
            for call in CALLS:
                with ExitStack() as during:
                    if when == "call":
                        during.enter_context(TOOLS[tool]())
                    print(json.dumps(ended(wasm, engine, guest, host, limits, call)), flush=True)


def ended(wasm, engine, guest, host, limits, call):
    name, _, way = call.partition(" ")
    args = (1, 2) if name == "add" else ()
    started = real.monotonic()
    with wasm.LimitedStore(engine, limits, host=host) as store:
        try:
            done = asyncio.run(store.execute_async(guest, name, *args)) if way else store.execute(guest, name, *args)
            verdict, usage = "ok", done.usage
        except wasm.WasmError as error:
            verdict, usage = str(error.verdict), error.usage
    return {"call": call, "verdict": verdict, "wall_ms": usage.wall_ms, "took_s": real.monotonic() - started}


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    import os

    os._exit(0)  # not waiting for host functions that are still asleep
