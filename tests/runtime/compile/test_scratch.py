"""Folders for a while: no killed process leaves one for ever, and nobody removes one that is in use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import pytest

from pytest_airssys_wasm import InvalidConfiguration
from pytest_airssys_wasm.runtime.base.originals import system
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


@pytest.fixture
def abandoned(temporary, holder):
    """A folder of a process that was killed."""
    holder.kill()
    holder.wait()
    [path] = temporary.iterdir()
    return path


@pytest.mark.parametrize("is_marked", [False, True])
def test_a_folder_of_that_name_that_no_process_made_stays(temporary, abandoned, is_marked):
    """A checkout, a zip that was unpacked, a copy of a folder that was found there."""
    checkout = temporary / "pytest-airssys-wasm-0.1.0"
    shutil.copytree(abandoned, checkout)
    if not is_marked:
        (checkout / scratch._MARK).unlink()
    with ScratchFolder("test"):
        pass
    assert [*temporary.iterdir()] == [checkout]
    assert (checkout / "file").read_text() == "x"


@pytest.mark.parametrize("mark", ["folder", "link", "pipe", "empty", "other"])
def test_what_is_not_a_mark_of_ours_marks_nothing(temporary, abandoned, mark):
    place = abandoned / scratch._MARK
    content = place.read_bytes()
    place.unlink()
    if mark == "folder":
        place.mkdir()
    elif mark == "link":
        (temporary / "elsewhere").write_bytes(content)
        place.symlink_to(temporary / "elsewhere")
    elif mark == "pipe":
        os.mkfifo(place)
    else:
        place.write_bytes(b"" if mark == "empty" else content + b"x")
    with ScratchFolder("test"):
        pass
    assert (abandoned / "file").exists()


def test_what_another_user_marked_stays(temporary, abandoned, monkeypatch):
    monkeypatch.setattr(system.os, "geteuid", lambda: os.getuid() + 1)
    scratch._remove_abandoned()
    monkeypatch.undo()
    assert (abandoned / "file").exists()
    if os.geteuid() == 0:
        os.chown(abandoned / scratch._MARK, 1234, 1234)
        scratch._remove_abandoned()
        assert (abandoned / "file").exists()


def test_links_within_an_abandoned_folder_lead_to_no_loss(temporary, abandoned):
    outside = temporary / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (abandoned / "deep" / "er").mkdir(parents=True)
    (abandoned / "deep" / "er" / "file").write_text("x")
    (abandoned / "deep" / "folder").symlink_to(outside)
    (abandoned / "precious").symlink_to(outside / "precious")
    with ScratchFolder("test"):
        pass
    assert sorted(temporary.rglob("*")) == [outside, outside / "precious"]


def test_another_folder_that_stands_in_the_place_of_ours_stays(temporary):
    folder = ScratchFolder("test")
    (folder.path / "file").write_text("x")
    folder.path.rename(temporary / "moved")
    folder.path.mkdir()
    assert not folder.is_there
    folder.remove()
    assert sorted(temporary.rglob("*")) == sorted([folder.path, temporary / "moved"])


def test_the_end_of_a_forked_process_takes_nothing_from_its_parent(temporary):
    code = """
        import os, sys
        from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder
        kept = ScratchFolder("test")
        with ScratchFolder("test") as path:
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
                assert path.exists() and kept.path.exists() and kept.is_there
            else:
                assert not kept.is_there
        if child:
            assert kept.path.exists() and not path.exists()
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert [*temporary.iterdir()] == []


def test_a_folder_that_cannot_be_marked_leaves_nothing(temporary, monkeypatch):
    def full(descriptor, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(system.os, "write", full)
    with pytest.raises(InvalidConfiguration, match=r"TMPDIR.*No space left on device"):
        ScratchFolder("test")
    assert [*temporary.iterdir()] == []


@pytest.mark.slow
def test_nobody_loses_a_folder_while_many_come_and_go(temporary):
    def come_and_go(_):
        with ScratchFolder("test") as path:
            (path / "file").write_text("x")
            with ScratchFolder("test"):
                return (path / "file").exists()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(come_and_go, range(300)))
    assert [*temporary.iterdir()] == []
