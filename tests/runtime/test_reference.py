"""The ready-made host functions do what is granted, and nothing else."""

from __future__ import annotations

import asyncio
import gzip
import os
import threading
import time
from _thread import get_ident
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from pytest_airssys_wasm.runtime import reference
from pytest_airssys_wasm.runtime.current import current_execution
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout, InvalidConfiguration, LinkError, OutOfFuel
from pytest_airssys_wasm.runtime.host import HostFunctions
from pytest_airssys_wasm.runtime.limits import ResourceLimits
from pytest_airssys_wasm.runtime.reference import ReferenceFunctions
from pytest_airssys_wasm.runtime.values import Err, Ok, Variant

LIMITS = ResourceLimits(memory="4 MiB", fuel=10_000_000, timeout_ms=20_000)
PACKED = gzip.compress(bytes(1_000_000))
# Passes its argument on to the import, and the result back as it lies in memory.
GUEST = """(component
  (import "reference" (instance $host
    (type $f (variant (case "not-granted") (case "not-found") (case "too-large" u64) (case "failed" string)))
    (export "failure" (type $failure (eq $f)))
    (type $r (record (field "status" u16) (field "body" (list u8))))
    (export "response" (type $response (eq $r)))
    (export "sleep" (func (param "ms" u32) (result (result (error $failure)))))
    (export "read-file" (func (param "path" string) (result (result (list u8) (error $failure)))))
    (export "http-get" (func (param "url" string) (result (result $response (error $failure)))))))
  (alias export $host "failure" (type $failure))
  (alias export $host "response" (type $response))
  (core module $memory
    (memory (export "memory") 8) (global $end (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $end) (i32.const 7)) (i32.const -8)))
      (global.set $end (i32.add (local.get $at) (local.get 3)))
      local.get $at))
  (core instance $mem (instantiate $memory))
  (alias core export $mem "memory" (core memory $m))
  (alias core export $mem "realloc" (core func $realloc))
  (core func $sleep (canon lower (func $host "sleep") (memory $m) (realloc $realloc)))
  (core func $read (canon lower (func $host "read-file") (memory $m) (realloc $realloc)))
  (core func $get (canon lower (func $host "http-get") (memory $m) (realloc $realloc)))
  (core module $main
    (import "host" "sleep" (func $sleep (param i32 i32)))
    (import "host" "read-file" (func $read (param i32 i32 i32)))
    (import "host" "http-get" (func $get (param i32 i32 i32)))
    (func (export "sleep") (param i32) (result i32)
      (call $sleep (local.get 0) (i32.const 64)) i32.const 64)
    (func (export "read") (param i32 i32) (result i32)
      (call $read (local.get 0) (local.get 1) (i32.const 64)) i32.const 64)
    (func (export "get") (param i32 i32) (result i32)
      (call $get (local.get 0) (local.get 1) (i32.const 64)) i32.const 64))
  (core instance $i (instantiate $main (with "host" (instance
    (export "sleep" (func $sleep)) (export "read-file" (func $read)) (export "http-get" (func $get))))))
  (type $read-type (func (param "path" string) (result (result (list u8) (error $failure)))))
  (type $get-type (func (param "url" string) (result (result $response (error $failure)))))
  (func $nap (param "ms" u32) (result (result (error $failure)))
    (canon lift (core func $i "sleep") (memory $m) (realloc $realloc)))
  (func $r (param "path" string) (result (result (list u8) (error $failure)))
    (canon lift (core func $i "read") (memory $m) (realloc $realloc)))
  (func $g (param "url" string) (result (result $response (error $failure)))
    (canon lift (core func $i "get") (memory $m) (realloc $realloc)))
  (instance $out (export "failure" (type $failure)) (export "response" (type $response))
    (export "nap" (func $nap)) (export "read" (func $r)) (export "get" (func $g)))
  (export "it" (instance $out)))"""


@pytest.fixture
def ask(engine):
    """Calls an export of the guest under these grants: the value and what was denied; through a loop or without."""

    def call(name, argument, *, through_loop=False, limits=LIMITS, **grants):
        host = HostFunctions()
        ReferenceFunctions(**grants).register(host, "reference")
        guest = engine.load(GUEST)
        if through_loop:
            done = asyncio.run(engine.execute_async(guest, f"it#{name}", argument, limits=limits, host=host))
        else:
            done = engine.execute(guest, f"it#{name}", argument, limits=limits, host=host)
        return done.value, done.usage.denied_capabilities

    return call


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
    """What this process has open below a folder; what else it opens meanwhile is others' business."""
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


@pytest.fixture
def server():
    """Serves on the loopback; the requests it saw."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            if self.path == "/nonsense":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"x" * 5_000 + b"\r\n\r\n")
                return
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("Location", f"http://{self.headers['Host']}/elsewhere")
            if self.path == "/packed" and "gzip" not in self.headers["Accept-Encoding"]:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            if self.path == "/packed":
                self.wfile.write(PACKED)
            elif self.path == "/accepted":
                self.wfile.write(self.headers["Accept-Encoding"].encode())
            elif self.path == "/endless":
                self.drip()
            else:
                self.wfile.write(b"y" * (5_000 if self.path == "/large" else 2))

        def drip(self):
            try:
                while True:
                    self.wfile.write(b"y")
                    time.sleep(0.01)
            except OSError:
                seen.append("hung up")

        def log_message(self, *_): ...

    seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("through_loop", [True, False])
def test_a_host_on_the_list_is_asked(ask, server, through_loop):
    place, seen = server
    answer, denied = ask("get", f"http://{place}/x?y=1", http=[place], through_loop=through_loop)
    assert (answer.value.status, answer.value.body, denied) == (200, b"yy", ())
    assert seen == ["/x?y=1"]


def test_a_redirect_is_not_followed_and_a_large_body_not_kept(ask, server):
    place, seen = server
    assert ask("get", f"http://{place}/away", http=[place])[0].value.status == 302
    assert ask("get", f"http://{place}/large", http=[place], most_bytes=100)[0] == Err(Variant("too-large", 100))
    assert seen == ["/away", "/large"]


def test_a_packed_body_is_not_asked_for_and_not_unpacked(ask, server):
    place, _ = server
    assert ask("get", f"http://{place}/accepted", http=[place])[0].value.body == b"identity"
    answer, _ = ask("get", f"http://{place}/packed", http=[place], most_bytes=len(PACKED))
    assert answer.value.body == PACKED


@pytest.mark.parametrize("through_loop", [True, False])
def test_a_body_that_never_ends_ends_at_the_guests_deadline(ask, server, through_loop):
    place, seen = server
    limits = ResourceLimits(memory="4 MiB", fuel=None, timeout_ms=300)
    with pytest.raises(ExecutionTimeout) as caught:
        ask("get", f"http://{place}/endless", http=[place], limits=limits, through_loop=through_loop)
    assert caught.value.usage.wall_ms < 10_000
    until = time.monotonic() + 20
    while "hung up" not in seen and time.monotonic() < until:
        time.sleep(0.01)
    assert "hung up" in seen


def test_of_a_body_that_never_ends_only_so_much_is_read(ask, server):
    place, _ = server
    assert ask("get", f"http://{place}/endless", http=[place], most_bytes=10)[0] == Err(Variant("too-large", 10))


def test_what_a_server_makes_of_an_error_is_short(ask, server):
    place, _ = server
    error = ask("get", f"http://{place}/nonsense", http=[place])[0].error
    assert (error.case, len(error.payload)) == ("failed", 200)


@pytest.mark.parametrize(("interface", "prefix"), [("", ""), ("a:b/c@1.0.0", "a:b/c@1.0.0#")])
def test_the_functions_are_those_of_the_interface_that_is_named(interface, prefix):
    host = HostFunctions()
    ReferenceFunctions().register(host, interface)
    assert host.names == [prefix + name for name in ("http-get", "read-file", "sleep")]


def test_the_environment_sends_nobody_elsewhere(ask, server, monkeypatch):
    place, seen = server
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask("get", f"http://{place}/", http=[place])[0].value.status == 200
    assert seen == ["/"]


def test_certificates_are_read_once_and_not_on_the_loop(ask, monkeypatch):
    readers = []
    create = httpx.create_ssl_context
    monkeypatch.setattr(httpx, "create_ssl_context", lambda **how: readers.append(get_ident()) or create(**how))
    granted = ReferenceFunctions(http=["127.0.0.1:9"])

    async def twice():
        return [(await granted._http_get("https://127.0.0.1:9/")).error.case for _ in range(2)]

    assert asyncio.run(twice()) == ["failed", "failed"]
    assert len(readers) == 1
    assert readers != [get_ident()]


@pytest.mark.parametrize("url", ["https://xn--65/", "http://a:b/", "http://a\x01/", "http://" + "a" * 70_000])
def test_what_is_no_url_is_a_failure(ask, url):
    answer, denied = ask("get", url, http=["example.org"])
    assert answer.error.case == "failed"
    assert denied == ()


@pytest.mark.parametrize(
    ("url", "granted"),
    [
        ("http://a.test:0/", "a.test:80"),
        ("http://a.test:443/", "a.test"),
        ("https://a.test:80/", "a.test"),
        ("http://b.a.test/", "a.test"),
        ("http://a.test./", "a.test"),
        ("http://a.test:80\\@b.test/", "a.test:80"),
        ("http:///", ""),
    ],
)
def test_a_place_that_only_looks_like_one_on_the_list_is_denied(ask, url, granted):
    answer, denied = ask("get", url, http=[granted] if granted else ["a.test"])
    assert answer == Err(Variant("not-granted"))
    assert len(denied) == 1


@pytest.mark.parametrize(
    ("url", "granted"),
    [
        ("http://A.test/", "a.test"),
        ("http://a.test:80/", "a.test"),
        ("https://a.test/", "a.test:443"),
        ("https://a.test:443/", "a.test"),
        ("http://[::1]/", "[::1]"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http://a.test/", "A.Test"),
        ("http://a.test:80/", "a.test:80"),
        ("http://xn--bcher-kva.test/", "b\u00fccher.test"),
        ("http://b\u00fccher.test:81/", "xn--bcher-kva.test:81"),
    ],
)
def test_a_place_on_the_list_is_granted_however_it_is_written(url, granted):
    asked = httpx.URL(url)
    assert ReferenceFunctions(http=[granted])._may_ask(asked.scheme, asked.host, asked.port, has_user=False)


def test_without_a_grant_any_url_is_denied(ask):
    answer, denied = ask("get", "no url at all")
    assert (answer, denied) == (Err(Variant("not-granted")), ("http-get no url at all",))


def test_what_is_put_on_record_is_short(ask):
    _, denied = ask("get", "x" * 10_000)
    assert denied == (("http-get " + "x" * 10_000)[:200],)


def test_a_grant_without_httpx_says_what_to_install(monkeypatch):
    monkeypatch.setattr(reference, "find_spec", lambda name: None)
    with pytest.raises(InvalidConfiguration, match="pip install"):
        ReferenceFunctions(http=["example.org"])
    ReferenceFunctions()


@pytest.mark.parametrize(
    "url", ["http://{place}/", "file:///etc/passwd", "http://user:word@{place}/", "ftp://{place}/"]
)
def test_what_is_not_on_the_list_is_not_asked_and_on_record(ask, server, url):
    place, seen = server
    granted = [place] if "user" in url or "ftp" in url else ["127.0.0.1", "example.org"]
    answer, denied = ask("get", url.format(place=place), http=granted)
    assert answer == Err(Variant("not-granted"))
    assert len(denied) == 1
    assert seen == []


def test_a_host_that_does_not_answer_is_a_failure(ask):
    answer, _ = ask("get", "http://127.0.0.1:9/", http=["127.0.0.1:9"])
    assert answer.error.case == "failed"


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


def test_a_host_function_sees_what_is_left(engine):
    guest = engine.load('(module (import "env" "f" (func $f)) (func (export "g") call $f))')
    seen = []
    host = HostFunctions()
    host.register("env#f", lambda: seen.append((current_execution().remaining_fuel, current_execution().remaining_ms)))
    engine.execute(guest, "g", limits=LIMITS, host=host)
    engine.execute(guest, "g", limits=ResourceLimits(memory=0, fuel=None, timeout_ms=None), host=host)
    (fuel, ms), unlimited = seen
    assert 9_999_000 < fuel < 10_000_000
    assert 0 < ms < 20_000
    assert unlimited == (None, None)
    with pytest.raises(LookupError, match="no guest is calling"):
        current_execution()


def test_a_function_that_takes_other_arguments_is_named_before_anything_runs(engine):
    guest = engine.load('(module (import "env" "f" (func (param i32 i32))) (func (export "g")))')
    host = HostFunctions()
    host.register("env#f", lambda only: None)
    with pytest.raises(LinkError, match=r"env#f: .* \(registered is a function that takes \(only\)\)"):
        engine.execute(guest, "g", limits=LIMITS, host=host)
    for fitting in (lambda *all_of_them: None, lambda a, b, c=1: None, print):
        host.register("env#f", fitting)
        engine.execute(guest, "g", limits=LIMITS, host=host)


def test_a_host_function_that_is_late_can_see_that_it_is(engine):
    guest = engine.load('(module (import "env" "f" (func $f)) (func (export "g") call $f))')
    seen, is_through = [], threading.Event()

    def late():
        execution, until = current_execution(), time.monotonic() + 20
        while not execution.is_stopped and time.monotonic() < until:
            time.sleep(0.001)
        seen.append((execution.is_stopped, execution.remaining_ms))
        is_through.set()

    host = HostFunctions()
    host.register("env#f", late)
    with pytest.raises(ExecutionTimeout):
        engine.execute(guest, "g", limits=ResourceLimits(memory=0, fuel=None, timeout_ms=20), host=host)
    assert is_through.wait(20)
    assert seen == [(True, 0.0)]


def test_a_guest_that_asks_for_ever_fills_no_record(engine):
    guest = engine.load('(module (import "env" "f" (func $f)) (func (export "g") (loop call $f br 0)))')
    host = HostFunctions()
    host.register("env#f", lambda: current_execution().deny("it"))
    with pytest.raises(OutOfFuel) as caught:
        engine.execute(guest, "g", limits=ResourceLimits(memory=0, fuel=1_000, timeout_ms=None), host=host)
    assert caught.value.usage.denied_capabilities == ("it",) * 64
