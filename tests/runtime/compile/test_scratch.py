"""Folders for a while: no killed process leaves one for ever, and nobody removes one that is in use."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_airssys_wasm.runtime.compile import scratch
from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder

HOLDER = """
from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder
folder = ScratchFolder("test")
(folder.path / "file").write_text("x")
print(folder.path, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def holder():
    """Another process that has a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_folder_goes_with_its_block_its_holder_or_its_process(temporary, holder):
    with ScratchFolder("test") as path:
        (path / "file").write_text("x")
    folder = ScratchFolder("test")
    assert len([*temporary.iterdir()]) == 2
    del folder
    holder.communicate("\n")
    assert [*temporary.iterdir()] == []


def test_what_a_killed_process_left_goes_with_the_next_folder_that_is_made(temporary, holder):
    holder.kill()
    holder.wait()
    assert len([*temporary.iterdir()]) == 1
    with ScratchFolder("test") as path:
        assert [*temporary.iterdir()] == [path]


def test_what_a_living_process_uses_stays(temporary, holder):
    first = ScratchFolder("test")
    with ScratchFolder("test"):
        assert len([*temporary.iterdir()]) == 3
    assert holder.poll() is None
    assert first.path.exists()


def test_what_is_no_folder_of_ours_stays(temporary):
    target = temporary / "target"
    target.mkdir()
    (target / "precious").write_text("x")
    link, file = temporary / "pytest-airssys-wasm-link", temporary / "pytest-airssys-wasm-file"
    link.symlink_to(target)
    file.write_text("x")
    with ScratchFolder("test"):
        pass
    assert sorted(temporary.rglob("*")) == sorted([link, file, target, target / "precious"])


def test_a_folder_that_is_removed_before_it_is_locked_is_made_again(temporary, monkeypatch):
    removed, lock = [], fcntl.flock

    def remove_first(descriptor, how):
        if not removed:
            removed.extend(temporary.iterdir())
            scratch._remove_abandoned()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with ScratchFolder("test") as path:
        assert path.exists()
        assert [*temporary.iterdir()] == [path] != removed


def test_nobody_loses_a_folder_while_many_come_and_go(temporary):
    def come_and_go(_):
        with ScratchFolder("test") as path:
            (path / "file").write_text("x")
            with ScratchFolder("test"):
                return (path / "file").exists()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(come_and_go, range(300)))
    assert [*temporary.iterdir()] == []
