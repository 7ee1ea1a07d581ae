"""Compilers that are killed, interrupted or left alone: an error, and nothing that stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest
import wasmtime

from pytest_airssys_wasm import (
    RuntimeDied,
)
from pytest_airssys_wasm.protocol.process import AdapterProcess
from support.bombs import MODULE, children, many_locals, nested_ifs, wait_for


@pytest.mark.slow
def test_a_compiler_that_is_killed_is_an_error_and_the_next_one_is_fine(make_engine, monkeypatch):
    engine, begin, has_order = make_engine(), AdapterProcess.begin, threading.Event()

    def noted(self, identifier, line):
        if identifier:  # the greeting is 0: a process that ends before it is not the guest's fault
            os.kill(children()[0], signal.SIGSTOP)  # otherwise it might have done its work before it is killed
        pending = begin(self, identifier, line)
        if identifier:
            has_order.set()
        return pending

    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as thread:
        patch.setattr(AdapterProcess, "begin", noted)
        loading = thread.submit(engine.load, MODULE)
        assert has_order.wait(60)
        (compiler,) = children()
        os.kill(compiler, signal.SIGSEGV)
        os.kill(compiler, signal.SIGCONT)
        with pytest.raises(RuntimeDied, match=r"the compiler failed: .*it was killed by SIGSEGV") as caught:
            loading.result()
    assert caught.value.reason == "signal"
    assert engine.load(MODULE).was_compiled


def test_a_load_that_is_interrupted_leaves_no_process(make_engine, monkeypatch, scratch):
    engine = make_engine()
    ask = AdapterProcess.ask

    def interrupted(self, *order):
        threading.Thread(target=ask, args=(self, *order), daemon=True).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(AdapterProcess, "ask", interrupted)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # the thread above is told that the process was killed
    with pytest.raises(KeyboardInterrupt):
        engine.load(many_locals())
    assert children() == []
    assert [*scratch.glob("pytest-airssys-wasm-*")] == []


@pytest.mark.slow
def test_a_compiler_ends_when_the_process_that_asked_is_gone(tmp_path):
    (tmp_path / "bomb.wasm").write_bytes(wasmtime.wat2wasm(nested_ifs().decode()))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = f"""
        from pytest_airssys_wasm import ProcessIsolation, WasmEngine
        WasmEngine(isolation=ProcessIsolation(compile_timeout_ms="2 min")).load({str(tmp_path / "bomb.wasm")!r})
    """
    environment = {**os.environ, "TMPDIR": str(scratch)}
    started = subprocess.Popen([sys.executable, "-c", dedent(code)], env=environment)

    def grandchildren():
        try:
            tasks = [*Path(f"/proc/{started.pid}/task").iterdir()]
            return [one for task in tasks for one in (task / "children").read_text().split()]
        except OSError:
            return []

    [compiler] = wait_for(grandchildren)
    # Its threads are the one that looks after the process that asked, and those that compile.
    wait_for(lambda: len([*Path(f"/proc/{compiler}/task").iterdir()]) > 1)
    os.kill(int(compiler), signal.SIGSTOP)
    started.kill()
    started.wait()
    os.kill(int(compiler), signal.SIGCONT)
    wait_for(lambda: not Path(f"/proc/{compiler}").exists() or " Z " in Path(f"/proc/{compiler}/stat").read_text())
    # It has not ended because its work was done: that would have left an artefact.
    files = {path.name for path in scratch.rglob("*") if path.is_file() and not path.name.startswith(".")}
    assert files == {"source"}


@pytest.mark.slow
@pytest.mark.parametrize("program", ["compile_worker", "worker"])
def test_a_process_in_which_an_error_is_raised_ends_at_once(program):
    # The driver takes a process that ends slowly for one that is silent, and does not see why.
    script = f"""
        import atexit, runpy
        atexit.register(print, "an orderly end")
        runpy.run_module("pytest_airssys_wasm.isolation.{program}", run_name="__main__")
        """
    command = [sys.executable, "-c", dedent(script), "no descriptor"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        # Its input stays open: at the end of it, the driver has ended, and so does the process.
        process.stdin.write("no JSON\n" * 2)
        process.stdin.flush()
        assert process.wait(60) == 1
        told = process.stdout.read() + process.stderr.read()
    assert "Traceback" in told
    assert "an orderly end" not in told
