"""The functions that keep the limits: out of reach, whatever replaces those of the standard library."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading
import time
from unittest import mock

import pytest

from pytest_airssys_wasm.runtime.base import originals


@pytest.mark.parametrize("name", ["monotonic", "time_ns", "sleep", "gmtime", "strftime"])
def test_the_clocks_are_nobody_elses(name):
    assert getattr(originals, name) is not getattr(time, name)


def test_the_clock_is_that_of_the_standard_library():
    before, now, after = time.monotonic(), originals.monotonic(), time.monotonic()
    assert before <= now <= after


def test_a_mocked_clock_is_not_seen():
    with mock.patch("time.monotonic", return_value=-1.0), mock.patch("time.sleep"):
        before = originals.monotonic()
        originals.sleep(0.01)
        assert originals.monotonic() - before >= 0.01


def test_mocked_pipes_are_not_seen():
    with mock.patch.multiple(os, pipe=mock.DEFAULT, read=mock.DEFAULT, write=mock.DEFAULT):
        reader, writer = originals.system.pipe()
        originals.system.write(writer, b"x")
        assert originals.system.read(reader, 9) == b"x"
    os.close(reader)
    os.close(writer)


def seen_by(start):
    """The thread that `start` starts, and what it traces, as its work sees them."""
    seen, through = [], originals.allocate_lock()
    through.acquire()

    def work():
        seen.append((threading.current_thread(), sys.gettrace()))
        through.release()

    start(work)
    assert through.acquire(timeout=20)
    return seen[0]


def test_a_thread_is_an_ordinary_one_for_the_process():
    thread, _ = seen_by(lambda work: originals.start_thread(work, "by-name"))
    assert (thread.name, thread.daemon, type(thread)) == ("by-name", True, threading.Thread)


def test_a_thread_is_one_of_the_system_where_threads_are_replaced(monkeypatch):
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: pytest.fail("this is no thread"))
    thread, _ = seen_by(lambda work: originals.start_thread(work, "by-name"))
    assert type(thread) is not threading.Thread
    assert thread is not threading.current_thread()


def test_such_a_thread_is_traced_too(monkeypatch):
    def trace(*_): ...

    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: None)
    monkeypatch.setattr(threading, "_trace_hook", trace)
    _, traced = seen_by(lambda work: originals.start_thread(work, "by-name"))
    assert traced is trace


def test_the_size_of_stacks_is_put_back():
    before = threading.stack_size()
    seen_by(lambda work: originals.start_thread(work, "by-name", 2**20))
    assert threading.stack_size() == before


def test_processes_are_started_by_a_copy_with_its_own_clock():
    assert originals.Popen is not subprocess.Popen
    with mock.patch("time.monotonic", return_value=0.0), mock.patch("time.sleep"):
        process = originals.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        with pytest.raises(originals.TimeoutExpired):
            process.wait(timeout=0.05)
        process.kill()
        assert process.wait(timeout=20) < 0
        process.stdin.close()
