"""The soak in short, in a process of its own: `python tests/soak/soak.py` is the long form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = str(Path(__file__).with_name("soak.py"))


@pytest.mark.slow
def test_guests_that_end_in_every_way_at_once_end_as_they_do_alone_and_leave_nothing():
    short = ["--executions", "1500", "--slowest-ms", "15", "--each", "4"]
    done = subprocess.run([sys.executable, SOAK, *short], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    (ended,) = [line for line in done.stdout.splitlines() if line.startswith("ended: ")]
    endings = {ending.split()[0] for ending in ended.removeprefix("ended: ").split(", ")}
    assert endings >= {"ok", "out-of-fuel", "timeout", "out-of-memory", "resource-limit", "trap", "host-error"}
    assert "cancelled" in endings
