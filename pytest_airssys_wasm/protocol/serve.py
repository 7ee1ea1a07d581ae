"""The other end of the protocol: a `Runtime` that answers the requests of a stream, a line each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, structs

from pytest_airssys_wasm.protocol.messages import PROTOCOL, ConfigureRequest, HelloRequest, Request

if TYPE_CHECKING:
    from pytest_airssys_wasm.protocol.messages import Runtime

_LINE_BYTES = 16 * 2**20
_AT_ONCE = 64
"""Requests that are worked on at the same time; further ones wait."""
_ERROR_CHARACTERS = 500


class _Addressed(Struct, frozen=True):
    id: int | None = None


class _Refusal(Struct, frozen=True):
    id: int | None
    error: str


# Made here and not by the first to need them: two threads at once would crash msgspec.
_ADDRESSED = msgspec.json.Decoder(_Addressed)
_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def serve(runtime: Runtime, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the requests end, each as soon as it is done. What is no request is answered with an error."""
    writing = threading.Lock()

    def answer(line: bytes) -> None:
        text = _encoded(_answer(runtime, line))
        with writing:
            answers.write(text + b"\n")
            answers.flush()

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        while line := requests.readline(_LINE_BYTES):
            if not line.endswith(b"\n") and len(line) == _LINE_BYTES:
                _skip_line(requests)
                line = b""
            elif not line.strip():
                continue
            threads.submit(answer, line)


def _answer(runtime: Runtime, line: bytes) -> Any:
    identifier = None
    try:
        identifier = _ADDRESSED.decode(line).id
        request = _REQUEST.decode(line)
        if isinstance(request, HelloRequest):
            if request.protocol != PROTOCOL:
                return _Refusal(identifier, f"protocol: this adapter speaks {PROTOCOL}")
            return structs.replace(runtime.hello(), id=request.id)
        if isinstance(request, ConfigureRequest):
            return runtime.configure(request)
        return runtime.run(request)
    except Exception as error:  # noqa: BLE001 whatever a request makes of it, the adapter lives on
        text = f"{type(error).__name__}: {error}" if line else f"a line of more than {_LINE_BYTES:,} bytes"
        return _Refusal(identifier, text[:_ERROR_CHARACTERS])


def _encoded(answer: Any) -> bytes:
    try:
        return msgspec.json.encode(answer)
    except Exception as error:  # noqa: BLE001 as above
        return msgspec.json.encode(_Refusal(answer.id, f"the answer cannot be written: {type(error).__name__}"))


def _skip_line(requests: IO[bytes]) -> None:
    while (more := requests.readline(_LINE_BYTES)) and not more.endswith(b"\n"):
        pass
