"""The pace of plain calls: whether the two processes sleep until a frame comes, or look for it in a loop."""

from __future__ import annotations

from ctypes import addressof

from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.capi.guard import HAS_PARKED_THREADS, GuardPace, guard

_CLOSE_S = 0.0002
"""The time in seconds within which one call follows another if it is expected at once."""
_SHORT_NS = 50_000
"""The time in nanoseconds of a guest whose answer is expected at once."""


class Pace:
    """The pace of one worker's calls, which depends on what both ways have cost lately.

    Only one thread at a time may use it.
    """

    __slots__ = ("_address", "_ended_at", "_note", "_shared")

    def __init__(self) -> None:
        self._shared = GuardPace()
        self._address = addressof(self._shared)
        self._ended_at = 0.0
        self._note = guard().pace_note if HAS_PARKED_THREADS else _note_nothing

    @property
    def is_looping(self) -> bool:
        """Whether to look for frames in a loop now."""
        return self._shared.is_looping != 0

    def note(self, began_at: float, guest_ns: int) -> None:
        """Note a call that has just ended: the time of `monotonic` at which it began, and that of its guest."""
        ended_at = monotonic()
        if began_at - self._ended_at < _CLOSE_S and guest_ns < _SHORT_NS:
            self._note(self._address, int((ended_at - began_at) * 1e9) - guest_ns)
        self._ended_at = ended_at


def _note_nothing(*_: object) -> None:
    pass
