"""The program of a worker process, which serves sessions, one request at a time, until its driver has ended.

While a request is open, the thread of its guest may call a host function of the driver. That thread reads the reply
itself, because the driver sends nothing else before.
"""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

from pytest_airssys_wasm.isolation.ending import ending_on_error
from pytest_airssys_wasm.isolation.plain_server import STACK_BYTES, PlainServer
from pytest_airssys_wasm.isolation.sessions import Sessions
from pytest_airssys_wasm.protocol.pipes import end_process_with, take_pipes
from pytest_airssys_wasm.protocol.server import serve
from pytest_airssys_wasm.runtime.base.originals import start_thread
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

if TYPE_CHECKING:
    from collections.abc import Sequence

_MODULE = '(module (func (export "f")))'
_COMPONENT = """(component (core module $m (func (export "g"))) (core instance $i (instantiate $m))
  (func (export "g") (canon lift (core func $i "g"))))"""


def serve_sessions(requests: IO[bytes], answers: IO[bytes], plain_pipes: Sequence[int] = ()) -> None:
    """Answer requests with an engine of this process until the end of the input.

    `plain_pipes` are the descriptors from which plain calls are read and to which their answers are written.
    """
    engine = WasmEngine()
    warm_up(engine)
    sessions = Sessions(engine, is_worker=True)
    if plain_pipes:
        server = PlainServer(sessions)
        start_thread(lambda: ending_on_error(server.serve, *plain_pipes), "airssys-wasm-plain", STACK_BYTES)
    serve(None, requests, answers, sessions, threads=None)


def warm_up(engine: WasmEngine) -> None:
    """Run a module and a component, so that the first guest does not pay for one-time initialization."""
    limits = ResourceLimits(memory=0, timeout_ms=None)
    for text, name in ((_MODULE, "f"), (_COMPONENT, "g")):
        engine.execute(engine.load(text), name, limits=limits, wasi=Wasi())


def main() -> None:
    """Serve sessions on stdin and stdout."""
    requests, answers = take_pipes()
    end_process_with(requests)
    serve_sessions(requests, answers, [*map(int, sys.argv[1:])])
    os._exit(0)  # an orderly end would free stores whose guests may still run, for a driver that is gone


if __name__ == "__main__":
    ending_on_error(main)
