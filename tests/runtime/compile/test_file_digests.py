"""Notes about sources: what has not changed is not hashed again, and what has changed always is."""

from __future__ import annotations

import hashlib
import json

import pytest

from pytest_airssys_wasm.runtime.compile import file_digests
from pytest_airssys_wasm.runtime.compile.cache import CompileCache


@pytest.fixture
def cache(tmp_path):
    return CompileCache(tmp_path / "cache")


@pytest.fixture
def noted(cache, tmp_path, monkeypatch):
    """A source that was read, and the note about it."""
    source = tmp_path / "guest.wasm"
    source.write_bytes(b"one")
    monkeypatch.setattr("pytest_airssys_wasm.runtime.compile.file_digests._SETTLED_NS", -(10**12))
    assert cache.read(source) == (b"one", sha256(b"one"))
    (note,) = cache.directory.glob("*.source")
    return source, note


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_a_source_that_has_not_changed_is_not_hashed_again(cache, noted):
    source, note = noted
    note.write_text(note.read_text().replace(sha256(b"one"), "f" * 64))
    assert cache.read(source) == (b"one", "f" * 64)


def test_a_source_that_has_changed_is_hashed_again(cache, noted):
    source, _ = noted
    source.write_bytes(b"two")
    assert cache.read(source) == (b"two", sha256(b"two"))


def test_a_source_that_changed_just_now_is_not_noted(cache, tmp_path):
    source = tmp_path / "guest.wasm"
    source.write_bytes(b"one")
    assert cache.read(source) == (b"one", sha256(b"one"))
    assert list(cache.directory.glob("*.source")) == []


@pytest.mark.parametrize(
    "damage", ["", "{", "[" * 10_000, "[]", '{"signature": SIGNATURE}', '{"signature": SIGNATURE, "digest": "*"}']
)
def test_a_damaged_note_is_no_error(cache, noted, damage):
    source, note = noted
    note.write_text(damage.replace("SIGNATURE", str(json.loads(note.read_text())["signature"])))
    assert cache.read(source) == (b"one", sha256(b"one"))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", ["replaced", "rewritten"])
def test_a_source_that_changes_while_it_is_read_has_the_digest_of_what_was_read(cache, noted, monkeypatch, when, way):
    source, _ = noted

    def change(moment):
        if moment == when and way == "rewritten":
            source.write_bytes(b"two")
        elif moment == when:
            other = source.with_suffix(".new")
            other.write_bytes(b"two")
            other.replace(source)

    read_open = file_digests.read_open

    def read(*file):
        change("before")
        content = read_open(*file)
        change("after")
        return content

    with monkeypatch.context() as patched:
        patched.setattr(file_digests, "read_open", read)
        content, digest = cache.read(source)
    assert digest == sha256(content)
    assert cache.read(source) == (b"two", sha256(b"two"))
