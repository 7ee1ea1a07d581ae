"""A guest with probes, in which histories are repeated to find the blocks that they reach.

What a test executes is never instrumented. Its history is executed again afterwards, in fresh stores, in the guest with
probes, and counts only if it ends there as it ended in the test. The probes take fuel of their own, so the budgets are
higher; they take no memory of the guest's limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from pytest_airssys_wasm.analysis.guest_coverage.probed_build import ProbedBuild
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.binary.coverage import either
from pytest_airssys_wasm.runtime.binary.probes import COUNTING_PROBE_FUEL
from pytest_airssys_wasm.runtime.errors import ComponentTrapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

    from pytest_airssys_wasm.analysis.guest_coverage.probed_build import ProbedRun
    from pytest_airssys_wasm.analysis.histories import History, Step
    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.runtime.engine import WasmEngine

_MOST_FUEL = 2_000_000_000
"""The fuel that may be spent to find how far an execution got until it ran out of fuel."""


class Repeated(Struct, frozen=True, kw_only=True):
    """The result of repeating one history."""

    steps: int
    """The number of its executions that were repeated, from the first on."""
    reason: str | None = None
    """The reason why the others were not; `None` if all were repeated."""
    is_cut: bool = False
    """Whether an execution ran out of fuel or of stack, and it is not known exactly how far it got."""


class ProbedGuest:
    """A guest with probes, and a context manager that removes it at the end of the block.

    It is compiled and run as `engine` does it. Raises `CannotInstrument`, whose message says why.
    """

    def __init__(self, binary: bytes, engine: WasmEngine) -> None:
        self._binary = binary
        self._engine = engine
        self._build = ProbedBuild(binary, engine, is_counting=False)
        self._counting: ProbedBuild | None = None
        self.functions = self._build.functions
        """The functions with their blocks."""
        self.found = bytes(self._build.probes)
        """A byte for each probe: 1 if any history has reached it."""

    def close(self) -> None:
        """Remove the files of the probes, and end their engines."""
        self._build.close()
        if self._counting is not None:
            self._counting.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def repeat(self, history: History) -> Repeated:
        """Execute a history with probes, and add what it reached to `found`."""
        if history.obstacle is not None:
            return Repeated(steps=0, reason=history.obstacle)
        steps, reason = _repeatable(history.steps)
        try:
            if any(True for _ in history.component.needed_from_host()):
                different = _difference(steps, [*structs.replace(history, steps=[*steps]).replay()], is_probed=False)
                if different is not None:
                    return Repeated(steps=0, reason=different)
            run = self._build.run(history, steps)
            different = _difference(steps, run.done, is_probed=True)
            if different is not None:
                return Repeated(steps=0, reason=different)
            found, is_cut = run.found, any(map(_has_overflowed, run.done))
            if steps[-1].verdict is Verdict.OUT_OF_FUEL:
                found, is_unknown = self._until_out_of_fuel(history, steps, run)
                is_cut |= is_unknown
        except Exception as error:  # noqa: BLE001 the host and the grants of a test may raise any error when it is over
            text = printable(str(error).partition("\n")[0])
            return Repeated(steps=0, reason=f"it could not be run again: {type(error).__name__}: {text}")
        self.found = either(self.found, found)
        return Repeated(steps=len(steps), reason=reason, is_cut=is_cut)

    def _until_out_of_fuel(self, history: History, steps: Sequence[Step], run: ProbedRun) -> tuple[bytes, bool]:
        """Return what was reached by steps of which the last ran out of fuel, and whether some of it may be missing.

        `run` had more fuel than is needed to get as far as in the test. With the fuel of the test, the guest does not
        get as far. Where both reach the same, that is it.
        """
        before = sum(one.fuel for one in run.done[:-1])
        least = self._build.run(history, steps, before + steps[-1].fuel)
        if least.found == run.found:
            return run.found, False
        if self._counting is None:
            self._counting = ProbedBuild(self._binary, self._engine, is_counting=True)
        exact = _counted_until_out_of_fuel(self._counting, history, steps)
        return (least.found, True) if exact is None else (exact, False)


def _counted_until_out_of_fuel(build: ProbedBuild, history: History, steps: Sequence[Step]) -> bytes | None:
    """Return what was reached by steps of which the last ran out of fuel; `None` if that would take too long.

    Call the places at which wasmtime looks at the fuel P1, P2 and so on; c(P) is the fuel that the guest has used up to
    there, and n(P) the number of probes that it has passed. The test stopped at the first P with c(P) above the fuel F
    of the step. With probes of 9 units, the fuel up to P is c(P) + 9 n(P). So with the budget F + 9 n(P) the guest
    stops at the same P. A run with any budget tells n at its end, and more fuel never leads less far: the budgets
    F, F + 9 n(end with F) and so on rise, never above F + 9 n(P), until one repeats itself.
    """
    fuel = steps[-1].fuel
    earlier = steps[:-1]
    before = build.run(history, earlier) if earlier else None
    if before is not None and _difference(earlier, before.done, is_probed=True) is not None:
        return None
    spent = 0 if before is None else sum(one.fuel for one in before.done)
    passed = 0 if before is None else before.passed
    budget = fuel
    left = _MOST_FUEL
    while left > 0:
        run = build.run(history, steps, spent + budget)
        if run.done[-1].verdict is not Verdict.OUT_OF_FUEL:
            return None
        needed = fuel + COUNTING_PROBE_FUEL * (run.passed - passed)
        if needed == budget:
            return run.found
        left -= budget + spent
        budget = needed
    return None


def _repeatable(steps: Sequence[Step]) -> tuple[Sequence[Step], str | None]:
    """Return the first steps, up to one that ran out of fuel, and the reason why the others cannot be repeated."""
    for number, step in enumerate(steps):
        if step.verdict is Verdict.OUT_OF_FUEL and number + 1 < len(steps):
            return steps[: number + 1], "an execution before it in its store had run out of fuel"
    return steps, None


def _has_overflowed(done: Rerun) -> bool:
    """Return whether an execution ended with an overflow of the stack, whose depth may be another one with probes."""
    return isinstance(done.error, ComponentTrapped) and done.error.kind == "stack-overflow"


def _difference(steps: Sequence[Step], done: Sequence[Rerun], *, is_probed: bool) -> str | None:
    """Return how an execution ended otherwise than in the test; `None` if all ended the same.

    With probes, fuel is not compared, nor the end of an execution that ran out of it.
    """
    for step, now in zip(steps, done):
        if is_probed and step.verdict is Verdict.OUT_OF_FUEL:
            continue
        name = printable(step.function or "the instantiation")
        if now.verdict is not step.verdict:
            return f"{name} ended with {step.verdict}, and when it was run again with {now.verdict}"
        if now.peak_memory_bytes != step.peak_memory_bytes:
            figures = f"{step.peak_memory_bytes:,} bytes of memory, and when it was run again {now.peak_memory_bytes:,}"
            return f"{name} took {figures}"
        if not is_probed and now.fuel != step.fuel:
            return f"{name} took {step.fuel:,} fuel, and when it was run again {now.fuel:,}"
    return None if len(done) == len(steps) else "it has steps after a failed instantiation"
