"""`python -m pytest_airssys_wasm.adapter`: the bundled runtime behind the adapter protocol, on stdin and stdout."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO


def main() -> None:
    """Answer requests until stdin ends."""
    requests, answers = take_pipes()
    from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
    from pytest_airssys_wasm.protocol.serve import serve
    from pytest_airssys_wasm.runtime.engine import WasmEngine

    engine = WasmEngine()
    serve(InProcessRuntime(engine), requests, answers)
    engine.close()
    with suppress(BrokenPipeError):  # the driver is gone, and what is still buffered is for nobody
        answers.close()


def take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Stdin and stdout for the protocol alone: what anybody else prints goes to stderr, and nobody else reads."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


if __name__ == "__main__":
    main()
