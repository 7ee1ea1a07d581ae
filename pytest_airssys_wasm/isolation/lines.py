"""How long a line may be that a worker writes: in proportion to what its guest may pass."""

from __future__ import annotations

ANSWER_ROOM = 2**20
"""For everything that is neither value nor output: messages, frames, names."""
_JSON_PER_BYTE = 8
"""A byte of a string may be written as six, an element of a list of bools as six too."""


def line_bytes(transfer_bytes: int, output_bytes: int) -> int:
    """The bound under these limits."""
    return ANSWER_ROOM + _JSON_PER_BYTE * transfer_bytes + 2 * output_bytes
