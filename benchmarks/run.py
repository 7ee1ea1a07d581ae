"""Costs as ratios against the same work done by hand with wasmtime-py, in one run: `python benchmarks/run.py`.
`python benchmarks/run.py layers` shows only what the CPU layers cost inside the guest, `python benchmarks/run.py isolation`
only what it costs to run guests in processes of their own.

Each pair is timed alternately, and the median of the ratios is shown: both sides see the same machine.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import wasmtime
from wasmtime import component as wc

from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.compile.cache import CompileCache
from pytest_airssys_wasm.runtime.compile.wasmtime_config import new_config
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.guest.component import Component

INVENTORY = Path(__file__).parents[1] / "fixtures" / "guests" / "inventory" / "inventory.wasm"
ECHO = "demo:inventory/echo@1.0.0"
LIMITS = ResourceLimits(memory="64 MiB", fuel=10**12, timeout_ms=60_000, transfer="64 MiB")
ADD = """(component (core module $m (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
  (core instance $i (instantiate $m))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add"))))"""


def by_hand_store(engine: wasmtime.Engine) -> wasmtime.Store:
    """Return a store with the limits that wasmtime-py offers."""
    store = wasmtime.Store(engine)
    store.set_limits(64 * 2**20, 20_000, 64, 16, 16)
    store.set_fuel(10**12)
    store.set_epoch_deadline(10**6)
    return store


def seconds(work: Callable[[], object], times: int) -> float:
    """Return the mean time of a repetition, in seconds."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def compare(name: str, ours: Callable[[], object], hand: Callable[[], object], times: int, rounds: int = 7) -> None:
    """Print the median ratio of both, and the median times."""
    pairs = [(seconds(ours, times), seconds(hand, times)) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    micros = [statistics.median(column) * 1e6 for column in zip(*pairs)]
    print(f"{name:34} {ratio:8.2f}   {micros[0]:12.1f} µs   {micros[1]:12.1f} µs")


def main() -> None:
    """Print the table."""
    engine, hand = WasmEngine(), wasmtime.Engine(new_config())
    print(f"{'':34} {'ratio':>8}   {'here':>12}      {'by hand':>12}")

    add, hand_add = engine.load(ADD), wc.Component(hand, ADD)

    def one_shot_by_hand() -> None:
        store = by_hand_store(hand)
        instance = wc.Linker(hand).instantiate(store, hand_add)
        instance.get_func(store, "add")(store, 1, 2)
        store.get_fuel()
        store.close()

    compare("one-shot execute", lambda: engine.execute(add, "add", 1, 2, limits=LIMITS), one_shot_by_hand, 500)

    inventory, hand_inventory = engine.load(INVENTORY), wc.Component.from_file(hand, INVENTORY)
    with LimitedStore(engine, LIMITS) as limited:
        instance, echo = limited.instantiate(add), limited.instantiate(inventory)[ECHO]
        store = by_hand_store(hand)
        linker = wc.Linker(hand)
        with linker.root() as root, root.add_instance("demo:inventory/types@1.0.0"):
            pass
        hand_instance = linker.instantiate(store, hand_add)
        hand_guest = linker.instantiate(store, hand_inventory)
        interface = hand_guest.get_export_index(store, ECHO)

        def function(name: str) -> Callable[..., object]:
            found = hand_guest.get_func(store, hand_guest.get_export_index(store, name, interface))

            def call(*args: object) -> object:
                store.set_fuel(10**12)
                store.set_epoch_deadline(10**6)
                value = found(store, *args)
                store.get_fuel()
                return value

            return call

        hand_function = hand_instance.get_func(store, "add")

        def add_by_hand() -> None:
            store.set_fuel(10**12)
            store.set_epoch_deadline(10**6)
            hand_function(store, 1, 2)
            store.get_fuel()

        compare("repeated call, two ints", lambda: instance.add(1, 2), add_by_hand, 2_000)
        record = wc.Record()
        for key, value in (("width", 1), ("height", 2), ("weight", 0.5)):
            setattr(record, key, value)
        size = {"width": 1, "height": 2, "weight": 0.5}
        echo_size, echo_bytes = function("echo-size"), function("echo-bytes")
        compare("repeated call, record", lambda: echo.echo_size(size), lambda: echo_size(record), 1_000)
        mebibyte = bytes(2**20)
        compare("repeated call, 1 MiB list<u8>", lambda: echo.echo_bytes(mebibyte), lambda: echo_bytes(mebibyte), 1, 3)

    with tempfile.TemporaryDirectory() as folder:
        cached = WasmEngine(CompileCache(Path(folder)))

        def cold() -> None:
            cached.cache.clear() if cached.cache else None
            cached.load(INVENTORY)

        compare("load, cold", cold, lambda: wc.Component.from_file(hand, INVENTORY), 1, 5)
        cached.load(INVENTORY)
        artefact = wc.Component.from_file(hand, INVENTORY).serialize()
        compare(
            "load, warm (by hand: from bytes)",
            lambda: cached.load(INVENTORY),
            lambda: wc.Component.deserialize(hand, artefact),
            20,
        )

    layers()
    isolation()
    soak(engine)


def isolation() -> None:
    """Print what an execution in a process of its own costs, over the same on a thread of this one."""
    print(f"{'':34} {'ratio':>8}   {'processes':>12}      {'threads':>12}")
    one, other = WasmEngine(isolation=ProcessIsolation()), WasmEngine()
    host = HostFunctions()
    host.register("env#ask", lambda n: n)
    wat = """(module (import "env" "ask" (func $ask (param i32) (result i32)))
        (func (export "ask") (param i32) (result i32) (call $ask (local.get 0))))"""
    adds, asks, echoes = ([engine.load(guest) for engine in (one, other)] for guest in (ADD, wat, INVENTORY))

    def execute(engine: WasmEngine, guest: Component) -> Callable[[], object]:
        return lambda: engine.execute(guest, "add", 1, 2, limits=LIMITS)

    compare("one-shot execute", execute(one, adds[0]), execute(other, adds[1]), 200)
    with LimitedStore(one, LIMITS, host=host) as there, LimitedStore(other, LIMITS, host=host) as here:
        calls = [store.instantiate(guest).call for store, guest in zip((there, here), adds)]
        compare("repeated call, two ints", lambda: calls[0]("add", 1, 2), lambda: calls[1]("add", 1, 2), 500)
        questions = [store.instantiate(guest).call for store, guest in zip((there, here), asks)]
        compare("call that calls the host", lambda: questions[0]("ask", 1), lambda: questions[1]("ask", 1), 500)
        big = [store.instantiate(guest)[ECHO].call for store, guest in zip((there, here), echoes)]
        mebibyte = bytes(2**20)
        compare(
            "1 MiB list<u8>, there and back",
            lambda: big[0]("echo-bytes", mebibyte),
            lambda: big[1]("echo-bytes", mebibyte),
            1,
            3,
        )

    def start() -> float:
        engine = WasmEngine(isolation=ProcessIsolation())
        guest = engine.load(ADD)
        took_s = seconds(execute(engine, guest), 1)
        engine.close()
        return took_s

    print(f"{'the first execution of a process':34} {min(start() for _ in range(3)) * 1_000:8.0f} ms, with its start")


LOOPS = {
    "adds": "(local.set $s (i32.add (local.get $s) (local.get $n)))",
    "memory": "(i32.store (i32.and (local.get $n) (i32.const 0xfffc)) (i32.add (i32.load (i32.and (local.get $n) (i32.const 0xfffc))) (i32.const 1)))",
    "calls": "(local.set $s (call $f (local.get $s)))",
}


def layers() -> None:
    """Print what each CPU layer makes of tight loops: time with it compiled in, over time without any."""
    print(f"{'tight loop of':34} {'fuel':>8} {'deadline':>10} {'both':>8}")
    for name, body in LOOPS.items():
        wat = f"""(module (memory 1) (func $f (param i32) (result i32) (i32.xor (local.get 0) (i32.const 7)))
            (func (export "run") (param $n i32) (result i32) (local $s i32)
              (loop $l {body} (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $s)))"""
        runs = [looper(wat, fuel=fuel, epoch=epoch) for fuel, epoch in ((0, 0), (1, 0), (0, 1), (1, 1))]
        rounds = [[seconds(run, 1) for run in runs] for _ in range(15)]
        ratios = [statistics.median(row[i] / row[0] for row in rounds) for i in (1, 2, 3)]
        print(f"{name:34} {ratios[0]:8.2f} {ratios[1]:10.2f} {ratios[2]:8.2f}")


def looper(wat: str, *, fuel: int, epoch: int) -> Callable[[], object]:
    """Ten million rounds of the loop, compiled with these layers."""
    config = new_config()
    config.consume_fuel, config.epoch_interruption = bool(fuel), bool(epoch)
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    if fuel:
        store.set_fuel(2**63)
    if epoch:
        store.set_epoch_deadline(10**6)
    run = wasmtime.Instance(store, wasmtime.Module(engine, wat), []).exports(store)["run"]
    return lambda: run(store, 10_000_000)


def soak(engine: WasmEngine) -> None:
    """Print the growth of resident memory over 10,000 executions that end in every way."""
    guest = engine.load(
        """(module (memory 1) (func (export "ok")) (func (export "trap") unreachable) (func (export "spin") (loop br 0))
        (func (export "hoard") i32.const 999 memory.grow i32.const -1 i32.eq (if (then unreachable))))"""
    )
    limits = ResourceLimits(memory="1 MiB", fuel=1_000)

    def round_trip(times: int) -> None:
        for number in range(times):
            with contextlib.suppress(WasmError):
                engine.execute(guest, ("ok", "trap", "spin", "hoard")[number % 4], limits=limits)

    round_trip(1_000)
    before, files = resident_mib(), len(os.listdir("/proc/self/fd"))
    round_trip(10_000)
    print(
        f"RSS over 10,000 executions: {resident_mib() - before:+.1f} MiB, files {len(os.listdir('/proc/self/fd')) - files:+d}"
    )


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    sys.exit({"layers": layers, "isolation": isolation}.get("".join(sys.argv[1:]), main)())
