"""A grant that cannot be made is refused where it is given, or where its directory is found to be gone, in both modes."""

from __future__ import annotations

import os

import pytest

from pytest_airssys_wasm import InvalidConfiguration, ResourceLimits, Wasi

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
GUEST = """(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
  (memory (export "memory") 1) (func (export "f")))"""


@pytest.fixture(scope="module", params=["thread", "process"])
def either_engine(request, new_engine):
    with new_engine(request.param) as engine:
        yield engine


@pytest.mark.parametrize(
    ("grants", "where"),
    [
        ({"args": ["\udc80"]}, "wasi.args"),
        ({"args": [b"a"]}, "wasi.args"),
        ({"args": ["a\0b"]}, "wasi.args"),
        ({"env": {"A": "\udc80"}}, "wasi.env"),
        ({"env": {"\ud800": "x"}}, "wasi.env"),
        ({"stdin": "\ud800"}, "wasi.stdin"),
        ({"stdin": bytearray(b"x")}, "wasi.stdin"),
        ({"preopen": {"/a\0b": ("/", "ro")}}, "wasi.preopen"),
        ({"preopen": {"/\udc80": ("/", "ro")}}, "wasi.preopen"),
        ({"preopen": {"": ("/", "ro")}}, "wasi.preopen"),
        ({"preopen": {b"/a": ("/", "ro")}}, "wasi.preopen"),
        ({"preopen": {"/a": (b"/", "ro")}}, r"wasi.preopen['/a']"),
        ({"preopen": {"/a": ("/\0", "ro")}}, r"wasi.preopen['/a']"),
        ({"preopen": {"/a": (3, "ro")}}, r"wasi.preopen['/a']"),
        ({"preopen": {"/a": (__file__, "ro")}}, r"wasi.preopen['/a']"),
        ({"preopen": {"/a": ("/", "rx")}}, r"wasi.preopen['/a']"),
    ],
)
def test_a_grant_that_cannot_be_made_is_refused_by_its_name(grants, where):
    with pytest.raises(InvalidConfiguration) as caught:
        Wasi(**grants)
    assert caught.value.where == where


def test_a_directory_whose_name_is_not_utf_8_cannot_be_granted(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    with pytest.raises(InvalidConfiguration, match="lone surrogates"):
        Wasi(preopen={"/a": (folder, "ro")})


@pytest.mark.slow
def test_a_directory_that_is_gone_is_not_a_fault_of_the_guest(either_engine, tmp_path):
    folder = tmp_path / "granted"
    folder.mkdir()
    wasi, guest = Wasi(preopen={"/a": (folder, "ro")}), either_engine.load(GUEST)
    either_engine.execute(guest, "f", limits=LIMITS, wasi=wasi)
    folder.rmdir()
    with pytest.raises(InvalidConfiguration, match="an existing directory of the host") as caught:
        either_engine.execute(guest, "f", limits=LIMITS, wasi=wasi)
    assert caught.value.where == "wasi.preopen['/a']"


OPENER = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "inside") (data (i32.const 16) "../outside") (data (i32.const 32) "link")
  (data (i32.const 48) "new") (data (i32.const 64) "/etc/passwd")
  (func $read (param i32 i32) (result i32)
    (call $open (i32.const 3) (i32.const 1) (local.get 0) (local.get 1) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 128)))
  (func (export "read-inside") (result i32) (call $read (i32.const 0) (i32.const 6)))
  (func (export "read-outside") (result i32) (call $read (i32.const 16) (i32.const 10)))
  (func (export "read-link") (result i32) (call $read (i32.const 32) (i32.const 4)))
  (func (export "read-absolute") (result i32) (call $read (i32.const 64) (i32.const 11)))
  (func (export "create") (result i32)
    (call $open (i32.const 3) (i32.const 1) (i32.const 48) (i32.const 3) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 128)))
  (func (export "write-inside") (result i32)
    (call $open (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 6) (i32.const 0) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 128))))"""


@pytest.mark.parametrize(("mode", "writes"), [("ro", False), ("rw", True)])
def test_a_guest_stays_within_its_folder_and_writes_only_where_it_may(either_engine, tmp_path, mode, writes):
    folder = tmp_path / "granted"
    folder.mkdir()
    (folder / "inside").write_text("kept")
    (tmp_path / "outside").write_text("secret")
    (folder / "link").symlink_to("../outside")
    wasi, guest = Wasi(preopen={"/d": (folder, mode)}), either_engine.load(OPENER)

    def opens(export):
        return either_engine.execute(guest, export, limits=LIMITS, wasi=wasi).value == 0

    assert opens("read-inside")
    assert [way for way in ("read-outside", "read-link", "read-absolute") if opens(way)] == []
    assert (opens("create"), opens("write-inside"), (folder / "new").exists()) == (writes, writes, writes)
