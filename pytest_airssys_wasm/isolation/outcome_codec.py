"""How an execution ended, on its way between two processes: as data, and as the error that it is here again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol.session_messages import EndAnswer, FrameAnswer, UsageAnswer
from pytest_airssys_wasm.runtime.base.outcome import Frame, Verdict
from pytest_airssys_wasm.runtime.base.usage import FuelMetrics, Usage
from pytest_airssys_wasm.runtime.budget.limits import MAX_U64
from pytest_airssys_wasm.runtime.errors import (
    ComponentTrapped,
    ExecutionTimeout,
    GuestExit,
    HostFunctionError,
    LinkError,
    OutOfFuel,
    OutOfMemory,
    ResourceLimitExceeded,
    WasmError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_MESSAGE_CHARACTERS = 20_000
_FRAMES = 256


def end_answer(error: WasmError | None, usage: Usage | None, **known: Any) -> EndAnswer:
    """What the other process has to know."""
    if usage is not None:
        known["usage"] = UsageAnswer(
            fuel_consumed=usage.fuel.consumed,
            is_exact=usage.fuel.is_exact,
            wall_ms=usage.wall_ms,
            peak_memory_bytes=usage.peak_memory_bytes,
            denied_growths=usage.denied_growths,
            host_calls=usage.host_calls,
            host_transfer_bytes=usage.transfer_bytes,
        )
    if error is None:
        return EndAnswer(verdict=Verdict.OK, **known)
    cause = error.__cause__ if isinstance(error, OutOfMemory) else None
    trap = error if isinstance(error, ComponentTrapped) else cause
    return EndAnswer(
        verdict=error.verdict,
        message=_text(error),
        cause=None if cause is None else _text(cause),
        trap=trap.kind if isinstance(trap, ComponentTrapped) else None,
        resource=error.resource if isinstance(error, ResourceLimitExceeded) else None,
        code=error.code if isinstance(error, GuestExit) else None,
        imports=[*error.imports] if isinstance(error, LinkError) else [],
        frames=[FrameAnswer(one.function, one.module, one.offset, one.symbol) for one in error.frames[:_FRAMES]],
        **known,
    )


def error_of(end: EndAnswer) -> WasmError | None:
    """The error that this is, with its frames; `None` where it is `ok`. Raises `ValueError` for what is no ending."""
    if end.verdict is Verdict.OK:
        return None
    error = _error(end, (end.message or "")[:_MESSAGE_CHARACTERS])
    error.frames = _frames(end.frames)
    return error


def usage_of(end: EndAnswer, fuel_budget: int | None, memory_limit_bytes: int, denied: Sequence[str]) -> Usage:
    """What it used. Raises `ValueError` for what cannot be."""
    told = end.usage
    if told is None:
        raise ValueError("usage: expected some")
    for name in UsageAnswer.__struct_fields__:
        if not 0 <= getattr(told, name) <= MAX_U64 or not math.isfinite(told.wall_ms):
            raise ValueError(f"usage.{name}: expected a number of 64 bits, got {getattr(told, name)}")
    if fuel_budget is not None and told.fuel_consumed > fuel_budget:
        raise ValueError(f"usage.fuel_consumed: {told.fuel_consumed} of a budget of {fuel_budget}")
    return Usage(
        fuel=FuelMetrics(max_fuel=fuel_budget, consumed=told.fuel_consumed, is_exact=told.is_exact),
        wall_ms=told.wall_ms,
        peak_memory_bytes=told.peak_memory_bytes,
        memory_limit_bytes=memory_limit_bytes,
        denied_growths=told.denied_growths,
        host_calls=told.host_calls,
        transfer_bytes=told.host_transfer_bytes,
        denied_capabilities=tuple(denied),
    )


def _error(end: EndAnswer, message: str) -> WasmError:
    if end.verdict is Verdict.TRAP and end.trap is not None:
        return ComponentTrapped(message, end.trap)
    if end.verdict is Verdict.RESOURCE_LIMIT and end.resource is not None:
        return ResourceLimitExceeded(message, end.resource)
    if end.verdict is Verdict.EXIT and end.code is not None:
        return GuestExit(message, end.code)
    if end.verdict is Verdict.LINK_ERROR:
        return LinkError(message, end.imports)
    if end.verdict is Verdict.OUT_OF_MEMORY:
        error = OutOfMemory(message)
        if end.trap is not None:
            error.__cause__ = ComponentTrapped((end.cause or "")[:_MESSAGE_CHARACTERS], end.trap)
        return error
    plain = _PLAIN.get(end.verdict)
    if plain is None:
        raise ValueError(f"verdict: {end.verdict} with trap {end.trap}, resource {end.resource}, code {end.code}")
    return plain(message)


_PLAIN: dict[Verdict, type[WasmError]] = {
    Verdict.OUT_OF_FUEL: OutOfFuel,
    Verdict.TIMEOUT: ExecutionTimeout,
    Verdict.HOST_ERROR: HostFunctionError,
}


def _frames(answers: Sequence[FrameAnswer]) -> tuple[Frame, ...]:
    if len(answers) > _FRAMES:
        raise ValueError(f"frames: {len(answers)}")
    return tuple(Frame(one.function, one.module, one.offset, one.symbol) for one in answers)


def _text(error: BaseException) -> str:
    # As it was raised: names of the guest are made printable where they are shown.
    return str(error.args[0] if error.args else "")[:_MESSAGE_CHARACTERS]
