"""Engines, stores and guests in a process that was forked from the one that made them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = r"""
import asyncio, json, os, signal, sys, threading, warnings
from pytest_airssys_wasm import (CompileCache, HostFunctions, LimitedStore, ProcessIsolation, ResourceLimits, Wasi, WasmEngine,
    WasmError)

warnings.simplefilter("ignore", DeprecationWarning)  # about forks of processes with threads, which this is about
GUEST = '(module (memory 1) (func (export "f") (result i32) i32.const 42) (func (export "spin") (loop br 0)))'
OTHER = '(module (func (export "f") (result i32) i32.const 43))'
CALLS = '(module (import "host" "n" (func $n (result i32))) (func (export "f") (result i32) call $n))'
LIMITS = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=10_000)
WASI = Wasi(stdin="x", preopen={"/": ("/", "ro")})
mode, folder = sys.argv[1:]

def new(cache=None):
    return WasmEngine(cache, isolation=ProcessIsolation() if mode == "process" else None)

def told(work):
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def forked(work):
    # The result of work in a fork of this process, which is killed if it hangs.
    reader, writer = os.pipe()
    if not os.fork():
        signal.alarm(30)
        os.write(writer, json.dumps(told(work)).encode())
        os._exit(0)
    os.close(writer)
    try:
        return json.loads(os.read(reader, 10_000) or '"hung"')
    finally:
        os.close(reader)
        os.wait()

def f(engine, guest, wasi=None):
    return engine.execute(guest, "f", limits=LIMITS, wasi=wasi).value

def spun(engine, guest):
    try:
        engine.execute(guest, "spin", limits=ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50))
    except WasmError as error:
        return str(error.verdict)

def anew(text, cache=None):
    with new(cache) as engine:
        return f(engine, engine.load(text))

cache = CompileCache(folder)
before = forked(lambda: anew(GUEST))
engine = new(cache)
guest = engine.load(GUEST)
store = LimitedStore(engine, LIMITS)
instance = store.instantiate(guest)
results = {"before": before, "called": f(engine, guest)}
host = HostFunctions()
host.register("host#n", lambda: 44)
calling = engine.load(CALLS)
def called():  # on a guest thread, which is kept
    return engine.execute(calling, "f", limits=LIMITS, host=host).value
results["host function"] = [called(), forked(called), called()]
busy = threading.Thread(target=lambda: told(lambda: engine.execute(guest, "spin", limits=ResourceLimits(
    memory="1 MiB", fuel=None, timeout_ms=1_500))))
busy.start()
results["same engine"] = forked(lambda: [f(engine, guest) for _ in range(3)])
busy.join()
results["awaited"] = forked(lambda: asyncio.run(engine.execute_async(guest, "f", limits=LIMITS)).value)
results["stopped"] = forked(lambda: spun(engine, guest))
async def stopped():
    await engine.execute_async(guest, "spin", limits=ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50))
results["stopped while awaited"] = forked(lambda: asyncio.run(stopped()))
results["compiled"] = forked(lambda: f(engine, engine.load(OTHER)))
results["cached"] = forked(lambda: anew(GUEST, cache))
results["same store"] = forked(instance.f)
results["closed"] = forked(lambda: store.close())
results["first with WASI"] = forked(lambda: f(engine, guest, WASI))
with LimitedStore(engine, LIMITS, wasi=WASI) as wasi_store:
    wasi_instance = wasi_store.instantiate(guest)
    results["WASI"] = forked(lambda: f(engine, guest, WASI))
    results["same store with WASI"] = forked(wasi_instance.f)
    results["parent with WASI"] = wasi_instance.f()
results["grandchild"] = forked(lambda: forked(lambda: f(engine, guest)))
results["parent"] = [f(engine, guest), instance.f(), f(engine, engine.load(OTHER))]
print(json.dumps(results))
"""


def ran(mode, folder):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode, str(folder)], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


WORKS = {
    "before": 42,
    "called": 42,
    "host function": [44, 44, 44],
    "same engine": [42, 42, 42],
    "awaited": 42,
    "stopped": "timeout",
    "cached": 42,
    "closed": None,
    "first with WASI": 42,
    "parent with WASI": 42,
    "grandchild": 42,
    "parent": [42, 42, 43],
}


@pytest.mark.slow
def test_a_forked_process_runs_guests_on_threads_or_is_told_why_it_cannot(tmp_path):
    results = ran("thread", tmp_path)
    assert {key: results[key] for key in WORKS} == WORKS
    assert results["same store"] == 42
    assert results["stopped while awaited"].startswith("ExecutionTimeout: ")
    assert results["compiled"].startswith("UnfitHost: compiling guests in a forked process: expected threads")
    for key in ("WASI", "same store with WASI"):
        assert results[key].startswith("UnfitHost: guests with WASI in a forked process: expected threads")


@pytest.mark.slow
def test_a_forked_process_runs_guests_in_processes_of_its_own(tmp_path):
    results = ran("process", tmp_path)
    assert {key: results[key] for key in WORKS} == WORKS
    assert results["stopped while awaited"].startswith("ExecutionTimeout: ")
    assert results["compiled"] == 43
    assert results["WASI"] == 42
    for key in ("same store", "same store with WASI"):
        assert "belongs to the process that this one was forked from" in results[key]
