"""The compile cache loads no code that somebody else could have written, and leaves the files of others alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_airssys_wasm.runtime.binary.facts import GuestFacts
from pytest_airssys_wasm.runtime.compile import private_files
from pytest_airssys_wasm.runtime.compile.cache import CacheUnavailable, CompileCache
from support.compile_cache import Counted, entries, run


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(tmp_path, mode):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    counted = Counted(CompileCache(folder))
    with pytest.warns(CacheUnavailable, match="chmod 700"):
        assert counted.fetch() == b"artefact"
    assert list(folder.iterdir()) == []


def swap_for(kind):
    def swap(entry):
        content = entry.read_bytes()
        if kind == "open":
            entry.chmod(0o666)
        elif kind == "group":
            entry.chmod(0o660)
        elif kind == "named twice":
            os.link(entry, entry.with_suffix(".other"))
        elif kind == "owned":
            os.chown(entry, 1234, 1234)
        else:
            entry.unlink()
            if kind == "pipe":
                os.mkfifo(entry)
            elif kind == "folder":
                entry.mkdir()
            elif kind == "link":
                entry.with_suffix(".other").write_bytes(content)
                entry.symlink_to(entry.with_suffix(".other"))
            elif kind == "endless":
                entry.symlink_to("/dev/zero")
            elif kind == "sparse":
                entry.touch()
                os.truncate(entry, 2**40)

    return swap


SWAPS = ("open", "group", "named twice", "pipe", "folder", "link", "endless", "sparse")
SWAPS_BY_ROOT = pytest.param("owned", marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away"))


@pytest.mark.parametrize("kind", [*SWAPS, SWAPS_BY_ROOT])
def test_an_entry_that_others_could_have_written_is_compiled_anew_and_told_once(cache, kind):
    Counted(cache).fetch("k")
    swap_for(kind)(entries(cache)[0])
    again = Counted(CompileCache(cache.directory))
    with pytest.warns(CacheUnavailable, match="empty the folder") as told:
        assert [again.fetch("k") for _ in range(2)] == [b"artefact"] * 2
    assert len(told) == 1
    assert again.events == ["compile", "compile" if kind == "folder" else "load"]
    assert Counted(CompileCache(cache.directory)).fetch("other") == b"artefact"


def test_files_that_others_left_in_a_folder_that_was_open_to_them_are_not_loaded_after_chmod(cache, monkeypatch):
    """The owner of what lies there counts, and not only that of the folder."""
    Counted(cache).fetch("k")
    again = Counted(CompileCache(cache.directory))
    assert again.cache._usable()
    monkeypatch.setattr(private_files.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.warns(CacheUnavailable, match=rf"it belongs to user {os.getuid()}; .*empty the folder"):
        found = again.cache._load(entries(cache), lambda path: path.read_bytes())
    assert found is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_have_code_loaded():
    # Not within pytest's own temporary folder, which is closed to others.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cache = CompileCache(Path(folder) / "cache")
        assert run(cache) == 42
        [entry] = entries(cache)
        content = entry.read_bytes()
        cache.directory.chmod(0o777)
        code = f"""
import os, pathlib
os.setgroups([]); os.setgid(1234); os.setuid(1234)
entry = pathlib.Path({os.fspath(entry)!r})
entry.unlink()
entry.write_bytes({content!r})
"""
        subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
        assert entry.stat().st_uid == 1234
        with pytest.warns(CacheUnavailable, match="empty it.*chmod 700"):
            assert run(CompileCache(cache.directory)) == 42
        cache.directory.chmod(0o700)
        with pytest.warns(CacheUnavailable, match="it belongs to user 1234; .*empty the folder"):
            assert run(CompileCache(cache.directory)) == 42
        assert [path.stat().st_uid for path in entries(cache)] == [0]


def test_the_file_that_is_loaded_is_the_one_that_was_examined(cache):
    Counted(cache).fetch("k")
    [entry] = entries(cache)

    def load(path):
        entry.unlink()
        entry.write_bytes(b"exchanged")
        return path.read_bytes()

    def never():
        raise AssertionError

    assert CompileCache(cache.directory).fetch("k", "name", 1, load, never, never) == b"artefact"


def test_without_proc_an_entry_that_is_exchanged_while_it_is_loaded_is_not_used(cache, monkeypatch):
    monkeypatch.setattr("pytest_airssys_wasm.runtime.compile.cache.path_of", lambda descriptor: None)
    assert run(cache) == run(cache) == 42
    counted = Counted(cache)
    counted.fetch("k")
    [entry] = cache.directory.glob("k.*.cwasm")

    def load(path):
        entry.unlink()
        entry.write_bytes(b"exchanged")
        return path.read_bytes()

    assert cache._load([entry], load) is None


def test_a_note_about_a_source_that_others_could_have_written_is_not_believed(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("pytest_airssys_wasm.runtime.compile.signatures.SETTLED_S", -1_000)
    source = tmp_path / "guest.wasm"
    source.write_bytes(b"one")
    facts = GuestFacts(
        kind="component", digest="0" * 64, size_bytes=3, instance_bytes=0, is_soon_interrupted=False, shape=None
    )
    cache.remember(source, cache.read(source, "50")[1], facts, "50")
    assert cache.facts(source, "50") == facts  # the note of this user is believed
    [note] = cache.directory.glob("*.source")
    content = note.read_bytes()
    for kind in ("open", "group", "named twice", "pipe", "link", "endless"):
        note.unlink(missing_ok=True)
        note.write_bytes(content)
        assert cache.facts(source, "50") == facts
        swap_for(kind)(note)
        assert cache.facts(source, "50") is None, kind


@pytest.mark.parametrize("kind", ["pipe", "link", SWAPS_BY_ROOT])
def test_a_lock_that_is_not_ours_is_removed(cache, tmp_path, kind):
    Counted(cache).fetch("other")
    lock, precious = cache.directory / "k.lock", tmp_path / "precious"
    precious.write_text("x")
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "link":
        lock.symlink_to(precious)
    else:
        lock.touch()
        os.chown(lock, 1234, 1234)
    counted = Counted(cache)
    assert counted.fetch("k") == b"artefact"
    assert (counted.events, precious.read_text()) == (["compile"], "x")


def test_the_folder_and_its_files_are_private(cache):
    run(cache)
    assert cache.directory.stat().st_mode & 0o777 == 0o700
    assert entries(cache)[0].stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("mode", "is_used"), [(0o777, False), (0o1777, True), (0o755, True)])
def test_a_folder_within_one_where_anyone_can_replace_it_is_not_used(tmp_path, mode, is_used):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    counted = Counted(CompileCache(tmp_path / "open" / "a" / "cache"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counted.fetch()
    assert bool(caught) != is_used
    assert bool(list((tmp_path / "open" / "a" / "cache").glob("*.cwasm"))) == is_used


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
@pytest.mark.parametrize("what", ["folder", "sticky folder", "link", "target of a link", "group"])
def test_a_folder_that_another_user_could_exchange_is_not_used(tmp_path, what):
    theirs = tmp_path / "theirs"
    (theirs / "a" / "cache").mkdir(parents=True, mode=0o700)
    place = theirs / "a" / "cache"
    place.chmod(0o700)
    if what == "group":
        os.chown(theirs, 0, 1234)
        theirs.chmod(0o775)
    elif what == "link":
        (tmp_path / "link").symlink_to("theirs")
        os.chown(tmp_path / "link", 1234, 1234, follow_symlinks=False)
        place = tmp_path / "link" / "a" / "cache"
    else:
        os.chown(theirs, 1234, 1234)
        theirs.chmod(0o1755 if what == "sticky folder" else 0o755)
    if what == "target of a link":
        (tmp_path / "mine").symlink_to(theirs / "a")
        place = tmp_path / "mine" / ".." / "a" / "cache"
    with pytest.warns(CacheUnavailable, match="(user|group) 1234 can put another in its place"):
        assert Counted(CompileCache(place)).fetch() == b"artefact"
    assert [*(theirs / "a" / "cache").iterdir()] == []


@pytest.mark.parametrize(
    ("name", "members", "is_private"),
    [("me", [], True), ("me", ["me"], True), ("me", ["me", "other"], False), ("staff", [], False), (None, [], False)],
)
def test_a_group_is_private_where_it_has_the_name_of_its_only_member(monkeypatch, name, members, is_private):
    def group(group_id):
        if name is None:
            raise KeyError(group_id)
        return SimpleNamespace(gr_name=name, gr_mem=members)

    monkeypatch.setattr(private_files.pwd, "getpwuid", lambda user_id: SimpleNamespace(pw_name="me"))
    monkeypatch.setattr(private_files.grp, "getgrgid", group)
    assert private_files._is_private_group(1000) == is_private


def test_a_folder_behind_links_of_ours_is_used(tmp_path):
    (tmp_path / "real" / "cache").mkdir(parents=True, mode=0o700)
    (tmp_path / "real" / "cache").chmod(0o700)
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to(tmp_path / "real" / "cache")
    Counted(CompileCache(tmp_path / "one")).fetch()
    assert len([*(tmp_path / "real" / "cache").glob("*.cwasm")]) == 1


def test_links_in_a_circle_cause_no_error(tmp_path):
    (tmp_path / "one").symlink_to("one")
    with pytest.warns(CacheUnavailable):
        assert Counted(CompileCache(tmp_path / "one" / "cache")).fetch() == b"artefact"
