"""What is true of every answer of a right runtime, whatever the case. Judged always: no figure can lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from pytest_airssys_wasm.protocol.limits import limits_on_wire
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.conformance.model import Actor
    from pytest_airssys_wasm.protocol.messages import StepAnswer

_BELONGS_TO = {"trap": Verdict.TRAP, "resource": Verdict.RESOURCE_LIMIT, "code": Verdict.EXIT}


def broken(actor: Actor, answer: StepAnswer) -> Iterator[tuple[str, str, Any]]:
    """Each broken invariant as (field, what is always so, what was answered)."""
    for name, verdict in _BELONGS_TO.items():
        value = getattr(answer, name)
        if (value is not None) != (answer.verdict is verdict):
            yield name, f"one exactly when the verdict is {verdict}", value
    # A null is what many encoders write for what is absent.
    if answer.verdict is not Verdict.OK and answer.value is not UNSET and answer.value is not None:
        yield "value", "none when the verdict is not ok", answer.value
    limits = limits_on_wire(actor.limits)
    for name, most in (
        ("fuel_consumed", limits.get("fuel", ResourceLimits.DEFAULT_FUEL)),
        ("peak_memory_bytes", limits.get("memory_bytes")),
        ("elapsed_ms", None),
        ("denied_growths", None),
    ):
        value = getattr(answer, name)
        if value is None:
            continue
        if value < 0:
            yield name, "never negative", value
        elif isinstance(most, int) and value > most:
            yield name, f"never above its limit of {most:,}", value
    if answer.verdict is Verdict.OUT_OF_FUEL and limits.get("fuel") == "unlimited":
        yield "verdict", "never out-of-fuel without a fuel limit", str(answer.verdict)
    if answer.verdict is Verdict.TIMEOUT and limits.get("timeout_ms") == "unlimited":
        yield "verdict", "never timeout without a timeout", str(answer.verdict)
