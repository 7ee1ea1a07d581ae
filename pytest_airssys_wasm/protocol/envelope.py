"""Lines of the protocol: the numbers that both ends read of one first, and the length that it may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, structs

from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from pytest_airssys_wasm.protocol.session_messages import SessionAnswer
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits


class Envelope(msgspec.Struct, frozen=True):
    """The numbers of a line, both of which may be absent."""

    id: int | None = None
    """The number of the request that the line is, or answers."""
    asked_for: int | None = msgspec.field(name="for", default=None)
    """The number of the request to which a host call, or the reply to one, belongs."""

    @property
    def is_of_host_call(self) -> bool:
        """Whether the line is a host call or the reply to one."""
        return self.id is None and self.asked_for is not None


# Made here and not by the first to need it: two threads at once would crash msgspec.
ENVELOPE = msgspec.json.Decoder(Envelope)

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The errors of decoding a line that is not a message, whatever it holds."""


LINE_BYTES = 16 * 2**20
"""The length of any line, newline included, that the protocol allows to adapters and their drivers."""
WORKER_ROOM_BYTES = 2**20
"""The part of a worker's line for everything that is neither a value nor output: messages, frames, names."""
_JSON_PER_BYTE = 8
"""A byte of a string may be written as six, and an element of a list of bools as six too."""


def worker_line_bytes(limits: ResourceLimits) -> int:
    """Return the length of a worker's line under these limits: in proportion to the values and output of its guest."""
    return WORKER_ROOM_BYTES + _JSON_PER_BYTE * limits.transfer + 2 * limits.output


def fitting(answer: SessionAnswer, line_bytes: int) -> bytes:
    """Return an answer as a line of at most so many bytes.

    A result that is too long for it becomes a `resource-limit`; other ends lose their frames, and at last the output.
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
    """Return the reason why a line with this in it is not written."""
    return f"{what} takes {len(line):,} bytes on its way between processes, where {line_bytes:,} may be taken"
