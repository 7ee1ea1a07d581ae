"""Lines that are no longer than the other side reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, structs

from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from pytest_airssys_wasm.protocol.session_messages import SessionAnswer

LINE_BYTES = 16 * 2**20
"""The most of any line, as the protocol has it."""


def fitting(answer: SessionAnswer, line_bytes: int) -> bytes:
    """The answer as a line.

    A result too long for it is a `resource-limit`; of another ending the frames are left out, and at last the output.
    """
    line = msgspec.json.encode(answer)
    end = answer.end
    if len(line) <= line_bytes or end is None:
        return line
    text = too_long("the result", line, line_bytes)
    if end.verdict is Verdict.OK:
        end = structs.replace(end, verdict=Verdict.RESOURCE_LIMIT, resource="host-transfer", message=text, value=UNSET)
    end = structs.replace(end, frames=[])
    line = msgspec.json.encode(structs.replace(answer, end=end))
    if len(line) <= line_bytes:
        return line
    return msgspec.json.encode(structs.replace(answer, end=structs.replace(end, stdout=b"", stderr=b"", imports=[])))


def too_long(what: str, line: bytes, line_bytes: int) -> str:
    """Why a line is not written."""
    return f"{what} takes {len(line):,} bytes on its way between processes, where {line_bytes:,} may be taken"
