"""The server that forks for runs of pytest: nothing that it has forked outlives it."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.fork_server import Forks, plain_environment

ALIVE = """
def pytest_configure(config):
    config.alive = open("alive", "w")
    print("worker" if hasattr(config, "workerinput") else "run", file=config.alive, flush=True)
"""

LIVES_ON = """
import os, time

def test_lives_on(request):
    os.fork()
    print("test", file=request.config.alive, flush=True)
    time.sleep(30)
    print("lived on", file=request.config.alive, flush=True)
    os._exit(0)
"""


def test_closing_ends_the_run_its_workers_and_their_children(tmp_path):
    (tmp_path / "conftest.py").write_text(ALIVE)
    (tmp_path / "test_a.py").write_text(LIVES_ON)
    os.mkfifo(tmp_path / "alive")
    forks = Forks()
    with ThreadPoolExecutor() as executor:
        running = executor.submit(
            forks.run, ["-pxdist", "-n1"], cwd=tmp_path, environment=plain_environment(), timeout_s=120
        )
        with (tmp_path / "alive").open() as alive:
            assert sorted(alive.readline() for _ in range(4)) == ["run\n", "test\n", "test\n", "worker\n"]
            forks.close()
            assert alive.read() == ""
        assert isinstance(running.exception(), ValueError)  # there is no answer


def test_a_run_that_takes_too_long_is_ended_and_the_next_one_begins(tmp_path):
    (tmp_path / "test_a.py").write_text("import time\n\ndef test_a():\n    time.sleep(600)\n")
    (tmp_path / "test_b.py").write_text("def test_b():\n    pass\n")
    forks = Forks()
    environment = plain_environment()
    with pytest.raises(subprocess.TimeoutExpired):
        forks.run(["test_a.py"], cwd=tmp_path, environment=environment, timeout_s=0.1)
    status, output = forks.run(["test_b.py"], cwd=tmp_path, environment=environment, timeout_s=120)
    assert (status, "1 passed" in output) == (0, True)
    forks.close()
