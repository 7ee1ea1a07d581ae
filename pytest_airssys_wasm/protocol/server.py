"""The server of the protocol, which answers the lines of a driver with a `Runtime`, with sessions, or with both."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import structs

from pytest_airssys_wasm.protocol.envelope import ENVELOPE, LINE_BYTES, UNREADABLE, fitting
from pytest_airssys_wasm.protocol.host_calls import PendingHostCalls
from pytest_airssys_wasm.protocol.messages import (
    PROTOCOL,
    ConfigureRequest,
    HelloRequest,
    Refusal,
    Request,
    RunRequest,
)
from pytest_airssys_wasm.protocol.session_messages import HostReply, SessionAnswer, SessionRequest
from pytest_airssys_wasm.runtime.base.originals import allocate_lock
from pytest_airssys_wasm.runtime.errors import UnfitHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.protocol.host_calls import Ask
    from pytest_airssys_wasm.protocol.messages import Runtime

AT_ONCE = 64
"""The maximum number of requests that are processed at the same time. Further requests wait."""
_ERROR_CHARACTERS = 500


class SessionRuntime(Protocol):
    """The runtime that answers the requests of sessions. A server with several threads calls it from all of them."""

    @property
    def line_bytes(self) -> int:
        """The maximum length of a line that the driver reads at present, in bytes."""

    def answer(self, request: SessionRequest, ask: Ask) -> SessionAnswer:
        """Return the answer to a request. While it is executed, `ask` calls host functions of the driver.

        Raises an error for an invalid request.
        """


# Made here and not by the first to need them: two threads at once would crash msgspec.
_REQUEST: msgspec.json.Decoder[Request | SessionRequest] = msgspec.json.Decoder(Request)
_SESSION_REQUEST: msgspec.json.Decoder[Request | SessionRequest] = msgspec.json.Decoder(SessionRequest)
_ANY_REQUEST: msgspec.json.Decoder[Request | SessionRequest] = msgspec.json.Decoder(Request | SessionRequest)
_REPLY = msgspec.json.Decoder(HostReply)


def serve(
    runtime: Runtime | None,
    requests: IO[bytes],
    answers: IO[bytes],
    sessions: SessionRuntime | None = None,
    *,
    threads: int | None = AT_ONCE,
) -> None:
    """Answer requests until the end of the input. The answer to a line that is not a request is an error.

    Without `runtime` only requests of `sessions` are accepted, and without `sessions` requests of sessions are refused.
    `threads` threads process the requests, and each request is answered as soon as it is finished. If `threads` is
    `None`, this thread processes the requests, one at a time: while a guest waits for a host function, its thread reads
    the lines; lines may have any length; and a `MemoryError` or an `UnfitHost` is raised instead of sent as an answer,
    because the process cannot continue.
    """
    if threads is None:
        server = Server(runtime, sessions, answers, requests)
        while server.serve_next():
            pass
        return
    from concurrent.futures import ThreadPoolExecutor  # which worker processes do without

    server = Server(runtime, sessions, answers)
    with ThreadPoolExecutor(threads) as pool:
        while line := requests.readline(LINE_BYTES):
            if not line.endswith(b"\n") and len(line) == LINE_BYTES:
                _skip_line(requests)
                pool.submit(server.refuse, None, f"a line of more than {LINE_BYTES:,} bytes")
            else:
                # Replies are taken here: threads that wait for them must not keep them from being read.
                server.take(line, pool.submit)
        server.close()


class Server:
    """The server of one driver, which takes lines and writes the answers.

    With `requests` it reads the lines itself, one after the other, as `serve` does without threads.
    """

    def __init__(
        self,
        runtime: Runtime | None,
        sessions: SessionRuntime | None,
        answers: IO[bytes],
        requests: IO[bytes] | None = None,
    ) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._answers = answers
        self._requests = requests
        self._writing = allocate_lock()
        self._decoder = _REQUEST if sessions is None else _SESSION_REQUEST if runtime is None else _ANY_REQUEST
        read = None if requests is None else self.serve_next
        self._host_calls = PendingHostCalls(self._write, self._line_bytes, read)

    def serve_next(self, busy_with: int | None = None) -> bool:
        """Read a line and process it; return False at the end of the input.

        Requests are refused if `busy_with` is the number of an open request.
        """
        assert self._requests is not None
        line = self._requests.readline()
        if not line:
            self.close()
            return False
        self.take(line, _at_once, busy_with)
        return True

    def take(self, line: bytes, execute: Callable[..., object], busy_with: int | None = None) -> None:
        """Pass on the reply in a line, or pass a function that answers the request in it to `execute`."""
        if not line.strip():
            return
        try:
            envelope = ENVELOPE.decode(line)
            if self._sessions is not None and envelope.is_of_host_call:
                self._host_calls.reply(_REPLY.decode(line))
                return
        except UNREADABLE as error:
            execute(self.refuse, None, _text_of(error))
            return
        if busy_with is None:
            execute(self.answer, envelope.id, line)
        else:
            execute(self.refuse, envelope.id, f"request {busy_with} is still open")

    def answer(self, identifier: int | None, line: bytes) -> None:
        """Answer the request with this number in a line."""
        try:
            answer = self._answer(self._decoder.decode(line))
        except Exception as error:
            if isinstance(error, (MemoryError, UnfitHost)) and self._requests is not None:
                raise
            self.refuse(identifier, refusal_text(error))
        else:
            self._write(answer)

    def refuse(self, identifier: int | None, text: str) -> None:
        """Answer a line with an error."""
        self._write(msgspec.json.encode(Refusal(id=identifier, error=text[:_ERROR_CHARACTERS])))

    def close(self) -> None:
        """End all waits for replies, because no further reply will arrive."""
        self._host_calls.close()

    def _answer(self, request: Request | SessionRequest) -> bytes:
        match request:
            case HelloRequest():
                return _encoded(self._hello(request))
            case RunRequest():
                assert self._runtime is not None
                return _encoded(self._runtime.run(request))
            case ConfigureRequest():
                assert self._runtime is not None
                return _encoded(self._runtime.configure(request))
            case _:
                assert self._sessions is not None
                with self._host_calls.within(request.id) as ask:
                    answer = self._sessions.answer(request, ask)
                return fitting(answer, self._line_bytes())

    def _hello(self, request: HelloRequest) -> Any:
        assert self._runtime is not None
        if request.protocol != PROTOCOL:
            return Refusal(id=request.id, error=f"protocol: this adapter speaks {PROTOCOL}")
        hello = self._runtime.hello()
        own = [] if self._sessions is None else ["session"]
        return structs.replace(hello, id=request.id, capabilities=[*hello.capabilities, *own])

    def _write(self, line: bytes) -> None:
        with self._writing:
            self._answers.write(line + b"\n")
            self._answers.flush()

    def _line_bytes(self) -> int:
        return LINE_BYTES if self._sessions is None else self._sessions.line_bytes


def _at_once(function: Callable[..., object], *args: object) -> None:
    function(*args)


def refusal_text(error: Exception) -> str:
    """Return the text with which a request is refused that has raised this error."""
    return _text_of(error)[:_ERROR_CHARACTERS]


def _encoded(answer: Any) -> bytes:
    try:
        return msgspec.json.encode(answer)
    except Exception as error:  # noqa: BLE001 told apart from an error of the request
        text = f"the answer cannot be written: {_text_of(error)}"
        return msgspec.json.encode(Refusal(id=answer.id, error=text[:_ERROR_CHARACTERS]))


def _text_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _skip_line(requests: IO[bytes]) -> None:
    while (more := requests.readline(LINE_BYTES)) and not more.endswith(b"\n"):
        pass
