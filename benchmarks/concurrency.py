"""The claims about guests that do not end by themselves, and about many guests: `python benchmarks/concurrency.py`.

With a name (heartbeat, thousand, cancellation, overhead, threads, blocked) only that figure.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alternation import lower_quartile
from by_hand import COUNT

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from pytest_airssys_wasm.runtime.guest.instance import Instance

GUEST = """(component
  (import "pause" (func $pause (param "ms" u32)))
  (core func $pause' (canon lower (func $pause)))
  (core module $m
    (import "host" "pause" (func $pause (param i32)))
    (memory 1)
    (func (export "spin") (loop br 0))
    (func (export "count") (param i32)
      (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "pauses") (param $times i32) (param $ms i32)
      (loop (call $pause (local.get $ms)) (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))
  (core instance $i (instantiate $m (with "host" (instance (export "pause" (func $pause'))))))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "count") (param "to" u32) (canon lift (core func $i "count")))
  (func (export "pauses") (param "times" u32) (param "ms" u32) (canon lift (core func $i "pauses"))))"""

BLOCKED = r'''
import threading
import pytest

SLEEPER = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\\01\\00\\00\\00\\00\\00\\00\\00\\00\\a0\\b8\\30\\46\\03\\00\\00") ;; an hour
  (func (export "f") (drop (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200)))))"""
CALLER = '(module (import "host" "wait" (func $wait)) (memory 1) (func (export "f") (call $wait)))'

pytestmark = [pytest.mark.memory("1 MiB"), pytest.mark.timeout_ms(100)]

@pytest.mark.wasi()
def test_asleep_for_an_hour(wasm_engine, limited_store):
    with pytest.raises(Exception, match="timeout"):
        limited_store.execute(wasm_engine.load(SLEEPER), "f")

def test_a_host_function_that_never_returns(wasm_engine, wasm_host, limited_store):
    wasm_host.register("host#wait", threading.Event().wait)
    with pytest.raises(Exception, match="timeout"):
        limited_store.execute(wasm_engine.load(CALLER), "f")
'''
HARMLESS = BLOCKED.replace(r"\\00\\a0\\b8\\30\\46\\03\\00\\00", r"\\00\\00\\00\\00\\00\\00\\00\\00").replace(
    "threading.Event().wait", "lambda: None"
)
HARMLESS = HARMLESS.replace("timeout_ms(100)", "timeout_ms(60_000)").replace(
    '    with pytest.raises(Exception, match="timeout"):\n    ', ""
)


class Bench:
    """One engine, one guest, one host."""

    def __init__(self) -> None:
        self.engine = WasmEngine()
        self.guest = self.engine.load(GUEST)
        self.host = HostFunctions()
        self.host.register("pause", lambda ms: asyncio.sleep(ms / 1_000))

    def limits(self, timeout_ms: float = 60_000.0) -> ResourceLimits:
        """Time alone is limited, and memory, which must be."""
        return ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=timeout_ms)

    def begin(self, function: str, *args: int, timeout_ms: float = 60_000.0) -> Coroutine[None, None, object]:
        """One execution."""
        return self.engine.execute_async(self.guest, function, *args, limits=self.limits(timeout_ms), host=self.host)


async def lateness(work: Callable[[], Coroutine[None, None, None]]) -> list[float]:
    """Return the milliseconds by which a task that sleeps for one at a time is late, sorted, while `work` goes on."""
    late: list[float] = []

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - began) * 1_000 - 1)

    beating = asyncio.create_task(beat())
    await work()
    beating.cancel()
    return sorted(late)


def heartbeat(bench: Bench) -> None:
    """Measure a 1 ms heartbeat on the loop, beside nothing and beside endless guests under 100 ms."""

    async def nothing() -> None:
        await asyncio.sleep(2)

    async def endless() -> None:
        for _ in range(20):
            try:
                await bench.begin("spin", timeout_ms=100)
            except ExecutionTimeout:
                continue

    for name, work in (("nothing", nothing), ("endless guests, one after the other", endless)):
        late = asyncio.run(lateness(work))
        p99 = late[int(len(late) * 0.99)]
        print(
            f"a 1 ms heartbeat beside {name}: median {statistics.median(late):.2f} ms late, p99 {p99:.1f}, at most {late[-1]:.1f}"
        )


def thousand(bench: Bench) -> None:
    """Many at once, each of which waits ten times for the host."""

    async def together() -> None:
        await asyncio.gather(*(bench.begin("pauses", 10, 5) for _ in range(1_000)))

    for _ in range(3):
        began, burnt_s = time.perf_counter(), time.process_time()
        asyncio.run(together())
        took_s, burnt_s = time.perf_counter() - began, time.process_time() - burnt_s
        print(f"1,000 executions at once, each awaits ten host calls of 5 ms: {took_s:.2f} s, {burnt_s:.2f} s of CPU")


def cancellation(bench: Bench) -> None:
    """Tasks are cancelled while a hundred guests wait and eight are busy."""

    async def cancelled() -> tuple[float, float]:
        waiting = [asyncio.create_task(bench.begin("pauses", 1, 3_600_000)) for _ in range(100)]
        busy = [asyncio.create_task(bench.begin("spin")) for _ in range(8)]
        while len(bench.engine.runs) < 108:
            await asyncio.sleep(0.01)
        began = time.perf_counter()
        for task in busy + waiting:
            task.cancel()
        await asyncio.gather(*busy, *waiting, return_exceptions=True)
        ended_s = time.perf_counter() - began
        while bench.engine.runs or bench.engine.live_memories:
            await asyncio.sleep(0.001)
        return ended_s, time.perf_counter() - began

    ended_s, released_s = asyncio.run(cancelled())
    burnt_s, until = time.process_time(), time.monotonic() + 0.5
    time.sleep(max(0.0, until - time.monotonic()))
    burnt_s = time.process_time() - burnt_s
    print(
        f"108 tasks cancelled at once, 8 of them with guests at work: all ended after {ended_s * 1_000:.0f} ms, all threads "
        f"and stores free after {released_s * 1_000:.0f} ms; CPU used in the half second after: {burnt_s * 1_000:.0f} ms; "
        f"threads left: {threading.active_count()}"
    )


def rounds_of_a_millisecond(instance: Instance) -> int:
    """Return the number of rounds that the guest counts in a millisecond, without the cost of a call."""
    took_s = []
    for _ in range(20):
        began = time.perf_counter()
        instance.count(1)
        between = time.perf_counter()
        instance.count(1_000_000)
        took_s.append(time.perf_counter() - between - (between - began))
    return int(1_000_000 * 0.001 / statistics.median(took_s))


def overhead(bench: Bench) -> None:
    """Measure a call of about a millisecond of guest work, awaited and called in turn."""
    with LimitedStore(bench.engine, bench.limits(), host=bench.host) as store:
        instance = store.instantiate(bench.guest)

        async def pairs() -> list[tuple[float, float]]:
            found = []
            for number in range(1_000):
                if number % 50 == 0:  # the machine is twice as fast in one second as in another
                    rounds = rounds_of_a_millisecond(instance)
                began = time.perf_counter()
                instance.count(rounds)
                between = time.perf_counter()
                await instance.call_async("count", rounds)
                found.append((between - began, time.perf_counter() - between))
            return found

        found = asyncio.run(pairs())
    plain_s, awaited_s = (statistics.median(column) for column in zip(*found))
    ratio = statistics.median(awaited / plain for plain, awaited in found)
    print(
        f"1 ms of guest work: {plain_s * 1_000:.3f} ms called, {awaited_s * 1_000:.3f} ms awaited, "
        f"median of the ratios {ratio:.3f}"
    )


def threads(bench: Bench) -> None:
    """Measure the throughput of two threads that call guests of a certain length, relative to that of one thread.

    The measured work is a burst of a few milliseconds, which runs before all other work of the machine if the system
    allows that.
    """
    stores = [LimitedStore(bench.engine, bench.limits(), host=HostFunctions()) for _ in range(2)]
    counting = [store.instantiate(bench.engine.load(COUNT)) for store in stores]
    in_a_millisecond = rounds_of_a_millisecond(counting[0])
    for work_us in (0, 5, 20, 50, 100, 200, 500, 1_000):
        rounds = max(1, in_a_millisecond * work_us // 1_000)
        times = max(5, int(4_000 / (work_us + 5)))
        found: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(15):
            for number, took_s in found.items():
                took_s.append(burst(counting[:number], rounds, times) / times)
                time.sleep(0.05)
        one_s, two_s = (lower_quartile(took_s) for took_s in found.values())
        print(
            f"calls of {one_s * 1e6:7.1f} us with {work_us:5} us of guest work: two threads make "
            f"{2 * one_s / two_s:.2f} times as many as one"
        )


def burst(instances: Sequence[Instance], rounds: int, times: int) -> float:
    """Return the seconds in which each instance is called so often, each on a thread of its own."""
    begin, took_s = threading.Barrier(len(instances)), []

    def call(instance: Instance) -> None:
        instance.count(1)
        with first_of_all():
            begin.wait()
            began = time.perf_counter()
            for _ in range(times):
                instance.count(rounds)
            took_s.append(time.perf_counter() - began)

    calling = [threading.Thread(target=call, args=(instance,)) for instance in instances]
    for thread in calling:
        thread.start()
    for thread in calling:
        thread.join()
    return max(took_s)


@contextmanager
def first_of_all() -> Iterator[None]:
    """Run this thread before all other work of the machine, if the system allows that."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def blocked(_bench: Bench) -> None:
    """Test runs whose guests never come back, against the same runs with guests that do."""
    for isolation in ("thread", "process"):
        took_s = {"never": [], "at once": []}
        for _ in range(3):
            for name, text in (("never", BLOCKED), ("at once", HARMLESS)):
                took_s[name].append(pytest_run(text, isolation))
        never_s, at_once_s = (min(one) for one in took_s.values())
        print(
            f"pytest, --wasm-isolation={isolation}, two guests that never come back under 100 ms each: {never_s:.2f} s, "
            f"{never_s - at_once_s:+.2f} s beyond the same run with guests that return at once; exit status 0"
        )


def pytest_run(text: str, isolation: str) -> float:
    """Seconds of a run that must pass."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_it.py").write_text(text, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            f"--wasm-isolation={isolation}",
        ]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        took_s = time.perf_counter() - began
    if done.returncode or done.stderr:
        raise RuntimeError(done.stdout + done.stderr)
    return took_s


FIGURES = {one.__name__: one for one in (heartbeat, thousand, cancellation, overhead, threads, blocked)}


def main() -> None:
    """Print all figures, or the one that is named."""
    bench = Bench()
    for name in sys.argv[1:] or FIGURES:
        FIGURES[name](bench)


if __name__ == "__main__":
    main()
