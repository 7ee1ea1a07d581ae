"""The processor time of a guest's thread, which its caller can read too, while the guest runs."""

from __future__ import annotations

from contextlib import suppress

from pytest_airssys_wasm.runtime.base.originals import clock_gettime, get_ident, pthread_getcpuclockid, thread_time_ns


class ProcessorTime:
    """The processor time of one run. The guest's thread begins and ends the count, and any thread can read it."""

    __slots__ = ("_clock", "_from_ns", "_total_ns")

    def __init__(self) -> None:
        self._clock: int | None = None
        self._from_ns = 0
        self._total_ns: int | None = None

    def begin(self) -> None:
        """Begin to count."""
        self._from_ns = thread_time_ns()
        self._clock = pthread_getcpuclockid(get_ident())

    def end(self) -> None:
        """Stop counting."""
        self._total_ns = thread_time_ns() - self._from_ns

    def ms(self) -> float | None:
        """Return the milliseconds so far, 0 before `begin`; `None` if the thread has ended without calling `end`."""
        if self._total_ns is not None:
            return self._total_ns / 1e6
        if self._clock is None:
            return 0.0
        with suppress(OSError):
            return max(0.0, clock_gettime(self._clock) * 1e3 - self._from_ns / 1e6)
        return None
