"""Compilers that are killed, interrupted or left alone: an error, and nothing that stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
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
    engine, ask, is_compiling = make_engine(), AdapterProcess.ask, threading.Event()

    def noted(self, identifier, *order):
        if identifier:  # the greeting is 0: a process that ends before it is not the guest's fault
            is_compiling.set()
        return ask(self, identifier, *order)

    monkeypatch.setattr(AdapterProcess, "ask", noted)
    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(engine.load, many_locals())
        assert is_compiling.wait(60)
        os.kill(wait_for(children)[0], signal.SIGSEGV)
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
    code = f"""
        from pytest_airssys_wasm import ProcessIsolation, WasmEngine
        WasmEngine(isolation=ProcessIsolation()).load({str(tmp_path / "bomb.wasm")!r})
    """
    started = subprocess.Popen([sys.executable, "-c", dedent(code)])

    def grandchildren():
        try:
            tasks = [*Path(f"/proc/{started.pid}/task").iterdir()]
            return [one for task in tasks for one in (task / "children").read_text().split()]
        except OSError:
            return []

    def cpu_s(process_id):
        after_name = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    [compiler] = wait_for(grandchildren)
    wait_for(lambda: cpu_s(compiler) > 1)  # it has begun; this one takes several times that
    started.kill()
    started.wait()
    began = time.monotonic()
    wait_for(lambda: not Path(f"/proc/{compiler}").exists() or " Z " in Path(f"/proc/{compiler}/stat").read_text())
    assert time.monotonic() - began < 5
