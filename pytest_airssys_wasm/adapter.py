"""`python -m pytest_airssys_wasm.adapter`: the bundled runtime behind the adapter protocol, on stdin and stdout."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_airssys_wasm.protocol.pipes import end_process_with, take_pipes

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_OPEN = 32
"""The maximum number of open sessions: half of the maximum number of concurrent requests, so that other requests are
never blocked.
"""
_LAST_S = 60.0
"""The time in seconds that guests may continue to run after the end of stdin, so that earlier requests are still
answered.
"""


def main(arguments: Sequence[str] = ()) -> None:
    """Answer the requests on stdin until the end of the stream."""
    options = _options(arguments)
    requests, answers = take_pipes()
    from pytest_airssys_wasm.conformance.inprocess import SUITE_ISOLATION, InProcessRuntime
    from pytest_airssys_wasm.isolation.sessions import Sessions
    from pytest_airssys_wasm.protocol.server import serve
    from pytest_airssys_wasm.runtime.engine import WasmEngine

    end_process_with(requests, _LAST_S)
    isolated = options.isolation == "process"
    engine = WasmEngine(isolation=SUITE_ISOLATION if isolated else None)
    serve(InProcessRuntime(engine), requests, answers, None if isolated else Sessions(engine, most_open=_MOST_OPEN))
    engine.close()
    with suppress(BrokenPipeError):  # the driver is gone, and nobody reads what is still buffered
        answers.close()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m pytest_airssys_wasm.adapter", description=__doc__)
    parser.add_argument(
        "--isolation",
        choices=("thread", "process"),
        default="thread",
        help="where to compile and run guests: on threads of this process (the default), or in separate processes, in "
        "which compiling a guest may take at most 2 s and 512 MiB of memory",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
