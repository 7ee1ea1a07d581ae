"""The script that looks for flaky cases finds one, and finds none where none is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.fork_server import plain_environment

SCRIPT = Path(__file__).with_name("steadiness.py")
FLAKY = """
from pathlib import Path

def test_steady():
    assert 1 + 1 == 2

def test_every_second_time():
    before = Path("before")
    if before.exists():
        before.unlink()
        raise AssertionError("it was there before")
    before.touch()

if Path("before").exists():
    def test_only_now_and_then(): ...
"""


@pytest.fixture
def run(tmp_path):
    """The script in a folder with a flaky test."""
    (tmp_path / "test_flaky.py").write_text(FLAKY, encoding="utf-8")
    # Plugins of others take a second to import in each run.
    environment = {
        **plain_environment(),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "-p airssys_wasm",
    }

    def run_script(*arguments):
        command = [sys.executable, str(SCRIPT), "--folder", str(tmp_path), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run_script


@pytest.mark.slow
def test_what_ends_differently_is_named_with_its_runs_and_reasons(run):
    done = run("--runs=3", "--", ".")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "| 1 passed, 1 failed, 0 skipped | 1 |" not in done.stdout
    assert done.stdout.count("| 2 passed, 0 failed, 0 skipped | 0 |") == 2
    differences = done.stdout.partition("2 differences\n\n")[2]
    assert differences.splitlines() == [
        "test_flaky.py::test_every_second_time",
        "  failed in 2",
        "  passed in 1, 3",
        "  2: AssertionError: it was there before",
        "test_flaky.py::test_only_now_and_then",
        "  passed in 2",
        "  not run in 1, 3",
    ]


@pytest.mark.slow
def test_what_ends_alike_each_time_is_steady(run):
    done = run("--runs=2", "--", "-k", "steady")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 differences\n" in done.stdout


@pytest.mark.slow
def test_a_run_without_a_report_ends_it(run):
    done = run("--runs=2", "--loaded", "--", "--no-such-option")
    assert done.returncode == 1
    assert "beside busy cores" in done.stdout
    assert "pytest wrote no report, exit status 4" in done.stderr
