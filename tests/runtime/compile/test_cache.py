"""The compile cache compiles once between processes, finds damage, keeps its bounds, and is never an error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from pytest_airssys_wasm.runtime.compile.cache import CacheUnavailable, CompileCache
from pytest_airssys_wasm.runtime.engine import WasmEngine
from support.compile_cache import GUEST, LIMITS, Counted, entries, run


def test_a_second_engine_maps_what_the_first_compiled(cache):
    assert run(cache) == 42
    (entry,) = entries(cache)
    before = entry.stat().st_ino
    assert run(cache) == 42
    assert [path.stat().st_ino for path in entries(cache)] == [before]


def test_the_folder_may_be_given_as_text(tmp_path):
    assert CompileCache(str(tmp_path)).directory == tmp_path


def test_components_and_modules_are_cached_alike(cache):
    component = """(component (core module $m (func (export "f") (result i32) i32.const 42))
      (core instance $i (instantiate $m)) (func (export "f") (result u32) (canon lift (core func $i "f"))))"""
    assert (run(cache, component), run(cache, component)) == (42, 42)
    assert len(entries(cache)) == 1


@pytest.mark.parametrize("where", [0, 0.3, 0.6, 0.999])
def test_a_flipped_byte_is_found_and_compiled_again(cache, where):
    run(cache)
    (entry,) = entries(cache)
    content = bytearray(entry.read_bytes())
    content[int(len(content) * where)] ^= 1
    entry.write_bytes(content)
    assert run(cache) == 42
    assert entries(cache)[0].read_bytes() != bytes(content)


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 100_000])
def test_a_damaged_entry_is_replaced(cache, content):
    run(cache)
    entries(cache)[0].write_bytes(content)
    assert run(cache) == 42


def test_an_entry_that_wasmtime_refuses_is_replaced(cache):
    import zlib

    run(cache)
    (entry,) = entries(cache)
    key = entry.name.rsplit(".", 2)[0]
    entry.unlink()
    (cache.directory / f"{key}.{zlib.crc32(b'no artefact'):08x}.cwasm").write_bytes(b"no artefact")
    assert run(cache) == 42
    assert len(entries(cache)) == 1


def test_clearing_passes_over_what_is_no_file(cache):
    Counted(cache).fetch()
    (cache.directory / "folder.cwasm").mkdir()
    os.mkfifo(cache.directory / "pipe.source")
    cache.clear()
    assert [path.name for path in cache.directory.iterdir()] == ["folder.cwasm"]


@pytest.mark.parametrize("folder", ["missing", "open", "file"])
def test_a_cache_that_cannot_be_used_says_so_once_and_is_never_an_error(tmp_path, folder):
    place = tmp_path / folder
    if folder == "open":
        place.mkdir()
        place.chmod(0o777)
    else:
        (tmp_path / "file").write_text("")
        place = tmp_path / "file" / "missing" if folder == "missing" else tmp_path / "file"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("error")
        counted = Counted(CompileCache(place))
        assert [counted.fetch(key) for key in "abc"] == [b"artefact"] * 3
    assert [one.category for one in told] == [CacheUnavailable]


def test_a_full_disk_is_told_once_and_is_never_an_error(cache, monkeypatch):
    Counted(cache).fetch("other")

    def full(*how, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("error")
        assert [Counted(cache).fetch(key) for key in "abc"] == [b"artefact"] * 3
    assert [str(one.message).rpartition(": ")[2] for one in told] == ["[Errno 28] No space left on device"]


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(CacheUnavailable):
        assert Counted(CompileCache(tmp_path / "file" / "cache")).fetch() == b"artefact"


def test_the_least_recently_used_entry_goes_first(tmp_path):
    cache = CompileCache(tmp_path / "cache", max_bytes=250)
    counted = Counted(cache)
    for age, key in ((3, "a"), (2, "b")):
        counted.fetch(key, key.encode() * 100)
        os.utime(next(cache.directory.glob(f"{key}.*")), ns=(0, 10**18 - age * 10**9))
    counted.fetch("a")  # used again: now b is the oldest
    counted.fetch("c", b"c" * 100)
    assert {path.name[0] for path in entries(cache)} == {"a", "c"}


def test_what_other_processes_write_and_remove_meanwhile_is_noticed(tmp_path):
    here, elsewhere = (Counted(CompileCache(tmp_path / "cache")) for _ in "ab")
    here.fetch("first")
    elsewhere.fetch("k")
    here.fetch("k")
    assert here.events == ["compile", "load"]
    entries(elsewhere.cache)[0].unlink()
    entries(elsewhere.cache)[0].unlink()
    for key in ("first", "k"):
        assert here.fetch(key) == b"artefact"
    assert here.events == ["compile", "load", "compile", "compile"]


def test_what_is_there_is_looked_for_once(cache, monkeypatch):
    Counted(cache).fetch("one")
    looked = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked.append(path) or scandir(path))
    again = Counted(CompileCache(cache.directory))
    assert [again.fetch("one") for _ in range(3)] == [b"artefact"] * 3
    assert (again.events, len(looked)) == (["load"] * 3, 1)
    again.fetch("two")  # is looked for once more, in case that somebody else was quicker
    looked.clear()
    again.fetch("two")
    assert (again.events[3:], looked) == (["compile", "load"], [])


def test_a_thread_finds_what_another_is_listing(cache, monkeypatch):
    Counted(cache).fetch("one")
    again, scandir, found = CompileCache(cache.directory), os.scandir, []

    def scan(path):
        monkeypatch.undo()
        other = threading.Thread(target=lambda: found.append(again._entries._seen))
        other.start()
        other.join()
        return scandir(path)

    for note in cache.directory.glob("*.checked"):
        note.unlink()
    monkeypatch.setattr(os, "scandir", scan)
    assert Counted(again).fetch("one") == b"artefact"
    assert found == [None]  # neither all of it nor a part


def test_clearing_leaves_loaded_guests_usable(cache):
    engine = WasmEngine(cache)
    guest = engine.load(GUEST)
    cache.clear()
    assert entries(cache) == []
    assert engine.execute(guest, "f", limits=LIMITS).value == 42
    engine.close()


@pytest.mark.slow
def test_processes_that_start_together_compile_once(tmp_path):
    script = """
import sys, time
from pathlib import Path
from pytest_airssys_wasm.runtime.compile.cache import CompileCache
def compile_():
    print("compiled", flush=True)
    time.sleep(0.5)  # long enough for the others to arrive
    return b"x"
CompileCache(Path(sys.argv[1])).fetch("k", "n", 1, lambda path: path.read_bytes(), compile_, lambda made, path: path.write_bytes(made))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "c")], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert "".join(outputs).count("compiled") == 1


def test_the_folder_is_not_listed_for_each_guest_that_is_compiled(cache, monkeypatch):
    """It may have thousands of entries, and listing it takes longer than compiling a small guest."""
    Counted(cache).fetch("first")
    listed = []
    monkeypatch.setattr(Path, "glob", lambda path, pattern: listed.append(pattern) or iter(()))
    for key in ("second", "third"):
        assert Counted(cache).fetch(key) == b"artefact"
    assert not listed
    (cache.directory / "fourth.lock").touch()  # another process has compiled it, or is about to
    assert Counted(cache).fetch("fourth") == b"artefact"
    assert listed == ["fourth.*.cwasm"]


def test_what_killed_processes_left_goes_after_a_while(cache):
    Counted(cache).fetch()
    kinds = {".part": 2 * 3_600, ".lock": 40 * 86_400, ".source": 40 * 86_400}
    for suffix, age_s in kinds.items():
        for name, age in (("old", age_s), ("new", 60)):
            path = cache.directory / f"{name}{suffix}"
            path.write_bytes(b"x")
            os.utime(path, (time.time() - age,) * 2)
    Counted(cache).fetch("soon after")
    assert {f"old{suffix}" for suffix in kinds} <= {path.name for path in cache.directory.iterdir()}
    Counted(CompileCache(cache.directory)).fetch("of the next process")
    left = {path.name for path in cache.directory.iterdir()}
    assert {f"new{suffix}" for suffix in kinds} <= left
    assert not {f"old{suffix}" for suffix in kinds} & left


def test_a_lock_that_cannot_be_taken_is_no_error(cache):
    assert Counted(cache).fetch("other") == b"artefact"
    (cache.directory / "k.lock").mkdir()
    counted = Counted(cache)
    with pytest.warns(CacheUnavailable, match="lock"):
        assert counted.fetch() == b"artefact"
    assert counted.events == ["compile"]


def test_an_artefact_that_cannot_be_written_leaves_nothing_and_is_no_error(cache):
    Counted(cache).fetch("other")

    def fail(made, path):
        path.write_bytes(made[:3])
        raise OSError("no space left")

    with pytest.warns(CacheUnavailable, match="no space left"):
        assert cache.fetch("k", "name", 1, lambda path: b"", lambda: b"artefact", fail) == b"artefact"
    assert {path.suffix for path in cache.directory.iterdir()} == {".cwasm", ".lock"}
    assert len([*cache.directory.glob("*.cwasm")]) == 1


def test_a_folder_that_vanishes_is_no_error(cache):
    Counted(cache).fetch()
    shutil.rmtree(cache.directory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheUnavailable)
        assert Counted(cache).fetch("other") == b"artefact"


def test_a_long_compilation_says_that_it_goes_on(tmp_path, monkeypatch):
    import threading

    told = []
    monkeypatch.setattr("pytest_airssys_wasm.runtime.compile.cache._TICK_S", 0.01)
    go_on = threading.Event()

    def on_progress(progress):
        told.append(progress)
        go_on.set()

    cache = CompileCache(tmp_path / "cache", on_progress=on_progress)
    cache.fetch(
        "k",
        "big.wasm",
        18_000_000,
        lambda path: b"",
        lambda: go_on.wait(30) and b"x",
        lambda made, path: path.write_bytes(made),
    )
    assert (told[0].name, told[0].size_bytes) == ("big.wasm", 18_000_000)
    assert told[0].elapsed_s > 0


def test_an_error_of_the_compiler_is_raised_as_it_is(tmp_path):
    def fail():
        raise ValueError("no")

    cache = CompileCache(tmp_path / "cache", on_progress=lambda progress: None)
    with pytest.raises(ValueError, match="no"):
        cache.fetch("k", "n", 1, lambda path: b"", fail, lambda made, path: path.write_bytes(made))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Counted(cache).fetch() == b"artefact"
