"""The file in which the probes of an instrumented guest are found, as data."""

from __future__ import annotations

from msgspec import Struct


class ProbeFile(Struct, frozen=True, kw_only=True):
    """A file that serves as the memory of all probes of one guest, in every instance and process.

    The guest's memories are told from it by the two sizes, which no memory of the guest declares.
    """

    path: str
    """The path of the file, which has `memory_bytes` bytes."""
    memory_bytes: int
    """The size of the memory that each core module of the guest declares for its probes, in bytes."""
    most_memory_bytes: int
    """The declared maximum of this memory, in bytes."""
