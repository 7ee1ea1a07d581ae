"""Signals on the main thread while a guest runs there: their handlers, Ctrl-C, asyncio and pytest-timeout.

Each promise was tried with the guard broken: no beats, the exception of a handler dropped, the outer run forgotten.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from pytest_airssys_wasm import LimitedStore
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable
from support.spinning_guest import LONG_MS, SPIN, limits, script

SOON_S = 20


@pytest.fixture
def engine(own_engine):
    return own_engine


@contextmanager
def alarm(handler, after_s=0.05):
    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, after_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


class Raised(BaseException):
    """The exception of a signal handler."""


def test_an_exception_of_a_signal_handler_ends_an_endless_guest(engine):
    def handler(*_):
        raise Raised("by the handler")

    with LimitedStore(engine, limits(LONG_MS)) as store:
        instance = store.instantiate(engine.load(SPIN))
        with alarm(handler), pytest.raises(Raised, match="by the handler") as caught:
            instance.spin()
        assert caught.traceback[-1].name == "handler"
        assert 0 < store.usage.wall_ms < LONG_MS / 2
        assert store.is_usable
    assert engine.runs == {}


def test_ctrl_c_ends_an_endless_guest(engine):
    guest = engine.load(SPIN)
    timer = threading.Timer(0.05, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))
    timer.start()
    started_at = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        engine.execute(guest, "spin", limits=limits(LONG_MS))
    assert time.monotonic() - started_at < LONG_MS / 2_000
    timer.join()


@pytest.mark.slow
def test_a_guest_goes_on_after_a_signal_handler_that_returns(engine):
    calls = []
    with alarm(lambda *_: calls.append(time.monotonic())), pytest.raises(ExecutionTimeout) as caught:
        engine.execute(engine.load(SPIN), "spin", limits=limits(400))
    ended_at = time.monotonic()
    assert len(calls) == 1
    assert calls[0] < ended_at
    assert caught.value.usage.wall_ms >= 400


def test_a_signal_handler_may_not_call_back_into_the_store(engine):
    store = LimitedStore(engine, limits(LONG_MS))
    instance = store.instantiate(engine.load(SPIN))
    with alarm(lambda *_: instance.nop()), pytest.raises(StoreUnusable, match="in use"):
        instance.spin()
    store.close()


@pytest.mark.slow
def test_a_signal_handler_may_run_another_store_and_close_it(engine):
    values = []

    def handler(*_):
        with LimitedStore(engine, limits(5_000)) as other:
            instance = other.instantiate(engine.load(SPIN))
            values.extend(instance.swap(value) for value in (7, 8))
        gc.collect()

    with alarm(handler), pytest.raises(ExecutionTimeout):
        engine.execute(engine.load(SPIN), "spin", limits=limits(300))
    assert values == [0, 7]
    gc.collect()
    assert engine.live_memories == 0


@pytest.mark.slow
def test_memories_that_are_made_after_a_signal_handler_belong_to_the_interrupted_run(engine):
    guest = engine.load(
        """(component
          (core module $slow (func $work (local $n i32) (local.set $n (i32.const 300000000))
              (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
            (start $work))
          (core module $m (memory 3) (func (export "f")))
          (core instance (instantiate $slow))
          (core instance $i (instantiate $m))
          (func (export "f") (canon lift (core func $i "f"))))"""
    )
    other, calls = engine.load(SPIN), []

    def handler(*_):
        calls.append(engine.execute(other, "swap", 1, limits=limits(LONG_MS)).value)

    with alarm(handler, 0.1):
        usage = engine.execute(guest, "f", limits=limits(LONG_MS)).usage
    assert calls == [0]
    assert usage.peak_memory_bytes == 3 * 65_536


def test_a_signal_handler_that_raises_as_the_time_runs_out_has_raised(engine):
    def handler(*_):
        time.sleep(0.2)
        raise Raised

    with alarm(handler, 0.03), pytest.raises(Raised):
        engine.execute(engine.load(SPIN), "spin", limits=limits(120))


def call_for(seconds, instance):
    """Call a guest in a function of its own: its caller catches what a signal handler raises anywhere in the loop.

    Python 3.13 leaves the jump to the beginning of a `while` out of its exception table, so that a `try` around the loop
    does not catch what is raised there.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        instance.nop()


def test_many_alarms_in_short_calls_neither_crash_nor_get_lost(engine, uncollected):
    class Tick(Exception):
        pass

    def handler(*_):
        raise Tick

    ticks = 0
    with LimitedStore(engine, limits(5_000)) as store:
        instance = store.instantiate(engine.load(SPIN))
        for _ in range(40):
            try:
                with alarm(handler, 0.003):
                    call_for(SOON_S, instance)
            except Tick:
                ticks += 1
            except StoreUnusable:  # the tick came after the store was taken, and before it could be given back
                break
            else:
                break  # the tick is lost
        assert ticks == 40
        assert instance.swap(1) == 0


@pytest.mark.slow
def test_asyncio_interrupts_a_guest_that_blocks_its_loop_at_the_second_ctrl_c():
    done = script(
        """
        guest = engine.load(SPIN)

        async def main():
            interrupt_soon(2)
            engine.execute(guest, "spin", limits=limits(LONG_MS))

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert done.stdout == "interrupted\n"


@pytest.mark.slow
def test_asyncio_interrupts_a_guest_that_is_awaited():
    done = script(
        """
        guest = engine.load(SPIN)

        async def main():
            interrupt_soon(1)
            await engine.execute_async(guest, "spin", limits=limits(LONG_MS))

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            while engine.runs: time.sleep(0.01)
            print("interrupted")
        """
    )
    assert done.stdout == "interrupted\n"


def test_a_handler_of_an_event_loop_is_called_after_the_guest(engine):
    async def main():
        called = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGALRM, called.set)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(ExecutionTimeout):
            engine.execute(engine.load(SPIN), "spin", limits=limits(150))
        await asyncio.wait_for(called.wait(), SOON_S)
        loop.remove_signal_handler(signal.SIGALRM)

    asyncio.run(main())


@pytest.mark.slow
def test_pytest_timeout_ends_a_guest_by_its_signal(tmp_path):
    pytest.importorskip("pytest_timeout")
    (tmp_path / "test_it.py").write_text(
        f'''
import pytest
from pytest_airssys_wasm import ResourceLimits, WasmEngine

engine = WasmEngine()
guest = engine.load("""{SPIN}""")
LIMITS = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms={LONG_MS})

@pytest.mark.timeout(0.3, method="signal")
def test_endless():
    engine.execute(guest, "spin", limits=LIMITS)

def test_next():
    engine.execute(guest, "nop", limits=LIMITS)
''',
        "utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout
    assert "Timeout (>0.3s)" in done.stdout


@pytest.mark.slow
def test_a_deadline_holds_in_a_run_that_a_signal_handler_has_interrupted(engine):
    guest, other, seen = engine.load(SPIN), engine.load(SPIN), []

    def nested(*_):
        with pytest.raises(ExecutionTimeout):
            engine.execute(other, "spin", limits=limits(10))
        seen.append(None)

    with alarm(nested), pytest.raises(ExecutionTimeout):
        engine.execute(guest, "spin", limits=limits(300))
    assert seen
    assert engine.runs == {}
