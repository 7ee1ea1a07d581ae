"""Runs in a child: serves sessions, one request at a time, until nobody asks any more.

While a request is worked on, the guest's thread may ask for a host function: it writes the question, and reads the
reply itself, for until then nothing else can come.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from typing import IO, TYPE_CHECKING, Any

import msgspec

from pytest_airssys_wasm.isolation.lines import ANSWER_ROOM, line_bytes
from pytest_airssys_wasm.isolation.proxies import FailedElsewhere
from pytest_airssys_wasm.isolation.serving import Sessions
from pytest_airssys_wasm.protocol.limits import limits_from_wire
from pytest_airssys_wasm.protocol.pipes import take_pipes
from pytest_airssys_wasm.protocol.sessions import (
    EndAnswer,
    HostCall,
    HostReply,
    OpenRequest,
    SessionAnswer,
    SessionRequest,
)
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded, Verdict
from pytest_airssys_wasm.runtime.limits import ResourceLimits
from pytest_airssys_wasm.runtime.wasi import Wasi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.run import Run

_ERROR_CHARACTERS = 500
_MODULE = '(module (func (export "f")))'
_COMPONENT = """(component (core module $m (func (export "g"))) (core instance $i (instantiate $m))
  (func (export "g") (canon lift (core func $i "g"))))"""


class _Addressed(msgspec.Struct, frozen=True):
    id: int | None = None


_ADDRESSED = msgspec.json.Decoder(_Addressed)


class Worker:
    """One driver, on two pipes."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._request: msgspec.json.Decoder[SessionRequest] = msgspec.json.Decoder(SessionRequest)
        self._reply = msgspec.json.Decoder(HostReply)
        engine = WasmEngine()
        warm_up(engine)
        self._sessions = Sessions(engine, self._ask)
        self._current = 0
        self._line_bytes = ANSWER_ROOM

    def serve(self) -> None:
        """Answer until the requests end."""
        while line := self._requests.readline():
            addressed = _ADDRESSED.decode(line)
            if addressed.id is None:
                continue  # a reply that came too late
            self._current = addressed.id
            self._write(self._fitting(self._answer(line)))

    def _answer(self, line: bytes) -> Any:
        try:
            request = self._request.decode(line)
            if isinstance(request, OpenRequest) and request.beside is None:
                limits = limits_from_wire(request.limits)
                self._line_bytes = line_bytes(limits.transfer, limits.output)
            return self._sessions.answer(request)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 whatever a request makes of it, the driver is told
            return {"id": self._current, "error": f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]}

    def _fitting(self, answer: Any) -> bytes:
        line = msgspec.json.encode(answer)
        if len(line) <= self._line_bytes:
            return line
        text = _too_long("the result", line, self._line_bytes)
        end = EndAnswer(verdict=Verdict.RESOURCE_LIMIT, resource="host-transfer", message=text, usage=answer.end.usage)
        return msgspec.json.encode(SessionAnswer(id=answer.id, session=answer.session, end=end))

    def _ask(self, name: str, args: Sequence[Any], run: Run | None) -> Any:
        call = HostCall(
            host_call=name, args=[*args], asked_for=self._current, fuel_left=None if run is None else run.fuel_left
        )
        if run is None:
            return self._asked(call)
        # Who serves it keeps the clock too: a function that can be cancelled still ends well at the deadline.
        run.stop_host = _wait_on
        try:
            return self._asked(call)
        finally:
            run.stop_host = None

    def _asked(self, call: HostCall) -> Any:
        line = msgspec.json.encode(call)
        if len(line) > self._line_bytes:
            raise ResourceLimitExceeded(
                _too_long(f"the arguments of {call.host_call}", line, self._line_bytes), "host-transfer"
            )
        self._write(line)
        reply = self._reply.decode(self._requests.readline())
        if reply.host_error is not None:
            raise FailedElsewhere(reply.host_error)
        return reply.host_return

    def _write(self, line: bytes) -> None:
        self._answers.write(line + b"\n")
        self._answers.flush()


def _too_long(what: str, line: bytes, most: int) -> str:
    return f"{what} takes {len(line):,} bytes on its way between processes, where {most:,} may be taken"


def warm_up(engine: WasmEngine) -> None:
    """Run something once, so that no guest's time goes into what only the first one needs."""
    limits = ResourceLimits(memory=0, timeout_ms=None)
    for text, name in ((_MODULE, "f"), (_COMPONENT, "g")):
        engine.execute(engine.load(text), name, limits=limits, wasi=Wasi())


def _wait_on() -> None:
    pass


def end_with(requests: IO[bytes]) -> None:
    """End this process when nobody can ask any more, whatever it is doing: its guest may have no deadline."""

    def watch() -> None:
        poll = select.poll()
        poll.register(requests.fileno(), 0)  # only the end of the pipe
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, name="airssys-wasm-watch", daemon=True).start()


def main() -> None:
    """Serve."""
    requests, answers = take_pipes()
    end_with(requests)
    Worker(requests, answers).serve()


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        # Its name on stderr tells why; an orderly end may take memory that there is not.
        sys.stderr.write("MemoryError\n")
        sys.stderr.flush()
        os._exit(1)
