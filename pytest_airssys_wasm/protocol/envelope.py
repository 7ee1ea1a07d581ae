"""What both ends read of a line first: which request it is, answers or asks something for."""

from __future__ import annotations

import msgspec


class Addressed(msgspec.Struct, frozen=True):
    """The numbers of a line. It may have neither."""

    id: int | None = None
    asked_for: int | None = msgspec.field(name="for", default=None)
    """The request within which a host function is asked for, or of which this is the reply."""


# Made here and not by the first to need it: two threads at once would crash msgspec.
ADDRESSED = msgspec.json.Decoder(Addressed)

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises of a line that is no message, whatever it says."""
