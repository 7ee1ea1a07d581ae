"""The files that guests open in the folders that they were granted, and hold open."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_airssys_wasm import LimitedStore, ResourceLimitExceeded, ResourceLimits, Wasi
from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.execution import open_files
from pytest_airssys_wasm.runtime.execution.open_files import MOST_OPEN_FILES, OpenFiles
from support.bombs import wait_for

LIMITS = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=10_000)
OPENS = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "file")
  (func $one (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 2)
      (i32.const 0) (i32.const 128)))
  (func (export "open") (param $times i32)
    (loop $next
      (if (call $one) (then unreachable))
      (br_if $next (local.tee $times (i32.sub (local.get $times) (i32.const 1))))))
  (func (export "open-without-end") (loop $next (drop (call $one)) (br $next))))"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "file").write_text("content")
    return tmp_path


@pytest.fixture
def store(engine, folder):
    with LimitedStore(engine, LIMITS, wasi=Wasi(preopen={"/": (folder, "ro")})) as store:
        yield store


def held(folder):
    """Return the number of files that this process holds open below a folder."""
    paths = []
    for number in os.listdir("/proc/self/fd"):
        try:
            paths.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        except FileNotFoundError:
            continue
    return sum(path.startswith(f"{folder}/") for path in paths)


def refused(call, *args):
    with pytest.raises(ResourceLimitExceeded, match=f"more than {MOST_OPEN_FILES} files open") as caught:
        call(*args)
    assert caught.value.resource == "open-files"


def test_a_guest_that_opens_files_without_end_is_stopped_long_before_it_has_them_all(engine, store, folder):
    instance = store.instantiate(engine.load(OPENS))
    refused(instance.open_without_end)
    assert held(folder) < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    store.close()
    wait_for(lambda: held(folder) == 0)  # on a busy machine the guest is abandoned, and its thread closes the files


def test_an_awaited_guest_is_stopped_too(engine, store, folder):
    guest = engine.load(OPENS)
    refused(lambda: asyncio.run(store.execute_async(guest, "open-without-end")))
    assert held(folder) < resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_a_guest_without_a_timeout_that_opens_files_without_end_is_stopped_too(engine, folder):
    guest = engine.load(OPENS)
    limits = ResourceLimits(memory="1 MiB", fuel=10**9, timeout_ms=None)
    wasi = Wasi(preopen={"/": (folder, "ro")})
    refused(lambda: engine.execute(guest, "open-without-end", limits=limits, wasi=wasi))
    refused(lambda: asyncio.run(engine.execute_async(guest, "open-without-end", limits=limits, wasi=wasi)))


def test_a_guest_may_hold_some_files_open(engine, store, folder):
    instance = store.instantiate(engine.load(OPENS))
    instance.open(MOST_OPEN_FILES - 10)
    assert held(folder) == MOST_OPEN_FILES - 10


@pytest.mark.parametrize("is_awaited", [False, True])
def test_the_speed_of_a_guest_makes_no_difference(engine, store, monkeypatch, is_awaited):
    monkeypatch.setattr(open_files, "TICK_S", 60.0)  # nobody looks before it has returned
    guest = engine.load(OPENS)
    execute = (lambda *call: asyncio.run(store.execute_async(*call))) if is_awaited else store.execute
    refused(execute, guest, "open", MOST_OPEN_FILES + 1)


def test_the_calls_of_a_store_count_together(engine, store):
    instance = store.instantiate(engine.load(OPENS))
    for _ in range(2):
        instance.open(MOST_OPEN_FILES // 2)
    refused(instance.open, 1)


def test_files_of_the_host_do_not_count(engine, folder):
    with ExitStack() as opened:
        for _ in range(MOST_OPEN_FILES):
            opened.enter_context((folder / "file").open())
        store = opened.enter_context(LimitedStore(engine, LIMITS, wasi=Wasi(preopen={"/": (folder, "ro")})))
        for _ in range(MOST_OPEN_FILES):
            opened.enter_context(Path(__file__).open())
        store.execute(engine.load(OPENS), "open", MOST_OPEN_FILES - 10)


def test_a_process_with_few_descriptors_left_spares_fewer(engine, store, monkeypatch):
    monkeypatch.setattr(open_files, "LEAST_FREE_DESCRIPTORS", 2**40)
    instance = store.instantiate(engine.load(OPENS))
    instance.open(10)
    refused(instance.open, 10)


def test_files_that_others_have_closed_make_no_room_for_those_of_a_guest(folder):
    files = OpenFiles([folder])
    with ExitStack() as held_by_others:
        for _ in range(2 * MOST_OPEN_FILES):
            held_by_others.enter_context(Path(os.devnull).open("rb"))
        assert not files.are_too_many()
    assert not files.are_too_many()
    with ExitStack() as held_by_guests:
        for _ in range(MOST_OPEN_FILES + 1):
            held_by_guests.enter_context((folder / "file").open("rb"))
        assert files.are_too_many()


def test_open_files_are_counted_even_if_no_descriptor_is_left(folder, monkeypatch):
    def none_left(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    files = OpenFiles([folder])
    with ExitStack() as opened:
        for _ in range(MOST_OPEN_FILES + 1):
            opened.enter_context((folder / "file").open())
        monkeypatch.setattr(system.os, "listdir", none_left)
        assert files.are_too_many()
    assert not files.are_too_many()


def test_systems_that_do_not_tell_the_number_are_asked_for_the_list(monkeypatch):
    used = open_files.used_descriptors()
    assert used == pytest.approx(len(os.listdir("/proc/self/fd")), abs=4)
    monkeypatch.setattr(system.os, "stat", lambda _: os.stat_result([0] * 10))
    assert open_files.used_descriptors() == pytest.approx(used, abs=4)
