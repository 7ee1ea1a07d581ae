"""The numbers of a line, which both ends read first: the request that it is, answers, or belongs to."""

from __future__ import annotations

import msgspec


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
