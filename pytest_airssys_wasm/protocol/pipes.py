"""A process that speaks the protocol on its stdin and stdout."""

from __future__ import annotations

import os
import sys
from typing import IO


def take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Stdin and stdout for the protocol alone: what anybody else prints goes to stderr, and nobody else reads."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers
