"""The search for a sufficient limit: one more run without the limit that ended a call, if this is cheap and safe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import Ceilings
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.guest.resources import Resource
from pytest_airssys_wasm.runtime.host.unmet_imports import is_wasi
from pytest_airssys_wasm.runtime.store.repetition import repetition_of
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.base.outcome import Call
    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.store.repetition import Repetition

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

    Returns `None` if the call cannot be repeated: the error is a copy, no limit ended the call, the call could affect
    the host, the earlier calls in its store cannot be repeated, or the ceilings leave no room for a higher limit.
    """
    call, repetition = error.call, repetition_of(error.call)
    name = _limit_of(error)
    if call is None or repetition is None or name is None or not _can_be_repeated(call, repetition, error):
        return None
    lifted = _lifted(repetition.limits, name)
    limits = ceilings.lower(lifted)
    if not _is_more(limits, repetition.limits, name):
        return None
    with LimitedStore(repetition.engine, limits, wasi=repetition.wasi) as store:
        verdict = _repeat(store, call, repetition)
        usage = store.usage
        written = len(store.stdout) + len(store.stderr)
    if usage is None or (name == "timeout_ms" and verdict is Verdict.OUT_OF_FUEL):
        return None
    needed = _MEASURES[name](usage, written) if verdict is Verdict.OK else None
    assert limits.timeout_ms is not None
    return Enough(
        limit=name,
        tried=getattr(limits, name),
        is_at_ceiling=getattr(limits, name) != getattr(lifted, name),
        timeout_ms=limits.timeout_ms,
        verdict=verdict,
        needed=needed,
    )


def _limit_of(error: WasmError) -> str | None:
    names = {Verdict.OUT_OF_FUEL: "fuel", Verdict.TIMEOUT: "timeout_ms", Verdict.OUT_OF_MEMORY: "memory"}
    resources = {"host-transfer": "transfer", "output": "output"}
    return names.get(error.verdict) or resources.get(getattr(error, "resource", ""))


def _can_be_repeated(call: Call, repetition: Repetition, error: WasmError) -> bool:
    first = call.nth == 0 or (call.nth == 1 and call.export is not None)
    own_budget = error.usage is not None and error.usage.fuel.max_fuel == repetition.limits.fuel
    wasi = repetition.wasi
    confined = wasi is None or not (wasi.inherit or any(access == "rw" for _, access in wasi.preopen.values()))
    alone = all(is_wasi(name.partition("#")[0]) or name.startswith("wasi_") for name in repetition.component.imports)
    plain = not any(isinstance(argument, Resource) for argument in repetition.args)
    return first and own_budget and confined and alone and plain and (call.export or "").find("[drop]") < 0


def _lifted(limits: ResourceLimits, name: str) -> ResourceLimits:
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


def _repeat(store: LimitedStore, call: Call, repetition: Repetition) -> Verdict:
    component, function, args = repetition.component, repetition.function, repetition.args
    try:
        if call.nth == 0 and function is not None:
            store.execute(component, function, *args)
            return Verdict.OK
        instance = store.instantiate(component)
        if function is not None:
            instance.call(function, *args)
    except WasmError as error:
        return error.verdict
    return Verdict.OK


_MEASURES: dict[str, Callable[[Usage, int], float]] = {
    "fuel": lambda usage, _: usage.fuel.consumed,
    "timeout_ms": lambda usage, _: usage.wall_ms,
    "memory": lambda usage, _: usage.peak_memory_bytes,
    "transfer": lambda usage, _: usage.transfer_bytes,
    "output": lambda _, written: written,
}
