"""Nothing is left behind, whatever the ending: memory, descriptors, threads."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from time import monotonic, sleep

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

GUEST = r"""(module
  (import "env" "host" (func $host))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 4) (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
  (func $say (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func (export "ok") call $say)
  (func (export "trap") unreachable)
  (func (export "spin") (loop br 0))
  (func (export "flood") (loop call $say br 0))
  (func (export "leave") i32.const 3 call $exit)
  (func (export "fail") call $host)
  (func (export "hoard") i32.const 999 memory.grow i32.const -1 i32.eq (if (then unreachable))))"""
ENDINGS = ("ok", "trap", "spin", "flood", "leave", "fail", "hoard", "no-such-export")


def resident_mib():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


@pytest.mark.slow
def test_three_thousand_executions_leave_nothing_behind(engine):
    host = HostFunctions()

    @host.register("env#host")
    def fail():
        raise ValueError("no")

    guest = engine.load(GUEST)
    limits = ResourceLimits(memory="1 MiB", fuel=20_000, timeout_ms=20_000, output=600)
    verdicts = set()

    def executions(count):
        for number in range(count):
            try:
                engine.execute(guest, ENDINGS[number % len(ENDINGS)], limits=limits, host=host, wasi=Wasi())
                verdicts.add("ok")
            except WasmError as error:
                verdicts.add(str(error.verdict))

    executions(500)
    # Of the threads, up to eight idle ones are kept; how many of them there are depends on the machine.
    before = resident_mib(), len(os.listdir("/proc/self/fd")), threading.active_count() + 8, engine.live_memories
    executions(3_000)
    until = monotonic() + 20
    while True:  # the last guest thread may be about to end still
        after = resident_mib(), len(os.listdir("/proc/self/fd")), threading.active_count(), engine.live_memories
        if all(now <= then for now, then in zip(after[1:], before[1:])) or monotonic() > until:
            break
        sleep(0.05)
    assert verdicts >= {"ok", "trap", "out-of-fuel", "resource-limit", "exit", "host-error", "out-of-memory"}
    assert after[0] - before[0] < 9  # MiB, 3 KiB each
    # "At most": stores that earlier tests had to give up on may be released meanwhile.
    assert all(now <= then for now, then in zip(after[1:], before[1:]))
