"""The pipes of a process that uses the protocol on its stdin and stdout, and the end of the process after its stdin is
closed.
"""

from __future__ import annotations

import os
import sys
from typing import IO

from pytest_airssys_wasm.runtime.base.originals import poll, sleep, start_thread


def take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return stdin and stdout for the exclusive use of the protocol.

    After this call, other output goes to stderr, and no other code can read the requests.
    """
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def end_process_with(requests: IO[bytes], grace_s: float = 0.0) -> None:
    """Schedule the end of this process, this long after the end of its requests.

    The process ends even if a guest without a deadline is still running.
    """

    def watch() -> None:
        waiting = poll()
        waiting.register(requests.fileno(), 0)  # only the end of the pipe
        waiting.poll()
        sleep(grace_s)
        os._exit(0)

    start_thread(watch, "airssys-wasm-watch")
