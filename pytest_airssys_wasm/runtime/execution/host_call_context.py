"""The host-call context: data about an execution, for the host functions that it calls."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.execution.run import Run

RUN: ContextVar[Run] = ContextVar("airssys_wasm_run")
"""The run that called the current host function, in its thread and in the task of its coroutine."""

_MOST_DENIALS = 64


class CurrentExecution:
    """The execution that is calling a host function. Its figures are current when they are read."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def remaining_fuel(self) -> int | None:
        """The units of fuel that remained when the guest called the host function; `None` if fuel is unlimited."""
        return None if self._run.fuel_budget is None else self._run.fuel_left

    @property
    def remaining_ms(self) -> float | None:
        """The time in milliseconds to the deadline, 0 if it has passed; `None` if time is unlimited."""
        timeout_ms = self._run.limits.timeout_ms
        if timeout_ms is None:
            return None
        return max(0.0, self._run.left_s(timeout_ms) * 1_000)

    @property
    def is_stopped(self) -> bool:
        """Whether the execution was stopped, so that the result of the host function will not be used."""
        return self._run.is_stopped()

    def deny(self, capability: str) -> None:
        """Record in `Usage.denied_capabilities` that the guest requested a capability that is not granted."""
        if len(self._run.denied) < _MOST_DENIALS:
            self._run.denied.append(capability)

    def __repr__(self) -> str:
        return f"<execution with {self.remaining_fuel} fuel and {self.remaining_ms} ms left>"


def current_execution() -> CurrentExecution:
    """Return the execution that called the current host function.

    Raises `LookupError` outside of host functions.
    """
    try:
        return CurrentExecution(RUN.get())
    except LookupError:
        raise LookupError("current_execution() can be called only in a host function") from None
