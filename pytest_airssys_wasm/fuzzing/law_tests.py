"""The tests of limit laws: calls of guests with which a law is tested, and what one execution has shown."""

from __future__ import annotations

import os
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from msgspec import Struct, field

from pytest_airssys_wasm.fuzzing.pasteable import as_json
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import Ceilings, ResourceLimits
from pytest_airssys_wasm.runtime.errors import UnfitHost, WasmError
from pytest_airssys_wasm.runtime.wave import write_call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis.strategies import SearchStrategy

    from pytest_airssys_wasm.fuzzing.trials import Guest
    from pytest_airssys_wasm.runtime.base.usage import Usage

AMPLE = ResourceLimits(memory=4 * 2**20, fuel=100_000, timeout_ms=5_000)
"""The limits for runs that are compared with others. The timeout is for guests that wait for the host."""
_EXAMPLES = 60
_EQUAL_RUNS = 3
"""The number of runs that are compared to see whether a call depends on the host."""
_NO_CEILINGS = Ceilings()


def _never() -> bool:
    return False


class Subject(Struct, frozen=True, kw_only=True):
    """A guest and one of its exports, with the strategy of its arguments."""

    guest: Guest
    function: str
    arguments: SearchStrategy[tuple[Any, ...]]


class SubjectCall(Struct, frozen=True):
    """A call that a law is tested with. Hypothesis shows it in WAVE."""

    subject: Subject
    args: tuple[Any, ...]

    def __repr__(self) -> str:
        component = self.subject.guest.component
        mode = "" if self.subject.guest.engine.backends is None else " in a worker process"
        return write_call(self.subject.function, self.args, component.parameter_types(self.subject.function)) + mode


class LawTest(Struct, frozen=True, kw_only=True):
    """The subjects with which a law is tested, and the effort."""

    subjects: Sequence[Subject] = ()
    examples: int = _EXAMPLES
    seed: int | None = None
    """The seed of the examples; `None` takes new ones, or in CI always the same."""
    ceilings: Ceilings = _NO_CEILINGS
    """The highest limits that may be tried."""
    is_over: Callable[[], bool] = _never
    """The function that returns whether the time is up, after which examples are passed over."""
    tried: list[SubjectCall] = field(default_factory=list)
    """The calls of the last example; after a failure, those of the smallest one."""

    def calls(self) -> SearchStrategy[SubjectCall]:
        """Return a strategy for calls of the subjects."""
        return st.one_of([one.arguments.map(partial(SubjectCall, one)) for one in self.subjects])

    def check(self, *strategies: SearchStrategy[Any], holds: Callable[..., None]) -> None:
        """Call `holds` with examples. Raises its `AssertionError` for the smallest example that violates the law."""

        @wraps(holds)  # Hypothesis shows the names of its parameters
        def in_time(*args: Any, **named: Any) -> None:
            if not self.is_over():
                self.tried[:] = [one for one in (*args, *named.values()) if isinstance(one, SubjectCall)]
                try:
                    holds(*args, **named)
                except AssertionError:
                    if not any(map(self._depends_on_the_host, self.tried)):
                        raise

        test = settings(
            derandomize=self.seed is None and "CI" in os.environ,
            max_examples=self.examples,
            deadline=None,  # it would make the test depend on the clock
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )(given(*strategies)(in_time))
        (test if self.seed is None else seed(self.seed)(test))()

    def _depends_on_the_host(self, call: SubjectCall) -> bool:
        """Return whether equal runs of a call differ by what it imports, for example a clock.

        That is a fault of the guest, or intended. It does not say anything about the limits.
        """
        if not any(True for _ in call.subject.guest.component.needed_from_host()):
            return False
        return len({run(call, self.ample()).behaviour_text for _ in range(_EQUAL_RUNS)}) > 1

    def ample(self) -> ResourceLimits:
        """Return the limits for runs that are compared with others."""
        return self.ceilings.lower(AMPLE)


class RunResult(Struct, frozen=True, kw_only=True):
    """The verdict, value, cost and output of one execution."""

    verdict: Verdict
    value: Any
    """The value as JSON; `None` if the execution did not return."""
    usage: Usage | None
    output_bytes: int

    @property
    def behaviour(self) -> tuple[Any, ...]:
        """The verdict, the value, and the fuel where it is exact."""
        fuel = self.usage.fuel if self.usage is not None else None
        return self.verdict, self.value, fuel.consumed if fuel is not None and fuel.is_exact else None

    @property
    def behaviour_text(self) -> str:
        """The behaviour as text, which can be put into a set."""
        return repr(self.behaviour)


def run(call: SubjectCall, limits: ResourceLimits) -> RunResult:
    """Instantiate and call once, as one execution.

    Raises exceptions that do not stand for a verdict of the closed set, and `UnfitHost`.
    """
    guest = call.subject.guest
    with guest.new_store(limits) as store:
        verdict, value = Verdict.OK, None
        try:
            value = as_json(store.execute(guest.component, call.subject.function, *call.args).value)
        except UnfitHost:
            raise
        except WasmError as error:
            verdict = error.verdict
        written = len(store.stdout) + len(store.stderr)
        return RunResult(verdict=verdict, value=value, usage=store.usage, output_bytes=written)
