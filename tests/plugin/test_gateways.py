"""Workers of xdist with another interpreter, and in another folder with another cache, as on another machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.fuzzed_project import write_fuzzed_project
from support.passing import HEAD

TESTS = (
    HEAD
    + """
import sys

@pytest.mark.parametrize("n", range(4))
def test_count(component, n):
    component.count(10 + n)
    print("runs on", sys.executable)
"""
)


@pytest.fixture(scope="module")
def second_python(tmp_path_factory):
    """An interpreter of another environment, which finds the packages of this one."""
    environment = tmp_path_factory.mktemp("second") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "those-of-the-tests.pth").write_text("\n".join(filter(None, sys.path)) + "\n")
    return environment / "bin" / "python"


@pytest.fixture
def spread(guest):
    """Runs a project with workers that have gateways of their own."""
    guest.write(test_a=TESTS, pytest_ini="[pytest]\n")  # the root directory, in each copy of the folder
    return guest.run


def compiled(cache):
    return {path.name for path in Path(cache).rglob("*.cwasm")}


@pytest.mark.slow
def test_another_interpreter_shares_the_cache_and_the_snapshot(spread, guest, second_python):
    assert spread("--wasm-fuel-snapshot=update").code == 0
    cache = guest.environment["XDG_CACHE_HOME"]
    before = compiled(cache)
    gateways = ("-d", "--tx", f"popen//python={second_python}")
    ran = spread(*gateways, "--wasm-fuel-snapshot=check", "--wasm-report", "r.json")
    assert ran.code == 0, ran.text
    assert ran.text.count(f"runs on {second_python}") == ran.count("passed") == 4
    assert "8 unchanged" in ran.text
    assert compiled(cache) == before != set()
    report = json.loads(guest.path("r.json").read_text())
    assert len(report["executions"]) == 8


@pytest.mark.slow
def test_another_machine_shares_records_and_the_snapshot_but_neither_cache_nor_findings(
    spread, guest, second_python, tmp_path
):
    (tmp_path / "there").mkdir()
    write_fuzzed_project(guest.folder / "fuzzed")
    there = f"popen//python={second_python}//chdir={tmp_path / 'there'}//env:XDG_CACHE_HOME={tmp_path / 'cache'}"
    # xdist warns that version 4 will not copy folders any more.
    gateways = ("-Wignore::DeprecationWarning", "-d", "--tx", there, "--rsyncdir", str(guest.folder))

    ran = spread(*gateways, "--wasm-fuel-snapshot=update", "--wasm-report", "r.json", str(guest.folder / "test_a.py"))
    assert ran.code == 0, ran.text
    assert ran.text.count(f"runs on {second_python}") == 4
    assert len(json.loads(guest.path("r.json").read_text())["executions"]) == 8
    assert compiled(tmp_path / "cache")
    assert compiled(guest.environment["XDG_CACHE_HOME"]) == set()
    assert not (tmp_path / "there" / guest.folder.name / ".fuel-snapshot.json").exists()
    again = spread("--wasm-fuel-snapshot=check", "test_a.py")
    assert "8 unchanged" in again.text, again.text

    ran = spread(*gateways, "--airssys-wasm", "--wasm-fuzz=quick", str(guest.folder / "fuzzed"))
    assert "name-of-export(1234567)" in ran.text
    assert "to keep it, in Component.toml" in ran.text
    assert list((tmp_path / "there").rglob("wasm-fuzz"))
    assert list(guest.folder.rglob("wasm-fuzz")) == []
    # From the folder in which pytest was started, and not from the one in which the worker runs.
    assert "rerun    pytest --airssys-wasm --wasm-fuzz quick 'fuzzed/Component.toml::fuzz[name-of-export]'" in ran.text
