"""Cases with timeouts multiplied, for slow and busy machines. Fuel, memory and what guests do stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, structs

from pytest_airssys_wasm.conformance.model import Bounds
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.units import parse_duration_ms
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from typing import Any

    from pytest_airssys_wasm.conformance.model import Actor, Case, Expected

_SLEEPING = frozenset({"sleep-ms", "suspend-ms"})
"""The functions of the host library by which a guest waits for a time of its own."""


def scaled(case: Case, scale: float) -> Case:
    """Return the case for a machine that is slower by `scale`, with longer timeouts and more time for it to end.

    An actor whose guest sleeps, and is expected to be ended by its timeout, keeps its timeouts, since the times of its
    sleeps stand in the guest.
    """
    if scale == 1:
        return case
    elapsed_ms = _later(case.expect.elapsed_ms, scale)
    return structs.replace(
        case,
        actors=[_scaled(actor, scale) for actor in case.cast()],
        steps=[],
        expect=structs.replace(case.expect, elapsed_ms=elapsed_ms),
    )


def _scaled(actor: Actor, scale: float) -> Actor:
    limits = actor.limits
    if not _is_ended_asleep(actor):
        limits = structs.replace(limits, timeout_ms=_longer(limits.timeout_ms, scale))
    steps = []
    for step in actor.steps:
        expect = structs.replace(
            step.expect,
            elapsed_ms=_later(step.expect.elapsed_ms, scale),
            fastest_ms=_later(step.expect.fastest_ms, scale),
        )
        steps.append(structs.replace(step, expect=expect))
    return structs.replace(actor, limits=limits, steps=steps)


def _is_ended_asleep(actor: Actor) -> bool:
    may_sleep = actor.wasi is not None or not _SLEEPING.isdisjoint(actor.imports or ())
    return may_sleep and any(Verdict.TIMEOUT in step.expect.verdicts for step in actor.steps)


def _longer(timeout_ms: Any, scale: float) -> Any:
    """Return a multiplied timeout. One that is absent, unlimited or wrong is returned as it is."""
    if timeout_ms is UNSET or timeout_ms == "unlimited":
        return timeout_ms
    try:
        return scale * parse_duration_ms(timeout_ms)
    except InvalidConfiguration:
        return timeout_ms


def _later(expected: Expected | None, scale: float) -> Expected | None:
    """Return the expected time with a longer maximum, or with a shorter minimum for a scale below 1."""
    if not isinstance(expected, Bounds) or expected.of is not None:
        return expected
    return structs.replace(
        expected,
        min=None if expected.min is None else min(1, scale) * expected.min,
        max=None if expected.max is None else max(1, scale) * expected.max,
    )
