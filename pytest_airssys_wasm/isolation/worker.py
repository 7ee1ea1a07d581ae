"""Runs in a child: serves sessions, one request at a time, until nobody asks any more.

While a request is worked on, the guest's thread may ask for a host function: it writes the question, and reads the
reply itself, for until then nothing else can come.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import msgspec

from pytest_airssys_wasm.isolation.lines import ANSWER_ROOM, line_bytes
from pytest_airssys_wasm.isolation.sessions import Sessions
from pytest_airssys_wasm.protocol.envelope import ADDRESSED
from pytest_airssys_wasm.protocol.host_calls import question, returned
from pytest_airssys_wasm.protocol.limits import limits_from_wire
from pytest_airssys_wasm.protocol.line_limits import fitting
from pytest_airssys_wasm.protocol.pipes import take_pipes
from pytest_airssys_wasm.protocol.session_messages import HostReply, OpenRequest, SessionRequest
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.execution.run import Run

_ERROR_CHARACTERS = 500
_MODULE = '(module (func (export "f")))'
_COMPONENT = """(component (core module $m (func (export "g"))) (core instance $i (instantiate $m))
  (func (export "g") (canon lift (core func $i "g"))))"""


class Worker:
    """One driver, on two pipes."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._request: msgspec.json.Decoder[SessionRequest] = msgspec.json.Decoder(SessionRequest)
        self._reply = msgspec.json.Decoder(HostReply)
        engine = WasmEngine()
        warm_up(engine)
        self._sessions = Sessions(engine, takes_artefacts=True)
        self._line_bytes = ANSWER_ROOM

    def serve(self) -> None:
        """Answer until the requests end."""
        while line := self._requests.readline():
            answer = self._answer(line)
            if answer is not None:
                self._write(answer)

    def _answer(self, line: bytes) -> bytes | None:
        """The answer to a request; of a reply, which comes too late here, none."""
        identifier = None
        try:
            addressed = ADDRESSED.decode(line)
            identifier = addressed.id
            if identifier is None and addressed.asked_for is not None:
                return None
            request = self._request.decode(line)
            if isinstance(request, OpenRequest) and request.beside is None:
                with suppress(InvalidConfiguration):  # which is its answer
                    limits = limits_from_wire(request.limits)
                    self._line_bytes = line_bytes(limits.transfer, limits.output)
            return fitting(self._sessions.answer(request, partial(self._ask, request.id)), self._line_bytes)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 whatever a request makes of it, the driver is told
            return _refusal(identifier, f"{type(error).__name__}: {error}")

    def _ask(self, identifier: int, name: str, args: Sequence[Any], run: Run | None) -> Any:
        line = question(identifier, name, args, run, self._line_bytes)
        if run is None:
            return self._asked(identifier, line)
        # Who serves it keeps the clock too: a function that can be cancelled still ends well at the deadline.
        run.stop_host = _wait_on
        try:
            return self._asked(identifier, line)
        finally:
            run.stop_host = None

    def _asked(self, identifier: int, question: bytes) -> Any:
        self._write(question)
        while line := self._requests.readline():
            addressed = ADDRESSED.decode(line)
            if addressed.id is not None:
                self._write(_refusal(addressed.id, f"request {identifier} is still worked on"))
            elif addressed.asked_for == identifier:
                return returned(self._reply.decode(line))
        raise EOFError("the driver is gone")

    def _write(self, line: bytes) -> None:
        self._answers.write(line + b"\n")
        self._answers.flush()


def _refusal(identifier: int | None, text: str) -> bytes:
    return msgspec.json.encode({"id": identifier, "error": text[:_ERROR_CHARACTERS]})


def warm_up(engine: WasmEngine) -> None:
    """Run something once, so that no guest's time goes into what only the first one needs."""
    limits = ResourceLimits(memory=0, timeout_ms=None)
    for text, name in ((_MODULE, "f"), (_COMPONENT, "g")):
        engine.execute(engine.load(text), name, limits=limits, wasi=Wasi())


def _wait_on() -> None:
    pass


def end_with(requests: IO[bytes], grace_s: float = 0.0) -> None:
    """End this process when nobody can ask any more, whatever it is doing: its guest may have no deadline."""

    def watch() -> None:
        poll = select.poll()
        poll.register(requests.fileno(), 0)  # only the end of the pipe
        poll.poll()
        time.sleep(grace_s)
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
