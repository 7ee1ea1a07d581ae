"""The other end of the protocol: a `Runtime` that answers the requests of a stream, a line each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct, structs

from pytest_airssys_wasm.protocol.envelope import ADDRESSED, UNREADABLE
from pytest_airssys_wasm.protocol.host_calls import Questions
from pytest_airssys_wasm.protocol.line_limits import LINE_BYTES, fitting
from pytest_airssys_wasm.protocol.messages import PROTOCOL, ConfigureRequest, HelloRequest, Request, RunRequest
from pytest_airssys_wasm.protocol.session_messages import HostReply, SessionAnswer, SessionRequest

if TYPE_CHECKING:
    from pytest_airssys_wasm.protocol.host_calls import Ask
    from pytest_airssys_wasm.protocol.messages import Runtime

_AT_ONCE = 64
"""Requests that are worked on at the same time; further ones wait."""
_ERROR_CHARACTERS = 500


class SessionRuntime(Protocol):
    """What answers the requests of sessions. Called from several threads at once."""

    def answer(self, request: SessionRequest, ask: Ask) -> SessionAnswer:
        """The answer. `ask` asks the driver for a host function. Raises what is wrong with the request."""


class _Refusal(Struct, frozen=True):
    id: int | None
    error: str


# Made here and not by the first to need them: two threads at once would crash msgspec.
_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_ANY_REQUEST: msgspec.json.Decoder[Request | SessionRequest] = msgspec.json.Decoder(Request | SessionRequest)
_REPLY = msgspec.json.Decoder(HostReply)


def serve(runtime: Runtime, requests: IO[bytes], answers: IO[bytes], sessions: SessionRuntime | None = None) -> None:
    """Answer until the requests end, each as soon as it is done. What is no request is answered with an error.

    With `sessions`, the runtime has the capability `session`.
    """
    writing = threading.Lock()

    def write(line: bytes) -> None:
        with writing:
            answers.write(line + b"\n")
            answers.flush()

    questions = Questions(write)
    desk = _Desk(runtime, sessions, questions)

    def answer(line: bytes) -> None:
        write(desk.answer(line))

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        while line := requests.readline(LINE_BYTES):
            if not line.endswith(b"\n") and len(line) == LINE_BYTES:
                _skip_line(requests)
                line = b""
            elif not line.strip():
                continue
            # Taken here: threads that wait for replies must not keep them from being read.
            if sessions is None or not desk.takes_reply(line):
                threads.submit(answer, line)
        questions.close()


class _Desk:
    """Answers lines, on any thread."""

    def __init__(self, runtime: Runtime, sessions: SessionRuntime | None, questions: Questions) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._questions = questions

    def takes_reply(self, line: bytes) -> bool:
        """Whether the line was a reply to a guest."""
        try:
            addressed = ADDRESSED.decode(line)
            if addressed.id is not None or addressed.asked_for is None:
                return False
            reply = _REPLY.decode(line)
        except UNREADABLE:  # `answer` says what is wrong with it
            return False
        self._questions.reply(reply)
        return True

    def answer(self, line: bytes) -> bytes:
        """The line that answers this one."""
        identifier = None
        try:
            addressed = ADDRESSED.decode(line)
            identifier = addressed.id
            if self._sessions is None:
                return _encoded(self._answer(_REQUEST.decode(line)))
            if identifier is None and addressed.asked_for is not None:
                _REPLY.decode(line)
            request = _ANY_REQUEST.decode(line)
            if isinstance(request, (HelloRequest, RunRequest, ConfigureRequest)):
                return _encoded(self._answer(request))
            with self._questions.within(request.id) as ask:
                answer = self._sessions.answer(request, ask)
            return fitting(answer, LINE_BYTES)
        except Exception as error:  # noqa: BLE001 whatever a request makes of it, the adapter lives on
            text = f"{type(error).__name__}: {error}" if line else f"a line of more than {LINE_BYTES:,} bytes"
            return msgspec.json.encode(_Refusal(identifier, text[:_ERROR_CHARACTERS]))

    def _answer(self, request: Request) -> Any:
        if isinstance(request, ConfigureRequest):
            return self._runtime.configure(request)
        if not isinstance(request, HelloRequest):
            return self._runtime.run(request)
        if request.protocol != PROTOCOL:
            return _Refusal(request.id, f"protocol: this adapter speaks {PROTOCOL}")
        hello = self._runtime.hello()
        own = [] if self._sessions is None else ["session"]
        return structs.replace(hello, id=request.id, capabilities=[*hello.capabilities, *own])


def _encoded(answer: Any) -> bytes:
    try:
        return msgspec.json.encode(answer)
    except Exception as error:  # noqa: BLE001 told apart from what is wrong with the request
        text = f"the answer cannot be written: {type(error).__name__}: {error}"
        return msgspec.json.encode(_Refusal(answer.id, text[:_ERROR_CHARACTERS]))


def _skip_line(requests: IO[bytes]) -> None:
    while (more := requests.readline(LINE_BYTES)) and not more.endswith(b"\n"):
        pass
