"""The conversions between the outcome of an execution and its messages in the protocol."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol.messages import MESSAGE_CHARACTERS, StepAnswer
from pytest_airssys_wasm.protocol.session_messages import EndAnswer, UsageAnswer
from pytest_airssys_wasm.runtime.base.outcome import Frame, Outcome, Verdict
from pytest_airssys_wasm.runtime.base.printable import printable_lines
from pytest_airssys_wasm.runtime.base.usage import FuelMetrics, Usage
from pytest_airssys_wasm.runtime.budget.units import MAX_U64

if TYPE_CHECKING:
    from collections.abc import Sequence

_END_MESSAGE_CHARACTERS = 20_000
_MOST_FRAMES = 256


def step_answer(outcome: Outcome, **known: Any) -> StepAnswer:
    """Return the outcome of a step as the answer of an adapter; `known` are further fields of the answer.

    Figures that are not exact are left out.
    """
    usage = outcome.usage
    if usage is not None:
        known["fuel_consumed"] = usage.fuel.consumed if usage.fuel.is_exact else None
        known["peak_memory_bytes"] = usage.peak_memory_bytes
        known["denied_growths"] = usage.denied_growths
    is_ok = outcome.verdict is Verdict.OK
    return StepAnswer(
        verdict=outcome.verdict,
        trap=outcome.trap if outcome.verdict is Verdict.TRAP else None,
        resource=outcome.resource,
        code=outcome.exit_code,
        message=None if is_ok else printable_lines(outcome.message)[:MESSAGE_CHARACTERS],
        **known,
    )


def end_answer(outcome: Outcome, **known: Any) -> EndAnswer:
    """Return the outcome of an execution in a session as the answer of a worker; `known` are further fields of the
    answer.

    The answer contains names as the guest chose them: they must be made printable before they are shown.
    """
    is_ok = outcome.verdict is Verdict.OK
    return EndAnswer(
        verdict=outcome.verdict,
        trap=outcome.trap,
        resource=outcome.resource,
        code=outcome.exit_code,
        message=None if is_ok else outcome.message[:_END_MESSAGE_CHARACTERS],
        cause=None if outcome.cause is None else outcome.cause[:_END_MESSAGE_CHARACTERS],
        imports=[*outcome.imports],
        frames=[(one.function, one.module, one.offset, one.symbol) for one in outcome.frames[:_MOST_FRAMES]],
        usage=None if outcome.usage is None else _usage_answer(outcome.usage),
        **known,
    )


def outcome_of_end(
    end: EndAnswer, *, fuel_budget: int | None, memory_limit_bytes: int, denied_capabilities: Sequence[str]
) -> Outcome:
    """Return the outcome in a worker's answer about an execution with this fuel budget and memory limit.

    Raises `ValueError` for an outcome that an execution cannot have.
    """
    if len(end.frames) > _MOST_FRAMES:
        raise ValueError(f"frames: expected {_MOST_FRAMES} at most, got {len(end.frames)}")
    if end.usage is None:
        raise ValueError("usage: expected an object, got null")
    return Outcome(
        verdict=end.verdict,
        message=(end.message or "")[:_END_MESSAGE_CHARACTERS],
        trap=end.trap,
        resource=end.resource,
        exit_code=end.code,
        cause=None if end.cause is None else end.cause[:_END_MESSAGE_CHARACTERS],
        imports=tuple(end.imports),
        frames=tuple(Frame(*one) for one in end.frames),
        usage=_usage(end.usage, fuel_budget, memory_limit_bytes, denied_capabilities),
    )


def _usage_answer(usage: Usage) -> UsageAnswer:
    return UsageAnswer(
        fuel_consumed=usage.fuel.consumed,
        is_exact=usage.fuel.is_exact,
        wall_ms=usage.wall_ms,
        peak_memory_bytes=usage.peak_memory_bytes,
        denied_growths=usage.denied_growths,
        host_calls=usage.host_calls,
        host_transfer_bytes=usage.transfer_bytes,
        cpu_ms=usage.cpu_ms,
        host_ms=usage.host_ms,
    )


def _usage(
    told: UsageAnswer, fuel_budget: int | None, memory_limit_bytes: int, denied_capabilities: Sequence[str]
) -> Usage:
    for name in UsageAnswer.__struct_fields__:
        figure = getattr(told, name)
        if name == "cpu_ms" and figure is None:
            continue
        if not (0 <= figure <= MAX_U64 and math.isfinite(figure)):
            raise ValueError(f"usage.{name}: expected a number of 64 bits, got {figure}")
    if fuel_budget is not None and told.fuel_consumed > fuel_budget:
        raise ValueError(f"usage.fuel_consumed: expected at most the budget of {fuel_budget}, got {told.fuel_consumed}")
    return Usage(
        fuel=FuelMetrics(max_fuel=fuel_budget, consumed=told.fuel_consumed, is_exact=told.is_exact),
        wall_ms=told.wall_ms,
        peak_memory_bytes=told.peak_memory_bytes,
        memory_limit_bytes=memory_limit_bytes,
        denied_growths=told.denied_growths,
        host_calls=told.host_calls,
        transfer_bytes=told.host_transfer_bytes,
        cpu_ms=told.cpu_ms,
        host_ms=told.host_ms,
        denied_capabilities=tuple(denied_capabilities),
    )
