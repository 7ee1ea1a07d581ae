"""The clock of searches, which hardly runs while the machine does the work of others."""

from __future__ import annotations

from msgspec import Struct, field

from pytest_airssys_wasm.runtime.base import originals

BUSY_SHARE = 4
"""The most times as long that a search takes on a busy machine as on an idle one."""


class Stopwatch(Struct, kw_only=True):
    """A clock that begins at zero. It counts the seconds of processor time of this process.

    A busy machine therefore tries as many examples as an idle one, and takes longer. A guest that waits, or runs in
    another process, does not use the processor time of this one: the clock counts at least a share of the time that
    passes.
    """

    share: float = BUSY_SHARE
    """The seconds that pass for each one that is counted at least."""
    _worked_s: float = field(default_factory=lambda: originals.process_time())
    _passed_s: float = field(default_factory=lambda: originals.monotonic())

    def seconds(self) -> float:
        """Return the seconds that were counted so far."""
        worked_s = originals.process_time() - self._worked_s
        return max(worked_s, (originals.monotonic() - self._passed_s) / self.share)
