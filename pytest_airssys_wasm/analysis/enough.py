"""The search for a sufficient limit: one more run without the limit that ended a call, if this is cheap and safe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.analysis.errors import CannotRepeat
from pytest_airssys_wasm.analysis.failed_call import FailedCall
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import Ceilings

if TYPE_CHECKING:
    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.errors import WasmError

MOST_MS = 1_000.0
"""The limits of a re-run."""
MOST_MEMORY_BYTES = 256 * 2**20
NO_CEILINGS = Ceilings()
_TIMES = 64
"""The factor by which a re-run raises a limit that cannot be removed altogether."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enough:
    """The result of one run with a limit raised or removed."""

    limit: str
    """The name of the limit: `fuel`, `timeout_ms`, `memory`, `transfer` or `output`."""
    tried: float | None
    """The limit of the re-run, in the unit of the limit; `None` means unlimited."""
    is_at_ceiling: bool
    """Whether the limit of the re-run is the ceiling of the limit."""
    timeout_ms: float
    """The timeout of the re-run in milliseconds."""
    verdict: Verdict
    """The verdict of the re-run."""
    needed: float | None
    """The amount that the re-run used, in units of fuel, milliseconds or bytes; `None` if the re-run did not return."""


def how_much_is_enough(error: WasmError, ceilings: Ceilings = NO_CEILINGS) -> Enough | None:
    """Run the call that ended with `error` again, without the limit that ended it, or with that limit at its ceiling.

    Returns `None` if no limit ended the call. Raises `CannotRepeat` if the error is a copy, if the guest could affect
    the host, if earlier calls in its store cannot be repeated, or if the ceilings leave no room for a higher limit.
    """
    name = limit_of(error)
    if name is None:
        return None
    failed = FailedCall(error)
    lifted = lift(failed.limits, name)
    limits = ceilings.lower(lifted)
    if not _is_more(limits, failed.limits, name):
        raise CannotRepeat("the ceilings of the ini file leave no room for more")
    done = failed.run(limits)
    if done.usage is None:
        raise CannotRepeat(f"when it was run again, no guest code had started ({done.error})")
    needed = amount_used(done, name) if done.error is None else None
    assert limits.timeout_ms is not None
    return Enough(
        limit=name,
        tried=getattr(limits, name),
        is_at_ceiling=getattr(limits, name) != getattr(lifted, name),
        timeout_ms=limits.timeout_ms,
        verdict=done.verdict,
        needed=needed,
    )


def limit_of(error: WasmError) -> str | None:
    """Return the name of the limit that ended a call, as in `ResourceLimits`; `None` if none did."""
    names = {Verdict.OUT_OF_FUEL: "fuel", Verdict.TIMEOUT: "timeout_ms", Verdict.OUT_OF_MEMORY: "memory"}
    resources = {"host-transfer": "transfer", "output": "output"}
    return names.get(error.verdict) or resources.get(getattr(error, "resource", ""))


def lift(limits: ResourceLimits, name: str) -> ResourceLimits:
    """Return limits of which one is removed, or raised as far as a re-run may; a re-run may take a second."""
    more: dict[str, Any] = {"timeout_ms": MOST_MS}
    if name == "fuel":
        more["fuel"] = None
    elif name == "memory":
        more["memory"] = max(limits.memory, min(MOST_MEMORY_BYTES, _TIMES * limits.memory))
    elif name != "timeout_ms":
        more[name] = _TIMES * getattr(limits, name)
    return replace(limits, **more)


def _is_more(limits: ResourceLimits, than: ResourceLimits, name: str) -> bool:
    """Return whether a run under these limits can show more: the limit that ended the call is higher, and fuel and
    memory are not lower.

    The timeout may be lower, because a re-run may take less time than a test.
    """
    more, before = getattr(limits, name), getattr(than, name)
    is_raised = more != before and _is_at_least(more, before)
    return is_raised and _is_at_least(limits.fuel, than.fuel) and _is_at_least(limits.memory, than.memory)


def _is_at_least(limit: float | None, other: float | None) -> bool:
    return limit is None or (other is not None and limit >= other)


def amount_used(done: Rerun, name: str) -> float:
    """Return what a run used of a limit, in the unit of the limit; 0 if no guest code had started."""
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
