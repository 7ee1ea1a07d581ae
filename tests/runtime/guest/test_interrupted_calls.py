"""Signal handlers that raise at each instruction of a call at which Python handles signals: where a function begins,
and where one that is not written in Python has returned.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import pytest_airssys_wasm
from support.bombs import wait_for
from support.parked_calls import open_store

PACKAGE = f"{Path(pytest_airssys_wasm.__file__).parent}/"


class Timeout(BaseException):
    """The error of a time limit, which an event loop only logs if it is raised in one of its callbacks."""


@contextmanager
def raising_at(number, error, reached):
    """Raise at this instruction of the package on this thread, and note where that was."""
    passed = 0

    def profile(frame, event, function):
        nonlocal passed
        if sys.version_info < (3, 11) and event == "call" and frame.f_lasti >= 0:
            return  # Python 3.10 would leave a coroutine that it goes on with, without its `finally`
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(PACKAGE):
            passed += 1
            if passed == number:
                sys.setprofile(None)
                of = f" after {function.__name__}" if event == "c_return" else ""
                reached.append(f"{frame.f_code.co_filename.removeprefix(PACKAGE)}:{frame.f_lineno}{of}")
                raise error

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


@contextmanager
def a_minute():
    """End what takes longer."""

    def end(*_):
        raise AssertionError("it did not end")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def called(instance, *args):
    return instance.call(*args)


def awaited(instance, *args):
    return asyncio.run(instance.call_async(*args))


def ask(n):
    time.sleep(n / 1_000)
    return n


@pytest.mark.parametrize("error", [KeyboardInterrupt, pytest.param(Timeout, marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", ["parked", pytest.param("general", marks=pytest.mark.slow)])
@pytest.mark.parametrize("call", [called, awaited])
def test_a_call_leaves_nothing_behind_wherever_a_signal_handler_raises(own_engine, call, way, error):
    engine, reached = own_engine, []
    while True:
        number = len(reached) + 1
        store, instance = open_store(engine, ask)
        if way == "general":
            store.direct_call = store.awaited_call = lambda *_: None
        call(instance, "asks", 0)
        with a_minute():
            try:
                with raising_at(number, error, reached):
                    value = call(instance, "asks", 2)
            except error:
                value = None
        if len(reached) < number:
            break
        print(reached[-1])
        assert value is None or (call is awaited and error is Timeout)
        wait_for(lambda: not engine.abandoned_guests and not engine.runs)
        store.close()
        wait_for(lambda: engine.live_memories == 0)
    assert value == 2
    assert any("parked_threads" in place for place in reached) == (way == "parked")
    store.close()
