"""The limits of re-runs in which one limit is lifted: removed, or raised as far as a re-run may go."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import Ceilings, ResourceLimits

if TYPE_CHECKING:
    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.runtime.errors import WasmError

MOST_MS = 1_000.0
"""The time in milliseconds that a re-run may take in any case."""
MOST_BYTES = 256 * 2**20
"""The bytes of memory, transfer or output to which a limit is raised at most."""
NO_CEILINGS = Ceilings()
_MOST_COUNT = 2**21
_TIMES = 64
"""The factor by which a re-run raises a limit that cannot be removed altogether."""
_LEAST_MEMORY_BYTES = 2**20
_DEFAULTS = {field.name: field.default for field in fields(ResourceLimits)}
_ENDED_BY = {Verdict.OUT_OF_FUEL: "fuel", Verdict.TIMEOUT: "timeout_ms", Verdict.OUT_OF_MEMORY: "memory"}
_RESOURCES = {
    "host-transfer": "transfer",
    "output": "output",
    "tables": "tables",
    "table-elements": "table_elements",
    "instances": "instances",
    "memories": "memories",
}
"""The limits by the names of the resources in `ResourceLimitExceeded`."""


def limit_of(error: WasmError) -> str | None:
    """Return the name of the limit that ended a call, as in `ResourceLimits`; `None` if none did."""
    return _ENDED_BY.get(error.verdict) or _RESOURCES.get(getattr(error, "resource", ""))


def lift(limits: ResourceLimits, name: str, *, timeout_ms: float) -> ResourceLimits:
    """Return limits with this timeout of which one is removed, or raised as far as a re-run may."""
    more: dict[str, Any] = {"timeout_ms": timeout_ms}
    given = getattr(limits, name)
    match name:
        case "fuel":
            more["fuel"] = None
        case "timeout_ms":
            pass
        case "memory":
            more["memory"] = max(given, min(MOST_BYTES, _TIMES * max(given, _LEAST_MEMORY_BYTES)))
        case "transfer" | "output":
            more[name] = max(given, min(MOST_BYTES, max(_TIMES * given, _DEFAULTS[name])))
        case _:
            more[name] = max(given, min(_MOST_COUNT, max(_TIMES * given, _DEFAULTS[name])))
    return replace(limits, **more)


def is_more(limits: ResourceLimits, than: ResourceLimits, name: str) -> bool:
    """Return whether a run under `limits` can show more than one under `than`: the named limit is higher, and fuel and
    memory are at least as high.

    The timeout may be lower, because a re-run may take less time than a test.
    """
    more, before = getattr(limits, name), getattr(than, name)
    is_raised = more != before and _is_at_least(more, before)
    return is_raised and _is_at_least(limits.fuel, than.fuel) and _is_at_least(limits.memory, than.memory)


def _is_at_least(limit: float | None, other: float | None) -> bool:
    return limit is None or (other is not None and limit >= other)


def amount_used(done: Rerun, name: str) -> float:
    """Return what a run used of a limit, in the unit of the limit; 0 if that is not known."""
    usage = done.usage
    if usage is None:
        return 0
    match name:
        case "fuel":
            return usage.fuel.consumed
        case "timeout_ms":
            return usage.wall_ms
        case "memory":
            return usage.peak_memory_bytes
        case "transfer":
            return usage.transfer_bytes
        case "output":
            return sum(map(len, done.output))
        case _:
            return 0
