"""The process of a guest goes when its guest does, whoever waits for it, and is replaced before it is worn out."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from pytest_airssys_wasm import (
    ExecutionTimeout,
    LimitedStore,
    ProcessIsolation,
    ResourceLimits,
    StoreUnusable,
    Wasi,
    WasmEngine,
)
from pytest_airssys_wasm.isolation.pool import WorkerProcess
from pytest_airssys_wasm.runtime.execution.run import Run, Stop
from support.bombs import wait_for
from support.busy_guest import GUEST, LIMITS, asking


@pytest.fixture(scope="session")
def engine(processes):
    return processes


@pytest.fixture(scope="module")
def guest(engine):
    return engine.load(GUEST)


@pytest.mark.slow
def test_the_event_loop_goes_on_while_a_process_is_started_and_its_guest_runs(guest):
    fresh = WasmEngine(isolation=ProcessIsolation())
    late = []

    async def heartbeat():
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            late.append(time.monotonic() - before)

    async def main():
        beating = asyncio.create_task(heartbeat())
        with pytest.raises(ExecutionTimeout):
            limits = replace(LIMITS, fuel=None, timeout_ms=100)
            await fresh.execute_async(fresh.load(GUEST), "spin", limits=limits, host=asking(lambda n: n), wasi=Wasi())
        beating.cancel()

    asyncio.run(main())
    fresh.close()
    assert len(late) > 10  # the start of a process takes ten times as long, and the guest another ten


def test_cancelling_ends_the_process_of_the_guest(guest, engine):
    began, workers = threading.Event(), []
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=None)

    async def main(store):
        instance = await store.instantiate_async(guest)
        workers.append(store._backend._lease.worker.process_id)
        task = asyncio.create_task(instance.call_async("ask-for-ever"))
        await asyncio.to_thread(began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with LimitedStore(engine, limits, host=asking(lambda n: began.set() or n), wasi=Wasi()) as store:
        asyncio.run(main(store))
        # Which of the two it is, is a matter of milliseconds: the process is ended either way.
        with pytest.raises(StoreUnusable, match=r"its process has ended|was abandoned"):
            store.instantiate(guest)
    wait_for(lambda: not _is_alive(workers[0]))


@pytest.mark.slow
def test_a_cancelled_run_ends_its_process_also_where_the_guest_was_through_before(guest, engine):
    with LimitedStore(engine, LIMITS, host=asking(lambda n: n), wasi=Wasi()) as store:
        store.instantiate(guest)  # whose answer came
        worker = store._backend._lease.worker.process_id
        run = Run(LIMITS, None, store._backend.account)
        run.stop = Stop.CANCELLED
        run.finish()
        assert store._backend.end(run) == "its process has ended"
        wait_for(lambda: not _is_alive(worker))


@pytest.mark.slow
def test_an_async_host_function_is_cancelled_at_the_deadline_and_the_store_lives_on(engine, guest):
    ends = []

    async def wait(n):
        try:
            await asyncio.sleep(3_600)
        finally:
            ends.append(n)

    # The grace of a blocked guest is short, and the machine may be busy: then the store is given up.
    for attempt in range(1, 20):
        with LimitedStore(engine, replace(LIMITS, timeout_ms=200), host=asking(wait), wasi=Wasi()) as store:
            instance = store.instantiate(guest)
            with pytest.raises(ExecutionTimeout):
                instance.ask(attempt)
            if store.is_usable:
                assert instance.count() == 1
                break
    else:
        raise AssertionError("it never lived on")
    assert ends[-1] == attempt


def test_a_store_that_nobody_holds_gives_its_process_back(engine, guest):
    LimitedStore(engine, LIMITS, host=asking(lambda n: n), wasi=Wasi()).instantiate(guest)
    gc.collect()
    assert engine.backends._pool._idle


@pytest.mark.slow
@pytest.mark.parametrize("is_used_again", [False, True])
def test_a_process_that_is_interrupted_before_its_guest_runs_is_ended(monkeypatch, is_used_again):
    engine, workers = WasmEngine(isolation=ProcessIsolation()), []
    guest = engine.load('(module (func (export "nothing")))')
    if is_used_again:
        engine.execute(guest, "nothing", limits=LIMITS)

    def interrupted(worker, files):
        workers.append(worker)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WorkerProcess, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.execute(guest, "nothing", limits=LIMITS)
    wait_for(lambda: workers[0].is_over)
    engine.execute(guest, "nothing", limits=LIMITS)
    engine.close()


@pytest.mark.slow
def test_no_process_is_left_when_the_one_that_asked_is_gone(tmp_path):
    script = textwrap.dedent("""
        from pytest_airssys_wasm import *
        engine = WasmEngine(isolation=ProcessIsolation())
        guest = engine.load('(module (import "env" "told" (func $t)) (func (export "spin") call $t (loop br 0)))')
        host = HostFunctions()
        host.register("env#told", lambda: print(*[one.process_id for one in engine.backends._pool._all], flush=True))
        engine.execute(guest, "spin", limits=ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=None), host=host)
    """)
    asker = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # what is killed leaves its files
    )
    worker = int(asker.stdout.readline())
    begun = _ticks(worker)
    wait_for(lambda: _ticks(worker) >= begun + 3)  # it has its reply, and spins
    os.kill(asker.pid, signal.SIGKILL)
    asker.communicate()
    wait_for(lambda: not _is_alive(worker))


def _ticks(process_id):
    """Return the processor time of the process."""
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[11])


def _is_alive(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_process_that_had_many_guests_is_replaced_before_its_files_run_out(engine, guest, tmp_path):
    pool, files = engine.backends._pool, engine.backends._guests.files_of(guest)
    opened = []
    for number in range(220):
        artefact = tmp_path / f"{number}.cwasm"
        artefact.write_bytes(Path(files.artefact).read_bytes())
        worker = pool.take(structs.replace(files, artefact=str(artefact)))
        opened.append(len(os.listdir(f"/proc/{worker.process_id}/fd")))
        pool.give_back(worker, is_well=True)
    assert 20 < max(opened) < 150
