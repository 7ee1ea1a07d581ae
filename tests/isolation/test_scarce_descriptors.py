"""Machines on which a process can open no more files, or start no more threads: errors that name that, in both modes."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_airssys_wasm import HostFunctions, LimitedStore, ResourceLimits, UnfitHost, Wasi
from pytest_airssys_wasm.protocol import process
from pytest_airssys_wasm.protocol.transcript import Transcript
from pytest_airssys_wasm.runtime.base.originals import start_thread
from pytest_airssys_wasm.runtime.execution import guest_threads
from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
from support.descriptors import no_file_stays_open

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
GUEST = '(module (memory 1) (func (export "f") (result i32) i32.const 42))'
SCRIPT = """
import asyncio, os, resource, sys
from pytest_airssys_wasm import ProcessIsolation, ResourceLimits, UnfitHost, Wasi, WasmEngine

GUEST = '(module (memory 1) (func (export "f") (result i32) i32.const 42))'
LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
loop = asyncio.new_event_loop()

def ended(work):
    try:
        print(work().value)
    except UnfitHost as error:
        print(f"UnfitHost: {error}")
        return False
    return True

def anew(mode, is_awaited, wasi):
    with WasmEngine(isolation=ProcessIsolation() if mode == "process" else None) as engine:
        guest = engine.load(GUEST)
        if is_awaited:
            return loop.run_until_complete(engine.execute_async(guest, "f", limits=LIMITS, wasi=wasi))
        return engine.execute(guest, "f", limits=LIMITS, wasi=wasi)

mode, is_awaited, wasi = sys.argv[1], sys.argv[2] == "awaited", Wasi(stdin="x", preopen={"/": ("/", "ro")})
"""
ENOUGH = 3
"""The number of executions in a row that work before more descriptors need not be tried."""
LEAVE = f"""
held, worked = [], 0
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
anew(mode, is_awaited, wasi)
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
while worked < {ENOUGH} and len(held) > 1:
    worked = worked + 1 if ended(lambda: anew(mode, is_awaited, wasi)) else 0
    for _ in range(1 + is_awaited):  # the waker of each of these engines stays with the loop
        os.close(held.pop())
"""


def ran(script, *args, prefix=()):
    command = [*prefix, sys.executable, "-c", script, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["called", "awaited"])
@pytest.mark.parametrize("mode", ["thread", pytest.param("process", marks=pytest.mark.slow)])
def test_however_few_descriptors_are_left_the_lack_is_named(mode, way):
    lines = ran(SCRIPT + LEAVE, mode, way)
    assert lines[-ENOUGH:] == ["42"] * ENOUGH
    lacking = [line for line in lines if line != "42"]
    assert len(lacking) > 3
    for line in lacking:
        assert line.startswith("UnfitHost: the open files of this process (ulimit -n): expected"), line


def without_threads(most):
    """A command that runs another as a user who may have so many threads; skips where that is not allowed."""
    # The real user is another one, because root has no such limit; files are still those of this user.
    user = ("setpriv", "--ruid", "65533", "--bounding-set=-all", "--inh-caps=-all")
    prefix = (*user, "prlimit", f"--nproc={most}")
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no process of another user can be started here")
    return prefix


@pytest.mark.parametrize("mode", ["thread", "process"])
@pytest.mark.parametrize(
    "most", [1, *(pytest.param(number, marks=pytest.mark.slow) for number in (2, 3, 4, 5, 6, 7, 8, 10))]
)
def test_however_few_threads_may_be_started_the_lack_is_named(mode, most):
    script = SCRIPT + "for _ in range(2): ended(lambda: anew(mode, is_awaited, None))"
    lines = ran(script, mode, "called", prefix=without_threads(most))
    assert len(lines) == 2
    for line in lines:
        wanted = "UnfitHost: the threads and processes of this user (ulimit -u, or the limit of a container): expected"
        assert line.startswith(wanted) or (line == "42" and most > 1), line


def no_thread(*_, **__):
    raise RuntimeError("can't start new thread")


def test_a_guest_without_a_thread_costs_its_store_nothing(engine, monkeypatch):
    guest = engine.load(GUEST)
    with LimitedStore(engine, LIMITS, wasi=Wasi()) as store:  # its guests do not run on the thread of their caller
        instance = store.instantiate(guest)
        engine.guest_threads.close()
        monkeypatch.setattr(guest_threads, "start_thread", no_thread)
        with pytest.raises(UnfitHost, match="threads and processes of this user"):
            instance.f()
        monkeypatch.setattr(guest_threads, "start_thread", start_thread)
        assert instance.f() == 42
    assert len(engine.abandoned_guests) == 0


@contextlib.contextmanager
def free_descriptors(number):
    """Leave this process only so many descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 60, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(number):
            os.close(held.pop())
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("number", range(6))
def test_pipes_that_cannot_all_be_opened_are_closed(number):
    with no_file_stays_open(), free_descriptors(number), pytest.raises(UnfitHost, match="ulimit -n"):
        CapturedOutput(1)


@pytest.mark.parametrize("number", range(7))
def test_a_store_that_cannot_be_made_leaves_nothing_open(engine, number):
    with no_file_stays_open(), free_descriptors(number), pytest.raises(UnfitHost, match="ulimit -n"):
        LimitedStore(engine, LIMITS, wasi=Wasi(preopen={"/": ("/", "ro")}))


def test_a_process_that_no_thread_can_serve_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "start_thread", no_thread)
    told = tmp_path / "told"
    script = f"import os, sys, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with no_file_stays_open(), pytest.raises(RuntimeError, match="new thread"):
        process.AdapterProcess([sys.executable, "-c", script], folder=None, line_bytes=100, transcript=Transcript())
    with contextlib.suppress(FileNotFoundError):
        assert not Path(f"/proc/{told.read_text()}").exists()


def test_a_host_function_that_lacks_something_for_its_own_guest_blames_none(engine):
    host = HostFunctions()

    @host.register("host#f")
    def within():
        raise UnfitHost("the open files of this process (ulimit -n)", 7, "more")

    guest = engine.load('(module (import "host" "f" (func $f)) (func (export "g") call $f))')
    with pytest.raises(UnfitHost, match="ulimit -n"):
        engine.execute(guest, "g", limits=LIMITS, host=host)
