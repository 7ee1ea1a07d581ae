"""A guest that spins until something ends it, and scripts that run it in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

from pytest_airssys_wasm import ResourceLimits

SPIN = """(module (memory 1)
    (func (export "spin") (loop $again (br $again)))
    (func (export "nop"))
    (func (export "swap") (param i32) (result i32)
        (i32.load (i32.const 0)) (i32.store (i32.const 0) (local.get 0))))"""
LONG_MS = 20_000
"""A timeout that is reached only if nothing else ends the guest."""


def limits(timeout_ms, memory="64 MiB", fuel=None):
    return ResourceLimits(memory=memory, fuel=fuel, timeout_ms=timeout_ms)


def script(text, *, first="", **environment):
    """Run a script with an engine in a process of its own; `first` comes before all imports."""
    head = f"""
{first}
import asyncio, os, signal, subprocess, sys, threading, time
from pytest_airssys_wasm import LimitedStore, ResourceLimits, WasmEngine
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout
SPIN = '''{SPIN}'''
engine = WasmEngine()
def limits(timeout_ms):
    return ResourceLimits(memory="64 MiB", fuel=None, timeout_ms=timeout_ms)
LONG_MS = {LONG_MS}
def interrupt_soon(times):
    def interrupt():
        for _ in range(times):
            time.sleep(0.1)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    threading.Thread(target=interrupt).start()
"""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", head + dedent(text)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
