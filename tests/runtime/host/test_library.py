"""The ready-made host functions do what is granted, and nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from freezegun import freeze_time

from pytest_airssys_wasm.runtime.base.values import Err, Ok, Variant
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout, InvalidConfiguration
from pytest_airssys_wasm.runtime.execution.awaiting import loop_waker, timekeeper
from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWakers
from pytest_airssys_wasm.runtime.host import library as reference
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.host.library import ReferenceFunctions
from support.asking_guest import asked


@pytest.fixture
def ask(engine):
    return partial(asked, engine)


@pytest.fixture
def files(tmp_path):
    root = tmp_path / "root"
    (root / "below").mkdir(parents=True)
    (root / "below" / "note.txt").write_text("hello")
    (root / "large").write_bytes(b"x" * 2_000)
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize("through_loop", [True, False])
def test_a_file_below_the_root_is_read(ask, files, through_loop):
    for path in ("below/note.txt", "./below//note.txt"):
        assert ask("read", path, files=files, through_loop=through_loop) == (Ok(b"hello"), ())


@pytest.mark.parametrize("path", ["../secret", "below/../../secret", "/etc/passwd", "..", "a\0b"])
def test_a_path_that_leads_out_is_denied_and_on_record(ask, files, path):
    assert ask("read", path, files=files) == (Err(Variant("not-granted")), (f"read-file {path}",))


@pytest.mark.parametrize(
    "path", ["link", "out/secret", "missing", "below", "", ".", "pipe", "pipe/x", "below/note.txt/x"]
)
def test_what_is_no_plain_file_below_the_root_is_not_found(ask, files, path):
    assert ask("read", path, files=files) == (Err(Variant("not-found")), ())


@pytest.fixture
def then(monkeypatch):
    """Do something right after the reader has called this function of `os` with this name."""

    def arrange(function, name, act):
        original = getattr(os, function)

        def called(path, *args, **more):
            found = original(path, *args, **more)
            if path == name:
                act()
            return found

        monkeypatch.setattr(reference.os, function, called)

    return arrange


def test_a_file_that_is_exchanged_for_a_link_is_not_followed(ask, files, then):
    def exchange():
        (files / "large").unlink()
        (files / "large").symlink_to(files.parent / "secret")

    then("stat", "large", exchange)
    assert ask("read", "large", files=files) == (Err(Variant("not-found")), ())


def test_a_file_that_is_exchanged_for_a_pipe_blocks_nobody(ask, files, then):
    def exchange():
        (files / "large").unlink()
        os.mkfifo(files / "large")

    then("stat", "large", exchange)
    assert ask("read", "large", files=files) == (Err(Variant("not-found")), ())


def test_a_folder_that_is_exchanged_for_a_link_is_not_followed(ask, files, then):
    (files.parent / "note.txt").write_text("secret")

    def exchange():
        (files / "below").rename(files / "gone")
        (files / "below").symlink_to(files.parent)

    then("open", os.fspath(files), exchange)
    assert ask("read", "below/note.txt", files=files) == (Err(Variant("not-found")), ())


def test_a_folder_that_is_exchanged_after_it_was_opened_is_read_where_it_was(ask, files, then):
    (files.parent / "note.txt").write_text("secret")

    def exchange():
        (files / "below").rename(files / "gone")
        (files / "below").symlink_to(files.parent)

    then("open", "below", exchange)
    assert ask("read", "below/note.txt", files=files) == (Ok(b"hello"), ())


@pytest.mark.parametrize("path", ["pipe", "below", "link"])
def test_what_is_no_plain_file_is_not_even_opened(ask, files, then, path):
    opened = []
    then("open", path, lambda: opened.append(path))
    ask("read", path, files=files)
    assert opened == []


def test_no_descriptor_is_left_open_whatever_was_asked_for(ask, files):
    assert opened_below(files.parent) == []
    with (files / "large").open():
        assert len(opened_below(files.parent)) == 1
    for path in ("below/note.txt", "below/missing", "below/note.txt/x", "pipe", "link", "out/secret", "large"):
        ask("read", path, files=files, most_bytes=100)
    assert opened_below(files.parent) == []


def opened_below(folder):
    """Return the open files of this process below a folder; other open files do not count."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of this very listing
            found.append(entry.readlink())
    return [path for path in found if path.is_relative_to(folder)]


def test_a_path_longer_than_any_is_not_found(ask, files, then):
    opened = []
    then("open", os.fspath(files), lambda: opened.append("root"))
    assert ask("read", "./" * 2_049 + "large", files=files)[0] == Err(Variant("not-found"))
    assert opened == []


def test_a_name_that_the_system_cannot_write_is_not_found(ask, files, then):
    (files / "\u00e9").write_text("hello")

    def fail():
        raise UnicodeEncodeError("ascii", "\u00e9", 0, 1, "ordinal not in range(128)")

    then("stat", "\u00e9", fail)
    assert ask("read", "\u00e9", files=files) == (Err(Variant("not-found")), ())


def test_nothing_is_read_without_a_root(ask):
    assert ask("read", "note.txt") == (Err(Variant("not-granted")), ("read-file note.txt",))


def test_a_file_that_is_too_large_says_so(ask, files):
    assert ask("read", "large", files=files, most_bytes=1_999)[0] == Err(Variant("too-large", 1_999))
    assert ask("read", "large", files=files, most_bytes=2_000)[0] == Ok(b"x" * 2_000)


def test_of_a_file_that_is_too_large_only_so_much_is_read(ask, files):
    os.truncate(files / "large", 2**40)
    assert ask("read", "large", files=files, most_bytes=2_000)[0] == Err(Variant("too-large", 2_000))


@pytest.mark.parametrize(("interface", "prefix"), [("", ""), ("a:b/c@1.0.0", "a:b/c@1.0.0#")])
def test_the_functions_are_those_of_the_interface_that_is_named(interface, prefix):
    host = HostFunctions()
    ReferenceFunctions().register(host, interface)
    assert host.names == [prefix + name for name in ("http-get", "read-file", "sleep")]


def test_a_sleep_ends_at_the_guests_deadline(ask):
    limits = ResourceLimits(memory="4 MiB", fuel=None, timeout_ms=50)
    for through_loop in (True, False):
        with pytest.raises(ExecutionTimeout) as caught:
            ask("nap", 3_600_000, limits=limits, through_loop=through_loop)
        assert caught.value.usage.wall_ms < 5_000


def test_a_sleep_is_over_when_its_time_is(ask):
    started = time.monotonic()
    assert ask("nap", 50) == (Ok(None), ())
    assert time.monotonic() - started >= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("through_loop", [True, False])
def test_a_sleep_follows_no_clock_of_a_test(ask, through_loop):
    with freeze_time("2020-01-01"):
        assert ask("nap", 30, through_loop=through_loop) == (Ok(None), ())


def test_a_sleep_of_weeks_leaves_nothing_behind_when_it_is_cancelled(monkeypatch):
    monkeypatch.setattr(loop_waker, "_LONGEST_S", 0.001)
    wakers = LoopWakers()

    async def cancelled():
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wakers.sleep(10**6), 0.02)
        while wakers.timekeeper._due:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(cancelled(), 30))


def test_tasks_that_sleep_wake_in_the_order_of_their_times(monkeypatch):
    clock = SimpleNamespace(seconds=0.0)
    for module in (loop_waker, timekeeper):
        monkeypatch.setattr(module, "monotonic", lambda: clock.seconds)
    wakers, woken = LoopWakers(), []

    async def sleep(ms):
        await wakers.sleep(ms / 1_000)
        woken.append(ms)

    async def all_of_them():
        times = (120, 0, 60, 10)
        tasks = [*map(asyncio.ensure_future, map(sleep, times))]
        while len(wakers.timekeeper._due) < 3:  # nobody waits for 0 ms
            await asyncio.sleep(0)
        clock.seconds = 1.0  # all of them are due at once
        await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(all_of_them(), 30))
    assert woken == [0, 10, 60, 120]


def test_a_sleep_that_is_not_granted_is_denied_and_on_record(ask):
    assert ask("nap", 3_600_000, sleep=False) == (Err(Variant("not-granted")), ("sleep",))


@pytest.mark.parametrize(
    "grants", [{"files": "/no/such/folder"}, {"files": 5}, {"http": "example.org"}, {"most_bytes": -1}]
)
def test_a_grant_that_makes_no_sense_is_refused(grants):
    with pytest.raises(InvalidConfiguration):
        ReferenceFunctions(**grants)


@pytest.mark.parametrize(
    "place",
    [
        "http://a.test",
        "a.test/x",
        "*",
        "*.a.test",
        "",
        "a.test:",
        "a.test:x",
        "a.test:99999",
        "::1",
        "::1:80",
        "u@a.test",
        "a b",
        "a#",
        5,
    ],
)
def test_a_place_that_could_never_be_asked_is_refused(place):
    with pytest.raises(InvalidConfiguration, match=r"http\[1\]: expected a host such as"):
        ReferenceFunctions(http=["a.test", place])


def test_a_root_stays_where_it_was_when_it_was_granted(ask, files, monkeypatch):
    monkeypatch.chdir(files.parent)
    granted = ReferenceFunctions(files="root")
    monkeypatch.chdir(files)
    assert granted.files == str(files)
