"""The highest limits that a platform allows, which apply to calls and to repetitions of calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The highest value of each limit; `None` if any value is allowed, including unlimited."""

    fuel: int | None = None
    """The highest fuel limit, in units of fuel."""
    memory: int | None = None
    """The highest memory limit, in bytes."""
    timeout_ms: float | None = None
    """The longest timeout, in milliseconds."""

    def lower(self, limits: ResourceLimits) -> ResourceLimits:
        """Return limits that are at most as high as the ceilings."""
        lowered: dict[str, Any] = {}
        for name in ("fuel", "memory", "timeout_ms"):
            ceiling, value = getattr(self, name), getattr(limits, name)
            if ceiling is not None and (value is None or value > ceiling):
                lowered[name] = ceiling
        return replace(limits, **lowered) if lowered else limits
