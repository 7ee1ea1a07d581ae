"""Checks of entries: an entry is read once, and again whenever it could be another one."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

import pytest

from pytest_airssys_wasm.runtime.compile import cache as cache_module
from pytest_airssys_wasm.runtime.compile import entries, entry_checks, signatures
from pytest_airssys_wasm.runtime.compile.cache import CompileCache


@pytest.fixture
def cache(tmp_path):
    return CompileCache(tmp_path / "cache")


@pytest.fixture
def at_once(monkeypatch):
    """Every file counts as settled, however young it is."""
    monkeypatch.setattr(signatures, "SETTLED_S", -1_000)


@pytest.fixture
def checksums(monkeypatch):
    """The number of the entries that were read, as the length of a list."""
    found = []
    checksum = cache_module.checksum_of
    monkeypatch.setattr(cache_module, "checksum_of", lambda file: found.append(file) or checksum(file))
    return found


def fetch(cache, key="k", content=b"artefact"):
    """Return what a new process would have loaded, and whether it would have been compiled."""
    compiled = []

    def compile_():
        compiled.append(True)
        return content

    def load(path):
        return path.read_bytes()

    cache = CompileCache(cache.directory, cache.max_bytes)
    found = cache.recall(key, load)
    if found is None:
        found = cache.fetch(key, "name", 1, load, compile_, lambda made, path: path.write_bytes(made))
    return found, bool(compiled)


def entry_of(cache, key="k"):
    [entry] = cache.directory.glob(f"{key}.*.cwasm")
    return entry


def test_an_entry_that_has_not_changed_is_read_once(cache, at_once, checksums):
    assert fetch(cache) == (b"artefact", True)
    assert [fetch(cache) for _ in range(3)] == [(b"artefact", False)] * 3
    assert len(checksums) == 1


def test_the_folder_is_not_listed_for_an_entry_that_has_not_changed(cache, at_once, monkeypatch):
    """It may have thousands of entries."""
    fetch(cache)
    fetch(cache)
    listed = []
    monkeypatch.setattr(entries.os, "scandir", lambda path: listed.append(path) or contextlib.nullcontext(()))
    again = CompileCache(cache.directory, cache.max_bytes)
    found = again.fetch("k", "name", 1, Path.read_bytes, list, lambda made, path: path.write_bytes(made))
    assert (found, listed) == (b"artefact", [])
    again.fetch("new", "name", 1, Path.read_bytes, list, lambda made, path: path.write_bytes(bytes(made)))
    assert listed


def test_an_entry_is_not_touched_by_its_use(cache, at_once):
    fetch(cache)
    before = entry_of(cache).stat()
    fetch(cache)
    assert signatures.signature_of(entry_of(cache).stat()) == signatures.signature_of(before)


def test_an_entry_that_was_written_just_now_is_read_each_time(cache, checksums):
    fetch(cache)
    assert [fetch(cache) for _ in range(3)] == [(b"artefact", False)] * 3
    assert len(checksums) == 3
    assert [*cache.directory.glob("*.checked")] == []


def test_an_entry_that_settles_while_it_is_read_is_read_again(cache, monkeypatch, checksums):
    """It may have been written again within the same tick of the clock, just after it was read."""
    fetch(cache)
    checksum, time_ns, later_ns = cache_module.checksum_of, signatures.time_ns, []
    monkeypatch.setattr(cache_module, "checksum_of", lambda file: later_ns.append(10**11) or checksum(file))
    monkeypatch.setattr(signatures, "time_ns", lambda: time_ns() + sum(later_ns))
    fetch(cache)
    assert [*cache.directory.glob("*.checked")] == []


@pytest.mark.parametrize("keeps", ["nothing", "the time stamp", "the file"])
def test_a_checked_entry_that_is_damaged_later_is_compiled_anew(cache, at_once, keeps):
    fetch(cache)
    fetch(cache)
    entry = entry_of(cache)
    status = entry.stat()
    if keeps == "nothing":
        entry.unlink()
        entry.write_bytes(b"artefacT")
        entry.chmod(0o600)
    elif keeps == "the time stamp":
        entry.write_bytes(b"artefacT")
        os.utime(entry, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        with entry.open("r+b") as file:
            file.write(b"A")
    assert fetch(cache) == (b"artefact", True)


@pytest.mark.parametrize("boot_id", ["another", None])
def test_a_check_holds_until_the_machine_is_started_again(cache, at_once, checksums, monkeypatch, boot_id):
    fetch(cache)
    fetch(cache)
    checksums.clear()
    monkeypatch.setattr(entry_checks, "read_boot_id", lambda: boot_id)
    assert [fetch(cache) for _ in range(2)] == [(b"artefact", False)] * 2
    assert len(checksums) == (2 if boot_id is None else 1)


def test_the_system_tells_when_the_machine_was_started():
    assert signatures.read_boot_id() == signatures.read_boot_id() != ""


def test_a_system_that_does_not_tell_when_it_was_started_causes_no_error(monkeypatch):
    monkeypatch.setattr(signatures, "_BOOT_ID", "/nowhere")
    assert signatures.read_boot_id() is None


def test_the_check_of_one_entry_is_never_taken_for_that_of_another(cache, at_once):
    for key in "kl":
        fetch(cache, key, key.encode())
        fetch(cache, key, key.encode())
    shutil.copy(cache.directory / "l.checked", cache.directory / "k.checked")
    assert fetch(cache, "k", b"k") == (b"k", False)


@pytest.mark.parametrize("name", ["../k.00000000.cwasm", "k.00000000.cwasm/../x", "k.0.cwasm", "l.00000000.cwasm", ""])
def test_a_note_leads_to_nothing_but_an_entry_of_its_key(cache, at_once, name):
    fetch(cache)
    fetch(cache)
    checks = cache._entries.checks
    known = checks.find("k")
    assert known is not None
    note = entry_checks.encode_note(entry_checks.CheckedEntry(name, known.signature, known.boot_id))
    (cache.directory / "k.checked").write_bytes(note)
    assert checks.find("k") is None
    assert fetch(cache) == (b"artefact", False)


@pytest.mark.parametrize("kind", ["mode", "link", "pipe", "folder"])
def test_a_note_that_others_could_have_written_is_not_believed(cache, at_once, checksums, kind):
    fetch(cache)
    fetch(cache)
    note = cache.directory / "k.checked"
    if kind == "mode":
        note.chmod(0o622)
    else:
        note.rename(note.with_suffix(".other"))
        if kind == "link":
            note.symlink_to(note.with_suffix(".other"))
        elif kind == "pipe":
            os.mkfifo(note)
        else:
            note.mkdir()
    checksums.clear()
    assert fetch(cache) == (b"artefact", False)
    assert len(checksums) == 1


@pytest.mark.parametrize("mode", [0o622, 0o660])
def test_a_checked_entry_that_others_could_write_to_is_compiled_anew(cache, at_once, mode):
    fetch(cache)
    fetch(cache)
    entry_of(cache).chmod(mode)
    with pytest.warns(cache_module.CacheUnavailable, match="others can write to it"):
        assert fetch(cache) == (b"artefact", True)


def test_the_entry_whose_use_is_noted_last_goes_last(tmp_path, at_once):
    cache = CompileCache(tmp_path / "cache", max_bytes=250)
    now_ns = time.time_ns()
    for key, age_s in (("a", 1_000), ("b", 2_000)):
        fetch(cache, key, key.encode() * 100)
        os.utime(entry_of(cache, key), ns=(0, now_ns - 3_000 * 10**9))
        fetch(cache, key)
        os.utime(cache.directory / f"{key}.checked", ns=(0, now_ns - age_s * 10**9))
    fetch(cache, "c", b"c" * 100)
    assert {path.name[0] for path in cache.directory.glob("*.cwasm")} == {"a", "c"}
    assert not (cache.directory / "b.checked").exists()


def test_the_use_of_a_checked_entry_is_noted(cache, at_once):
    fetch(cache)
    fetch(cache)
    note = cache.directory / "k.checked"
    os.utime(note, ns=(0, 0))
    fetch(cache)
    assert note.stat().st_mtime_ns > 0


def test_clearing_removes_the_notes(cache, at_once):
    fetch(cache)
    fetch(cache)
    assert (cache.directory / "k.checked").exists()
    cache.clear()
    assert [*cache.directory.iterdir()] == []
