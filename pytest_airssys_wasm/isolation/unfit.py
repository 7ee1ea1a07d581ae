"""The line by which a process tells the one that started it what the machine lacks."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.errors import NOTHING, UnfitHost

if TYPE_CHECKING:
    from pytest_airssys_wasm.protocol.transcript import Transcript

_SIGN = "the machine lacks something: "


def tell_unfit(error: UnfitHost) -> None:
    """Write an error to stderr, from which `told_unfit` reads it in the process that started this one."""
    given = error.given if isinstance(error.given, (str, int)) else None
    sys.stderr.write(f"{_SIGN}{json.dumps([error.where, given, error.wanted])}\n")
    sys.stderr.flush()


def told_unfit(transcript: Transcript) -> UnfitHost | None:
    """Return the error that a child has told before it ended; `None` if it has told none."""
    for line in transcript.stderr:
        if line.startswith(_SIGN):
            with suppress(ValueError, TypeError):
                where, given, wanted = json.loads(line.removeprefix(_SIGN))
                return UnfitHost(str(where), NOTHING if given is None else given, str(wanted))
    return None
