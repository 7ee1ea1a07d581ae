"""The ready-made `http-get` asks whom it was granted, for as much as was granted, and nobody else."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from _thread import get_ident
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from pytest_airssys_wasm.runtime.base.values import Err, Variant
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import ExecutionTimeout, InvalidConfiguration
from pytest_airssys_wasm.runtime.host import library as reference
from pytest_airssys_wasm.runtime.host.library import ReferenceFunctions
from support.asking_guest import asked


@pytest.fixture
def ask(engine):
    return partial(asked, engine)


PACKED = gzip.compress(bytes(1_000_000))


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
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
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
