"""The data that the rows of one run of `reach.py` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alternation import QUICK, Effort
from by_hand import FUEL

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

if TYPE_CHECKING:
    from pathlib import Path

    from floor import Floor

LIMITS = ResourceLimits(memory="64 MiB", fuel=FUEL, timeout_ms=60_000, transfer="64 MiB")
"""The limits of all guests."""


class Session(NamedTuple):
    """The data that the rows of one run share."""

    effort: Effort
    floor: Floor | None
    folder: Path

    @property
    def is_quick(self) -> bool:
        """Whether only the working of the rows is tried."""
        return self.effort is QUICK
