"""The processor time of a guest's thread, which its caller can read too, while the guest runs."""

from __future__ import annotations

from contextlib import suppress

from pytest_airssys_wasm.runtime.base.originals import clock_gettime_ns, get_ident, pthread_getclockid, thread_time_ns


class ProcessorTime:
    """The processor time of one run: begun and ended on the guest's thread, read on any."""

    __slots__ = ("_clock", "_from_ns", "_total_ns")

    def __init__(self) -> None:
        self._clock: int | None = None
        self._from_ns: int | None = None
        self._total_ns: int | None = None

    def begin(self) -> None:
        """Begin to count."""
        if pthread_getclockid is not None:
            self._clock = pthread_getclockid(get_ident())
        self._from_ns = thread_time_ns()

    def end(self) -> None:
        """Stop counting."""
        if self._from_ns is not None:
            self._total_ns = thread_time_ns() - self._from_ns

    def ms(self) -> float | None:
        """Return the milliseconds so far, 0 before the begin; `None` where the system does not tell."""
        if self._total_ns is not None:
            return self._total_ns / 1e6
        if self._from_ns is None:
            return 0.0
        if self._clock is not None:
            with suppress(OSError):  # the thread has ended meanwhile
                return max(0.0, (clock_gettime_ns(self._clock) - self._from_ns) / 1e6)
        return None
