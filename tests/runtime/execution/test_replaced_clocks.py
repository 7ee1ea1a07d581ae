"""Limits hold where a test has frozen the time, replaced threads by greenlets, or put other files under `os`.

Each tool is tried in a process of its own: there is no way back from some of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
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
]


@pytest.mark.parametrize(
    ("tool", "when", "mode"), [*FAST, *(pytest.param(*ways, marks=pytest.mark.slow) for ways in SLOW)]
)
def test_every_limit_of_time_holds(tool, when, mode):
    command = [sys.executable, "-m", "support.replaced", tool, when, mode]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=120)
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["call"] for one in ended] == list(CALLS), done.stderr
    for one in ended:
        is_short = one["call"].startswith("add")
        assert one["verdict"] == ("ok" if is_short else "timeout"), one
        assert one["took_s"] < ENDLESS_S / 2, one
        # A process that was told to stop late measures what it has seen itself.
        assert (0 if is_short else TIMEOUT_MS / 2) <= one["wall_ms"] < 1_000 * ENDLESS_S / 2, one
