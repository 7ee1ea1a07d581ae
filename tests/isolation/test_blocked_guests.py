"""A pytest run ends soon, and cleanly, whatever a guest waits for, wherever it runs; no process is left."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from support.busy_guest import GUEST

TESTS = """
    import threading
    import pytest
    from pytest_airssys_wasm import ExecutionTimeout

    pytestmark = [
        pytest.mark.component("guest.wat"), pytest.mark.memory("1 MiB"), pytest.mark.wasi(), pytest.mark.timeout_ms(100)
    ]

    @pytest.fixture
    def wasm_host(wasm_host):
        wasm_host.register("env#ask", lambda n: n and threading.Event().wait())
        return wasm_host

    def test_nothing(component):
        assert component.ask(0) == 0

    def test_sleeps_an_hour(component):
        with pytest.raises(ExecutionTimeout):
            component.sleep_an_hour()

    def test_waits_for_ever(component):
        with pytest.raises(ExecutionTimeout):
            component.ask(1)
    """


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_guests_that_wait_for_ever_do_not_keep_pytest(tmp_path, isolation):
    (tmp_path / "guest.wat").write_text(GUEST)
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--wasm-isolation={isolation}"]

    def seconds(*which):
        started = time.monotonic()
        ran = subprocess.run([*command, *which], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "warning" not in ran.stdout + ran.stderr
        return time.monotonic() - started

    # The one that waits for nothing does all else: to import, to compile, to start a process. On a quiet machine the
    # two others take 0.3 s more, in processes 0.9 s: each costs its process.
    without = seconds("-k", "nothing")
    assert seconds() < 4 * without + 2
    assert _processes_in(tmp_path) == []


def _processes_in(folder):
    """Processes that have to do with this folder: pytest stood in it, and its children are told of it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            told = (place / "cmdline").read_bytes() + os.fsencode((place / "cwd").readlink())
        except OSError:
            continue
        if os.fsencode(folder) in told:
            found.append(place.name)
    return found
