"""The highest limits that a platform allows, which hold for repetitions of a call as for the call itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The highest value of each limit; `None` where any value is allowed, unlimited included."""

    fuel: int | None = None
    """Units of fuel."""
    memory: int | None = None
    """Bytes of memory."""
    timeout_ms: float | None = None
    """Milliseconds of wall-clock time."""

    def lower(self, limits: ResourceLimits) -> ResourceLimits:
        """Return limits that are at most as high as the ceilings."""
        lowered: dict[str, Any] = {}
        for name in ("fuel", "memory", "timeout_ms"):
            ceiling, value = getattr(self, name), getattr(limits, name)
            if ceiling is not None and (value is None or value > ceiling):
                lowered[name] = ceiling
        return replace(limits, **lowered) if lowered else limits
