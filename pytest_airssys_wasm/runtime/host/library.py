"""Ready-made host functions: `sleep`, `read-file` and `http-get`, each behind a grant.

Their WIT, in the interface under which they are registered:

    variant failure { not-granted, not-found, too-large(u64), failed(string) }
    record response { status: u16, body: list<u8> }
    sleep: func(ms: u32) -> result<_, failure>;
    read-file: func(path: string) -> result<list<u8>, failure>;
    http-get: func(url: string) -> result<response, failure>;

A call that is not granted does nothing: it returns `not-granted` to the guest, and adds an entry to
`Usage.denied_capabilities`. All three functions are coroutines: they do not block the event loop, and the guest's
deadline cancels them.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Variant
from pytest_airssys_wasm.runtime.budget.units import parse_size
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import off_the_loop
from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWakers, loop_wakers
from pytest_airssys_wasm.runtime.execution.host_call_context import current_execution
from pytest_airssys_wasm.runtime.host.functions import serves_only
from pytest_airssys_wasm.runtime.wit.types import FunctionType, ListType, Primitive, RecordType, ResultType, VariantType

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.host.functions import HostFunctions

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s/?#@*:\\\[\]]+)(:[0-9]+)?")
_SHOWN_CHARACTERS = 200
_PATH_CHARACTERS = 4_096
"""The maximum number of characters in a path. Operating systems do not open longer paths, and each part of a path takes
a descriptor.
"""

_STRING, _BYTES = Primitive("string"), ListType(Primitive("u8"))
_FAILURE = VariantType(
    (("not-granted", None), ("not-found", None), ("too-large", Primitive("u64")), ("failed", _STRING))
)
_RESPONSE = RecordType((("status", Primitive("u16")), ("body", _BYTES)))
# A guest that imports them with another type could not be told that something is not granted.
_SLEEP = FunctionType((("ms", Primitive("u32")),), ResultType(None, _FAILURE))
_READ_FILE = FunctionType((("path", _STRING),), ResultType(_BYTES, _FAILURE))
_HTTP_GET = FunctionType((("url", _STRING),), ResultType(_RESPONSE, _FAILURE))


@dataclass(frozen=True, kw_only=True)
class ReferenceFunctions:
    """The grants of the host functions `sleep`, `read-file` and `http-get`, which do nothing that is not granted here.

    Raises `InvalidConfiguration` for a folder that does not exist, a wrong size or a wrong host.
    """

    sleep: bool = True
    """Whether guests may sleep."""
    files: str | os.PathLike[str] | None = None
    """The folder below which guests may read files; `None` for no files. Symbolic links are not followed, and `..` is
    refused.
    """
    http: Sequence[str] = ()
    """The hosts to which guests may send requests: `"example.org"` on the default ports, `"127.0.0.1:8080"` or
    `"[::1]:8080"` on the given port.
    """
    most_bytes: int | str = 2**20
    """The maximum size of a file, and of the body of a response, in bytes or with a unit."""

    def __post_init__(self) -> None:
        """Check the grants when they are created, so that the error names the grant. Raises `InvalidConfiguration`."""
        if self.files is not None:
            if not isinstance(self.files, (str, os.PathLike)) or not Path(self.files).is_dir():
                raise InvalidConfiguration("files", self.files, "an existing directory")
            # As it is now: this process may go to another folder.
            object.__setattr__(self, "files", str(Path(self.files).absolute()))
        if isinstance(self.http, str):
            raise InvalidConfiguration("http", self.http, "a sequence of hosts")
        if self.http and find_spec("httpx") is None:
            raise InvalidConfiguration(
                "http", self.http, "no hosts, because httpx is not installed: pip install 'pytest-airssys-wasm[http]'"
            )
        object.__setattr__(self, "http", tuple(_place(f"http[{n}]", given) for n, given in enumerate(self.http)))
        object.__setattr__(self, "most_bytes", parse_size(self.most_bytes, "most_bytes"))

    def register(self, host: HostFunctions, interface: str = "") -> None:
        """Serve the imports `sleep`, `read-file` and `http-get` of this interface, or of the root."""
        host.register(f"{interface}#sleep", self._sleep)
        host.register(f"{interface}#read-file", self._read_file)
        host.register(f"{interface}#http-get", self._http_get)

    @serves_only(_SLEEP)
    async def _sleep(self, ms: int) -> Ok | Err:
        if not self.sleep:
            return _denied("sleep")
        await self._wakers.sleep(ms / 1_000)
        return Ok(None)

    @serves_only(_READ_FILE)
    async def _read_file(self, path: str) -> Ok | Err:
        if self.files is None:
            return _denied(f"read-file {path}")
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or "\0" in path:
            return _denied(f"read-file {path}")
        if len(path) > _PATH_CHARACTERS:
            return Err(Variant("not-found"))
        return await off_the_loop(self._read, [part for part in parts if part])

    def _read(self, parts: Sequence[str]) -> Ok | Err:
        # Opened step by step from the root, each without following links: nothing can be exchanged in between.
        with ExitStack() as opened:
            try:
                descriptor = os.open(os.fspath(self.files or "."), os.O_RDONLY | os.O_DIRECTORY)
                opened.callback(os.close, descriptor)
                for number, part in enumerate(parts, 1):
                    is_last = number == len(parts)
                    # Opening alone makes some devices do things; asked before, they are not even opened.
                    if is_last and not _is_plain(os.stat(part, dir_fd=descriptor, follow_symlinks=False)):
                        return Err(Variant("not-found"))
                    kind = os.O_NONBLOCK if is_last else os.O_DIRECTORY
                    descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | kind, dir_fd=descriptor)
                    opened.callback(os.close, descriptor)
                if not _is_plain(os.fstat(descriptor)):
                    return Err(Variant("not-found"))
                with open(descriptor, "rb", closefd=False) as file:
                    content = file.read(int(self.most_bytes) + 1)
            except (OSError, UnicodeError):  # links are refused by the same name as files that are not there
                return Err(Variant("not-found"))
        return self._bounded(content)

    @serves_only(_HTTP_GET)
    async def _http_get(self, url: str) -> Ok | Err:
        if not self.http:
            return _denied(f"http-get {url}")
        import httpx

        try:
            asked = httpx.URL(url)
            host = asked.host  # decoded only now
        except (httpx.InvalidURL, UnicodeError):
            return Err(Variant("failed", "not a valid URL"))
        if not self._may_ask(asked.scheme, host, asked.port, has_user=bool(asked.userinfo)):
            return _denied(f"http-get {asked.scheme}://{asked.netloc.decode()}")
        # Reading the certificates takes long, and the loop has other things to do.
        verify = await off_the_loop(lambda: self._certificates) if asked.scheme == "https" else False
        content = bytearray()
        # No redirects: they could lead anywhere. No proxies or credentials of the environment's either. Bytes as they
        # come: a compressed body could be a thousand times as large as what is looked at.
        client = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None, verify=verify)
        async with client:
            try:
                async with client.stream("GET", asked, headers={"Accept-Encoding": "identity"}) as response:
                    async for chunk in response.aiter_raw():
                        content += chunk
                        if len(content) > int(self.most_bytes):
                            break
            except httpx.HTTPError as error:
                return Err(Variant("failed", str(error)[:_SHOWN_CHARACTERS]))
        body = self._bounded(bytes(content))
        return Ok(Record(status=response.status_code, body=body.value)) if isinstance(body, Ok) else body

    @cached_property
    def _wakers(self) -> LoopWakers:
        return loop_wakers()

    @cached_property
    def _certificates(self) -> ssl.SSLContext:
        import httpx

        return httpx.create_ssl_context(trust_env=False)

    def _may_ask(self, scheme: str, host: str, port: int | None, *, has_user: bool) -> bool:
        if scheme not in _DEFAULT_PORTS or has_user:
            return False
        place = _bracketed(host)
        default = _DEFAULT_PORTS[scheme]
        port = default if port is None else port
        return f"{place}:{port}" in self.http or (port == default and place in self.http)

    def _bounded(self, content: bytes) -> Ok | Err:
        if len(content) > int(self.most_bytes):
            return Err(Variant("too-large", int(self.most_bytes)))
        return Ok(content)


def _place(where: str, given: object) -> str:
    """Return a host with or without a port in the normalized form that URLs have.

    Raises `InvalidConfiguration` for a text that is not a host.
    """
    import httpx

    wanted = "a host such as 'example.org', '127.0.0.1:8080' or '[::1]:8080'"
    if not isinstance(given, str) or not _PLACE.fullmatch(given):
        raise InvalidConfiguration(where, given, wanted)
    try:
        url = httpx.URL(f"any://{given}")  # a scheme that has no port of its own, which would be left out
        host = _bracketed(url.host)
    except (httpx.InvalidURL, UnicodeError):
        raise InvalidConfiguration(where, given, wanted) from None
    if url.port is not None and not 0 < url.port < 2**16:
        raise InvalidConfiguration(where, given, wanted)
    return host if url.port is None else f"{host}:{url.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_plain(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode)


def _denied(capability: str) -> Err:
    current_execution().deny(capability[:_SHOWN_CHARACTERS])
    return Err(Variant("not-granted"))
