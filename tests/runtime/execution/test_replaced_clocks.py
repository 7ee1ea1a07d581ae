"""Limits hold where a test has frozen the time, replaced threads by greenlets, or put other files under `os`.

Each tool is tried in a process of its own: there is no way back from some of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.replaced import CALLS, ENDLESS_S, TIMEOUT_MS

TESTS = Path(__file__).parents[2]
FAST = [
    ("freezegun", "import", "thread"),
    ("freezegun", "engine", "thread"),
    ("freezegun", "call", "thread"),
    ("mock", "call", "thread"),
    ("gevent", "import", "thread"),
    ("gevent", "engine", "process"),
    ("replaced time", "import", "thread"),
    ("time-machine", "import", "thread"),
    ("mocked system", "call", "thread"),
    ("pyfakefs", "engine", "thread"),
    ("pyfakefs", "call", "thread"),
]
SLOW = [
    ("freezegun", "call", "process"),
    ("pyfakefs", "call", "process"),
    ("freezegun", "import", "process"),
    ("freezegun", "engine", "process"),
    ("mock", "import", "thread"),
    ("mock", "engine", "thread"),
    ("mock", "call", "process"),
    ("gevent", "import", "process"),
    ("gevent", "call", "thread"),
    ("gevent", "call", "process"),
    ("replaced time", "engine", "process"),
    ("time-machine", "call", "process"),
    ("mocked system", "call", "process"),
    ("pyfakefs", "engine", "process"),
]


@pytest.mark.parametrize(
    ("tool", "when", "mode"), [*FAST, *(pytest.param(*ways, marks=pytest.mark.slow) for ways in SLOW)]
)
def test_every_limit_of_time_holds(tool, when, mode):
    if tool == "time-machine" and find_spec("time_machine") is None:
        pytest.skip("time-machine is not installed")
    command = [sys.executable, "-m", "support.replaced", tool, when, mode]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=120)
    ended = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    assert [one["call"] for one in ended] == list(CALLS), done.stderr
    for one in ended:
        is_short = one["call"].startswith("add")
        assert one["verdict"] == ("ok" if is_short else "timeout"), one
        assert one["took_s"] < ENDLESS_S / 2, one
        # A process that was told to stop late measures what it has seen itself.
        assert (0 if is_short else TIMEOUT_MS / 2) <= one["wall_ms"] < 1_000 * ENDLESS_S / 2, one


@pytest.mark.slow
def test_an_import_among_other_files_says_what_to_do_and_works_afterwards():
    script = """if True:
        from pyfakefs.fake_filesystem_unittest import Patcher
        with Patcher():
            import pytest_airssys_wasm
            try:
                pytest_airssys_wasm.WasmEngine
            except ImportError as error:
                print(error)
        import pytest_airssys_wasm as wasm
        with wasm.WasmEngine() as engine:
            guest = engine.load('(module (func (export "f")))')
            print(engine.execute(guest, "f", limits=wasm.ResourceLimits(memory=0)).value)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    error, value = done.stdout.splitlines()
    assert error.startswith("other files stand in for those of this machine (pyfakefs)"), done
    assert "at the top of the module" in error
    assert value == "None"
