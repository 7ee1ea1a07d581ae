"""The compile cache: one compilation between processes, damage found, bounds kept, nobody else's code loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.compile import private_files
from pytest_airssys_wasm.runtime.compile.cache import CacheUnavailable, CompileCache
from pytest_airssys_wasm.runtime.engine import WasmEngine

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
GUEST = '(module (func (export "f") (result i32) i32.const 42))'


@pytest.fixture
def cache(tmp_path):
    return CompileCache(tmp_path / "cache")


def entries(cache):
    return sorted(cache.directory.glob("*.cwasm"))


def run(cache, guest=GUEST):
    engine = WasmEngine(cache)
    try:
        return engine.execute(engine.load(guest), "f", limits=LIMITS).value
    finally:
        engine.close()


class Counted:
    """Stands for the engine: counts what was compiled and loaded."""

    def __init__(self, cache):
        self.cache = cache
        self.events = []

    def fetch(self, key="k", content=b"artefact"):
        def load(path):
            self.events.append("load")
            return path.read_bytes()

        def compile_():
            self.events.append("compile")
            return content

        return self.cache.fetch(key, "name", 1, load, compile_, lambda made, path: path.write_bytes(made))


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


def test_what_others_left_in_a_folder_that_was_open_to_them_is_not_loaded_after_chmod(cache, monkeypatch):
    """The owner of what lies there counts, and not only that of the folder."""
    Counted(cache).fetch("k")
    again = Counted(CompileCache(cache.directory))
    assert again.cache._usable()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
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


def test_what_is_loaded_is_what_was_examined(cache):
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


def test_a_note_that_others_could_have_written_is_not_believed(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("pytest_airssys_wasm.runtime.compile.file_digests._SETTLED_NS", -(10**12))
    source = tmp_path / "guest.wasm"
    source.write_bytes(b"one")
    digest = cache.read(source)[1]
    [note] = cache.directory.glob("*.source")
    forged = note.read_text().replace(digest, "f" * 64)
    note.write_text(forged)
    assert cache.read(source)[1] == "f" * 64  # the note of this user is believed
    for kind in ("open", "group", "named twice", "pipe", "link", "endless"):
        note.unlink(missing_ok=True)
        note.write_text(forged)
        swap_for(kind)(note)
        assert cache.read(source)[1] == digest, kind


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


def test_the_folder_and_its_files_are_private(cache):
    run(cache)
    assert cache.directory.stat().st_mode & 0o777 == 0o700
    assert entries(cache)[0].stat().st_mode & 0o777 == 0o600


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
    glob = type(cache.directory).glob
    monkeypatch.setattr(type(cache.directory), "glob", lambda self, *of: looked.append(of) or glob(self, *of))
    again = Counted(CompileCache(cache.directory))
    assert [again.fetch("one") for _ in range(3)] == [b"artefact"] * 3
    assert (again.events, len(looked)) == (["load"] * 3, 1)
    again.fetch("two")  # is looked for once more, in case that somebody else was quicker
    looked.clear()
    again.fetch("two")
    assert (again.events[3:], looked) == (["compile", "load"], [])


def test_clearing_leaves_loaded_guests_usable(cache):
    engine = WasmEngine(cache)
    guest = engine.load(GUEST)
    cache.clear()
    assert entries(cache) == []
    assert engine.execute(guest, "f", limits=LIMITS).value == 42
    engine.close()


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


def test_links_in_a_circle_are_no_error(tmp_path):
    (tmp_path / "one").symlink_to("one")
    with pytest.warns(CacheUnavailable):
        assert Counted(CompileCache(tmp_path / "one" / "cache")).fetch() == b"artefact"


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
