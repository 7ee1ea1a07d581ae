"""The lines of the protocol: their identifying numbers, and their maximum length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, structs

from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from pytest_airssys_wasm.protocol.session_messages import SessionAnswer
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits


class Envelope(msgspec.Struct, frozen=True):
    """The numbers that identify the request of a line. Either or both may be absent."""

    id: int | None = None
    """The number of the request, in a request or in the answer to one."""
    asked_for: int | None = msgspec.field(name="for", default=None)
    """The number of the request to which a host call, or the reply to one, belongs."""

    @property
    def is_of_host_call(self) -> bool:
        """Whether the line is a host call or the reply to one."""
        return self.id is None and self.asked_for is not None


# Made here and not by the first to need it: two threads at once would crash msgspec.
ENVELOPE = msgspec.json.Decoder(Envelope)

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The errors that decoding a line can raise if the line is not a message."""


LINE_BYTES = 16 * 2**20
"""The maximum length in bytes, newline included, of the lines of adapters and their drivers."""
WORKER_ROOM_BYTES = 2**20
"""The bytes of a worker's line that are reserved for everything except values and output: messages, frames, names."""
_JSON_PER_BYTE = 8
"""The maximum number of bytes of JSON for a byte of a value: a byte of a string may take six, and so may an element of
a list of bools.
"""


def worker_line_bytes(limits: ResourceLimits) -> int:
    """Return the maximum length in bytes of a worker's line under these limits.

    It is proportional to the limits on values and output.
    """
    return WORKER_ROOM_BYTES + _JSON_PER_BYTE * limits.transfer + 2 * limits.output


def fitting(answer: SessionAnswer, line_bytes: int) -> bytes:
    """Return an answer as a line of at most `line_bytes` bytes.

    A result that does not fit is replaced by the verdict `resource-limit`. From other answers the frames are removed
    first, then the output.
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
    """Return the reason for which a line is not written; `what` names its content."""
    return f"{what} takes {len(line):,} bytes in a message between processes; the limit is {line_bytes:,}"
