"""Why a child ended, where the system does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_airssys_wasm.protocol.transcript import Transcript

_OUT_OF_MEMORY = (
    "memory allocation of ",  # Rust
    "MemoryError",  # Python
    "failed to spawn thread",  # a thread's stack is memory too
    "Cannot allocate memory",
    "failed to allocate",
)


def was_out_of_memory(diary: Transcript) -> bool:
    """Whether a child that has ended said that memory was refused to it. There is no code: it aborts.

    No guest can write what is read here: stderr is the process's own.
    """
    return any(sign in line for line in diary.stderr for sign in _OUT_OF_MEMORY)
