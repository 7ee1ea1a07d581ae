"""The program of a worker process, which serves sessions, one request at a time, until its driver has ended.

While a request is open, the thread of its guest may call a host function of the driver. That thread reads the reply
itself, because the driver sends nothing else before.
"""

from __future__ import annotations

import os
import sys
from typing import IO

from pytest_airssys_wasm.isolation.sessions import Sessions
from pytest_airssys_wasm.isolation.spawn import tell_unfit
from pytest_airssys_wasm.protocol.pipes import end_process_with, take_pipes
from pytest_airssys_wasm.protocol.server import serve
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import UnfitHost
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

_MODULE = '(module (func (export "f")))'
_COMPONENT = """(component (core module $m (func (export "g"))) (core instance $i (instantiate $m))
  (func (export "g") (canon lift (core func $i "g"))))"""


def serve_sessions(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests with an engine of this process until the end of the input."""
    engine = WasmEngine()
    warm_up(engine)
    serve(None, requests, answers, Sessions(engine, is_worker=True), threads=None)


def warm_up(engine: WasmEngine) -> None:
    """Run a module and a component, so that the first guest does not pay for one-time initialization."""
    limits = ResourceLimits(memory=0, timeout_ms=None)
    for text, name in ((_MODULE, "f"), (_COMPONENT, "g")):
        engine.execute(engine.load(text), name, limits=limits, wasi=Wasi())


def main() -> None:
    """Serve sessions on stdin and stdout."""
    requests, answers = take_pipes()
    end_process_with(requests)
    serve_sessions(requests, answers)


if __name__ == "__main__":
    try:
        main()
    except UnfitHost as error:
        tell_unfit(error)
        os._exit(1)
    except MemoryError:
        # Its name on stderr tells why; an orderly end may take memory that there is not.
        sys.stderr.write("MemoryError\n")
        sys.stderr.flush()
        os._exit(1)
