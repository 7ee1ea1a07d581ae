"""The history of a store: its executions in their order, recorded so that they can be repeated under other limits."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field, structs

from pytest_airssys_wasm.analysis.repeatable import Rerun, obstacle_to_repetition
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from pytest_airssys_wasm.runtime.wit.handles import has_handle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.runtime.base.outcome import Finished
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.instance import Instance
    from pytest_airssys_wasm.runtime.store.repetition import Repetition

MOST_STEPS = 2_000
"""The maximum number of executions that the history of a store keeps."""
_PATIENCE = 10
"""The factor by which the timeout of a repeated run is longer: fuel is meant to end the run, and the machine may be
busy.
"""


class Step(Struct, frozen=True, kw_only=True):
    """One execution as it was recorded."""

    test: str
    """The node id of the test that made the execution."""
    function: str | None
    """The full name of the export; `None` for an instantiation."""
    args: tuple[Any, ...]
    """The arguments, copied after the call returned."""
    text: str
    """The call in WAVE notation."""
    verdict: Verdict
    """The verdict with which the execution ended."""
    fuel: int
    """The fuel that the execution consumed."""
    peak_memory_bytes: int
    """The highest total of all memories of the store so far, in bytes."""


class History(Struct, kw_only=True, eq=False):
    """The executions of one store.

    A history that cannot be repeated keeps the figures of its steps, and the reason.
    """

    component: Component
    limits: ResourceLimits
    repetition: Repetition | None
    """The objects with which the first execution was made; `None` if the history cannot be repeated."""
    tightens: frozenset[str]
    """The limits to be tightened: `fuel` and `memory`, without those that a marker of the test sets."""
    rank: int = 0
    """The rank of its tests as witnesses: of several that need the same limit, the one with the lowest rank is
    preferred.
    """
    is_shared_budget: bool = False
    """Whether all executions share one fuel budget."""
    steps: list[Step] = field(default_factory=list)
    obstacle: str | None = None
    """The reason why the history cannot be repeated; `None` if it can."""

    @classmethod
    def begun_by(
        cls,
        repetition: Repetition,
        *,
        tightens: frozenset[str],
        rank: int = 0,
        is_shared_budget: bool = False,
        obstacle: str | None = None,
    ) -> History:
        """Return the history of the store of an execution, without any steps.

        `obstacle` is a reason, known to the caller, why the history cannot be repeated.
        """
        found = obstacle_to_repetition(repetition.component, repetition.host, repetition.wasi)
        obstacle = obstacle or (None if found is None else str(found))
        return cls(
            component=repetition.component,
            limits=repetition.limits,
            repetition=repetition if obstacle is None else None,  # it may hold large objects of a test
            tightens=tightens,
            rank=rank,
            is_shared_budget=is_shared_budget,
            obstacle=obstacle,
        )

    def add(self, test: str, finished: Finished, repetition: Repetition) -> None:
        """Add an execution that has ended."""
        usage = finished.outcome.usage
        if usage is None:
            return  # no guest code had started
        reason = self.obstacle or self._obstacle(finished, repetition)
        if reason is not None:
            self.give_up(reason)
        step = Step(
            test=test,
            function=repetition.function,
            args=() if reason is not None else deepcopy(tuple(repetition.args)),
            text=finished.call.text,
            verdict=finished.outcome.verdict,
            fuel=usage.fuel.consumed,
            peak_memory_bytes=usage.peak_memory_bytes,
        )
        if len(self.steps) < MOST_STEPS:
            self.steps.append(step)
            return
        dearest = max(self.steps[-1], step, key=lambda one: one.fuel)  # only its figures are still needed
        peak = max(step.peak_memory_bytes, self.steps[-1].peak_memory_bytes)
        self.steps[-1] = structs.replace(dearest, peak_memory_bytes=peak)

    def give_up(self, reason: str) -> None:
        """Keep only the figures of the steps, because the history cannot be repeated for this reason."""
        if self.obstacle is None:
            self.obstacle, self.repetition = reason, None
            self.steps[:] = [structs.replace(step, args=()) for step in self.steps]

    def _obstacle(self, finished: Finished, repetition: Repetition) -> str | None:
        """Return the reason why an execution cannot be repeated; `None` if it can."""
        function = repetition.function
        name = printable(function or "the instantiation")
        if len(self.steps) >= MOST_STEPS:
            return f"a store has more than {MOST_STEPS:,} executions"
        if finished.call.nth != len(self.steps):
            return f"{name} was not the first execution in its store: what came before is not known"
        if repetition.component is not self.component:
            return "its store has several guests"
        if function is None and self.steps:
            return "its store has several instances"
        if function is not None and _has_handle(repetition.component, function):
            return f"{name} uses a resource of its store"
        if finished.outcome.verdict is Verdict.TIMEOUT:
            return f"{name} ended at its timeout, which depends on the machine"
        if finished.outcome.verdict is Verdict.RUNTIME_DIED:
            return f"{name} ended with {Verdict.RUNTIME_DIED}"
        return None

    @property
    def tests(self) -> tuple[str, ...]:
        """The node ids of the tests that made the executions, sorted."""
        return tuple(sorted({step.test for step in self.steps}))

    def most(self, name: str) -> int:
        """Return the highest figure among the steps for the limit `fuel` or `memory`."""
        return max((step.fuel if name == "fuel" else step.peak_memory_bytes for step in self.steps), default=0)

    def replay(self, **changed: int) -> Iterator[Rerun]:
        """Execute the steps again in a fresh store, and yield how each of them ended.

        `changed` has the limits that replace those of the store. Raises what `LimitedStore` raises before any guest
        code runs.
        """
        known = self.repetition
        assert known is not None
        limits = replace(self.limits, **changed)
        if limits.timeout_ms:
            limits = replace(limits, timeout_ms=_PATIENCE * limits.timeout_ms)
        budget: Literal["call", "store"] = "store" if self.is_shared_budget else "call"
        instance: Instance | None = None
        with LimitedStore(known.engine, limits, host=known.host, wasi=known.wasi, fuel_per=budget) as opened:
            store = opened.as_rerun()
            for step in self.steps:
                value: Any = None
                error: WasmError | None = None
                try:
                    if step.function is None:
                        instance = store.instantiate(self.component)
                    elif instance is None:
                        value = store.execute(self.component, step.function, *step.args).value
                    else:
                        value = instance.call(step.function, *step.args)
                except WasmError as raised:
                    if raised.usage is None and raised.verdict in _BEFORE_ANY_CODE:
                        raise
                    error = raised
                usage = store.usage if error is None else error.usage
                yield Rerun(value=value, error=error, usage=usage, output=(store.stdout, store.stderr))
                if step.function is None and error is not None:
                    return  # there is no instance for further steps


def _has_handle(component: Component, function: str) -> bool:
    """Return whether a function takes or returns a handle of a resource, or is the destructor of one."""
    try:
        return any(map(has_handle, (*component.parameter_types(function), *component.result_types(function))))
    except LookupError:  # a destructor has no export of its own
        return True


_BEFORE_ANY_CODE = frozenset([Verdict.LINK_ERROR, Verdict.INVALID_CONFIG, Verdict.INVALID_COMPONENT])
