"""Calls of guests that are made as they are, and with probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from pytest_airssys_wasm.analysis.histories import History, Step
from pytest_airssys_wasm.runtime.store.repetition import Repetition

if TYPE_CHECKING:
    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component


def called(
    engine: WasmEngine, component: Component, calls: list[tuple[Any, ...]], limits: ResourceLimits, **parts: Any
) -> tuple[History, list[Rerun]]:
    """Instantiate a guest and call its exports in one store, and return the history of that store, and how its steps
    ended.
    """
    repetition = Repetition(engine, component, None, (), limits, parts.get("host"), parts.get("wasi"), None)
    history = History.begun_by(repetition, tightens=frozenset())
    steps = [_step(None, ()), *(_step(name, args) for name, *args in calls)]
    history = structs.replace(history, steps=steps)
    done = [*history.replay()]
    recorded = [
        structs.replace(step, verdict=one.verdict, fuel=one.fuel, peak_memory_bytes=one.peak_memory_bytes)
        for step, one in zip(steps, done)
    ]
    return structs.replace(history, steps=recorded), done


def _step(name: str | None, args: Any) -> Step:
    return Step(test="", function=name, args=tuple(args), text="", verdict="ok", fuel=0, peak_memory_bytes=0)  # type: ignore[arg-type]
