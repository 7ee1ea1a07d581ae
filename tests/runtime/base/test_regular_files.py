"""Files of users are read whole only where they are regular files within their bound; nothing else can hang or fill."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from pytest_airssys_wasm.runtime.base import regular_files
from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.base.regular_files import UnfitFile, open_regular, read_open, read_regular
from support.descriptors import no_file_stays_open


def pipe(path):
    os.mkfifo(path)


def unix_socket(path):
    here = Path.cwd()
    os.chdir(path.parent)  # such a path has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def sparse(path):
    path.touch()
    os.truncate(path, 40 * 2**30)


UNFIT = {
    "pipe": (pipe, "a pipe, not a regular file"),
    "socket": (unix_socket, "a socket, not a regular file"),
    "sparse": (sparse, "too large: it has 42,949,672,960 bytes, and at most 10 are read"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "a device, not a regular file"),
    "terminal": (lambda path: path.symlink_to("/dev/ptmx"), "a device, not a regular file"),
    "folder": (lambda path: path.mkdir(), os.strerror(errno.EISDIR)),
    "bound": (lambda path: path.write_bytes(b"x" * 11), "too large: it has 11 bytes, and at most 10 are read"),
    "unsized": (lambda path: path.symlink_to("/proc/self/environ"), "too large: it has more than 10 bytes"),
}


@pytest.mark.parametrize("is_linked", [False, True])
@pytest.mark.parametrize("kind", UNFIT)
def test_what_is_not_a_regular_file_within_its_bound_is_an_error_that_says_what_it_is(tmp_path, kind, is_linked):
    make, reason = UNFIT[kind]
    path = tmp_path / "it"
    make(path)
    if is_linked:
        path = tmp_path / "link"
        path.symlink_to("it")
    with no_file_stays_open(), pytest.raises(IsADirectoryError if kind == "folder" else UnfitFile) as caught:
        read_regular(path, 10)
    assert caught.value.strerror.startswith(reason)
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_a_file_within_its_bound_is_read_whole(tmp_path, size):
    (tmp_path / "file").write_bytes(b"x" * size)
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file", 10) == read_regular(str(tmp_path / "link"), 10) == b"x" * size


def test_a_file_without_a_size_is_read_to_its_end(monkeypatch):
    monkeypatch.setattr(regular_files, "_CHUNK_BYTES", 3)
    assert read_regular("/proc/self/cmdline", 2**20) == Path("/proc/self/cmdline").read_bytes()


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_a_path_that_cannot_be_one_is_no_other_error(path):
    with pytest.raises(UnfitFile, match="not the path of a file"):
        read_regular(path, 10)


def test_a_file_that_is_missing_or_refused_is_told_by_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "missing", 10)
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match="symbolic links"):
        read_regular(tmp_path / "link", 10)


def test_a_file_that_grows_while_it_is_read_stays_within_its_bound(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    monkeypatch.setattr(regular_files, "_CHUNK_BYTES", 2)
    with open_regular(path, 10) as descriptor:
        path.write_bytes(b"x" * 10)
        assert read_open(descriptor, path, 10) == b"x" * 10
    with open_regular(path, 10) as descriptor, path.open("ab") as more:
        more.write(b"x" * 100)
        more.flush()
        with pytest.raises(UnfitFile, match="more than 10"):
            read_open(descriptor, path, 10)


@pytest.mark.parametrize("kind", UNFIT)
def test_the_open_file_is_examined_whatever_was_at_its_path_before(tmp_path, kind, monkeypatch):
    make, reason = UNFIT[kind]
    plain, path = tmp_path / "plain", tmp_path / "it"
    plain.write_bytes(b"x")
    status = plain.stat()
    make(path)
    monkeypatch.setattr(system.os, "stat", lambda path, **how: status)
    with pytest.raises(IsADirectoryError if kind == "folder" else UnfitFile) as caught:
        read_regular(path, 10)
    assert kind == "socket" or caught.value.strerror.startswith(reason)


def test_what_is_read_is_what_was_examined(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with open_regular(path, 10) as descriptor:
        path.unlink()
        path.symlink_to("/dev/zero")
        assert read_open(descriptor, path, 10) == b"x"
