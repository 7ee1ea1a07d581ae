"""Notes about the files of guests: a file that has not changed is not read again, and one that has changed always is."""

from __future__ import annotations

import os

import pytest
import wasmtime

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.compile import notes, signatures, source_notes
from pytest_airssys_wasm.runtime.compile.cache import CompileCache
from pytest_airssys_wasm.runtime.engine import WasmEngine

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
ONE, TWO = (
    bytes(
        wasmtime.wat2wasm(
            f"""(module (import "env" "f" (func (param i32 v128))) (memory (export "m") 1 9)
            (func (export "f") (result i32) i32.const {number}) (func (export "g") (param (ref null func))))"""
        )
    )
    for number in (1, 2)
)


@pytest.fixture
def cache(tmp_path):
    return CompileCache(tmp_path / "cache")


@pytest.fixture
def at_once(monkeypatch):
    """Every file counts as settled, however young it is."""
    monkeypatch.setattr(signatures, "SETTLED_S", -1_000)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "guest.wasm"
    path.write_bytes(ONE)
    return path


@pytest.fixture
def reads(monkeypatch):
    """The sources that were read."""
    found = []
    read = source_notes.read_open
    monkeypatch.setattr(source_notes, "read_open", lambda *file: found.append(file[1]) or read(*file))
    return found


def load(cache, source):
    """Load a guest in an engine of its own, and return its imports and exports, its code and its size."""
    engine = WasmEngine(CompileCache(cache.directory))
    try:
        guest = engine.load(source)
        made = (guest.instance_bytes, guest.is_soon_interrupted, guest.loaded_by is engine)
        return str(guest.imports), str(guest.exports), bytes(guest.raw.serialize()), made
    finally:
        engine.close()


def test_a_guest_that_has_not_changed_is_loaded_without_reading_it(cache, source, at_once, reads):
    first = load(cache, source)
    assert len(reads) == 1
    assert [load(cache, source) for _ in range(2)] == [first] * 2
    assert len(reads) == 1


def test_a_component_and_text_are_not_read_again_either(cache, tmp_path, at_once, reads):
    component, text = tmp_path / "component.wasm", tmp_path / "module.wat"
    wat = '(component (core module (data "a")) (import "f" (func)))'
    component.write_bytes(wasmtime.wat2wasm(wat))
    text.write_text('(module (func (export "f")))')
    for path in (component, text):
        reads.clear()
        assert load(cache, path) == load(cache, path) == load(cache, path)
        assert len(reads) == 1


@pytest.mark.parametrize("way", ["rewritten", "rewritten, with the old time stamp", "replaced", "replaced by a link"])
def test_a_guest_that_has_changed_is_read_again(cache, source, at_once, way):
    load(cache, source)
    status = source.stat()
    if way.startswith("rewritten"):
        source.write_bytes(TWO)
    else:
        other = source.with_suffix(".new")
        other.write_bytes(TWO)
        if way == "replaced":
            other.replace(source)
        else:
            source.unlink()
            source.symlink_to(other)
    if way != "rewritten":
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load(cache, source) == load(CompileCache(cache.directory.with_name("other")), TWO)


def test_two_paths_of_equal_length_are_two_guests(cache, source, at_once):
    other = source.with_name("other.wasm")
    other.write_bytes(TWO)
    assert load(cache, source)[2] != load(cache, other)[2]
    assert load(cache, source)[2] != load(cache, other)[2]


def test_a_guest_that_changed_just_now_is_not_noted(cache, source):
    load(cache, source)
    assert [*cache.directory.glob("*.source")] == []


def test_a_guest_that_changed_just_before_a_long_compilation_is_not_noted(cache, source, monkeypatch):
    """It may have changed again within the same tick of the clock, just after it was read."""
    read, later_ns = source_notes.read_open, []

    def read_slowly(*file):
        later_ns.append(10**11)
        return read(*file)

    time_ns = signatures.time_ns
    monkeypatch.setattr(source_notes, "read_open", read_slowly)
    monkeypatch.setattr(signatures, "time_ns", lambda: time_ns() + sum(later_ns))
    load(cache, source)
    assert later_ns
    assert [*cache.directory.glob("*.source")] == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", ["replaced", "rewritten"])
def test_a_guest_that_changes_while_it_is_read_is_what_was_read(cache, source, at_once, monkeypatch, when, way):
    read = source_notes.read_open

    def change(moment):
        if moment == when and way == "rewritten":
            source.write_bytes(TWO)
        elif moment == when:
            other = source.with_suffix(".new")
            other.write_bytes(TWO)
            other.replace(source)

    def read_between(*file):
        change("before")
        content = read(*file)
        change("after")
        return content

    with monkeypatch.context() as patched:
        patched.setattr(source_notes, "read_open", read_between)
        content = TWO if (when, way) == ("before", "rewritten") else ONE
        assert load(cache, source)[2] == load(cache, content)[2]
    assert load(cache, source)[2] == load(cache, TWO)[2]


@pytest.mark.slow
def test_no_flipped_bit_of_a_note_is_believed(cache, source, at_once, reads):
    first = load(cache, source)
    [note] = cache.directory.glob("*.source")
    content = note.read_bytes()
    for at in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 1
        note.write_bytes(damaged)
        reads.clear()
        assert load(cache, source) == first
        assert len(reads) == 1, at


@pytest.mark.parametrize("damage", [b"", b"{", b"[" * 10_000, b"[]", b"00000000", b"x" * 2**21])
def test_a_damaged_note_causes_no_error(cache, source, at_once, damage):
    first = load(cache, source)
    [note] = cache.directory.glob("*.source")
    for content in (damage, notes._checksum(damage) + damage):
        note.write_bytes(content)
        assert load(cache, source) == first


@pytest.mark.parametrize("other", ["revision", "wasmtime"])
def test_a_file_noted_by_another_version_is_read_again(cache, source, at_once, reads, monkeypatch, other):
    first = load(cache, source)
    if other == "revision":
        monkeypatch.setattr(source_notes, "REVISION", source_notes.REVISION + 1)
    else:
        monkeypatch.setattr("pytest_airssys_wasm.runtime.engine.WASMTIME_VERSION", "50.0.9")
    reads.clear()
    assert load(cache, source) == load(cache, source) == first
    assert len(reads) == 1


def test_a_guest_with_too_many_declarations_is_read_each_time(cache, source, at_once, reads, monkeypatch):
    monkeypatch.setattr(notes, "_MOST_NOTE_BYTES", 300)
    assert load(cache, source) == load(cache, source)
    assert len(reads) == 2
    assert [*cache.directory.glob("*.source")] == []


def test_a_guest_whose_entry_is_gone_is_compiled_again(cache, source, at_once):
    first = load(cache, source)
    for entry in cache.directory.glob("*.cwasm"):
        entry.unlink()
    assert load(cache, source) == first
    assert len([*cache.directory.glob("*.cwasm")]) == 1


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_a_path_that_is_not_a_file_any_more_raises_an_error_that_says_so(cache, source, at_once, kind):
    load(cache, source)
    source.unlink()
    if kind == "folder":
        source.mkdir()
    elif kind == "pipe":
        os.mkfifo(source)
    with pytest.raises(Exception, match={"missing": "No such file", "folder": "directory", "pipe": "a pipe"}[kind]):
        load(cache, source)
