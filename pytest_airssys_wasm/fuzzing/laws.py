"""The limit laws: what holds for any guest under any limits. Each is one property, and one item of the suite.

| law | sentence |
|---|---|
| closed-verdicts | any limits give a verdict from the closed set, and the host lives |
| repeatable | equal runs are equal in verdict, value and fuel |
| more-fuel-never-hurts | more fuel never turns success into failure |
| peak-below-limit | the peak of memory is at most the limit |
| ends-in-time | the end comes within the timeout plus a tolerance |
| manifests-are-judged | any manifest text gives limits, or an error that names the place |
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.strategies import fuels, manifest_texts, resource_limits
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import MAX_U64, ResourceLimits
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, WasmError
from pytest_airssys_wasm.runtime.manifest.loading import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component

TOLERANCE_MS = 2_000
"""Wide, because this law is about ending at all on a busy machine; the `timeout` chapter measures accuracy."""

_EXAMPLES = 60


@dataclass(frozen=True, slots=True)
class Subject:
    """A guest and one of its exports without parameters."""

    component: Component
    function: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How one execution ended."""

    verdict: Verdict
    value: Any
    usage: Usage | None


def run(engine: WasmEngine, subject: Subject, limits: ResourceLimits) -> Ending:
    """Run the subject once. Anything but a verdict of the closed set is raised."""
    try:
        done = engine.execute(subject.component, subject.function, limits=limits)
    except WasmError as error:
        return Ending(error.verdict, None, error.usage)
    return Ending(Verdict.OK, done.value, done.usage)


def closed_verdicts(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """Any limits give a verdict from the closed set, and the host lives."""

    @_law
    @given(st.sampled_from(subjects), resource_limits())
    def holds(subject: Subject, limits: ResourceLimits) -> None:
        ending = run(engine, subject, limits)
        assert ending.verdict in Verdict
        assert ending.verdict is not Verdict.INVALID_CONFIG

    holds()


def repeatable(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """Equal runs are equal in verdict, value and fuel (where no clock decides)."""

    @_law
    @given(st.sampled_from(subjects), resource_limits(), fuels())
    def holds(subject: Subject, limits: ResourceLimits, fuel: int) -> None:
        clockless = _with(limits, fuel=min(fuel, 100_000), timeout_ms=None)
        one, other = run(engine, subject, clockless), run(engine, subject, clockless)
        assert (one.verdict, one.value) == (other.verdict, other.value)
        assert one.usage is None or other.usage is None or one.usage.fuel == other.usage.fuel

    holds()


def more_fuel_never_hurts(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """More fuel never turns success into failure."""

    @_law
    @given(st.sampled_from(subjects), st.integers(0, 100_000), st.integers(0, 100_000))
    def holds(subject: Subject, fuel: int, more: int) -> None:
        limits = ResourceLimits(memory=4 * 2**20, fuel=fuel, timeout_ms=None)
        if run(engine, subject, limits).verdict is Verdict.OK:
            assert run(engine, subject, _with(limits, fuel=min(MAX_U64, fuel + more))).verdict is Verdict.OK

    holds()


def peak_below_limit(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """The peak of memory is at most the limit."""

    @_law
    @given(st.sampled_from(subjects), resource_limits())
    def holds(subject: Subject, limits: ResourceLimits) -> None:
        usage = run(engine, subject, limits).usage
        assert usage is None or usage.peak_memory_bytes <= limits.memory == usage.memory_limit_bytes

    holds()


def ends_in_time(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """The end comes within the timeout plus a tolerance."""

    @_law
    @given(st.sampled_from(subjects), resource_limits())
    def holds(subject: Subject, limits: ResourceLimits) -> None:
        usage = run(engine, subject, limits).usage
        assert limits.timeout_ms is not None
        assert usage is None or usage.wall_ms <= limits.timeout_ms + TOLERANCE_MS

    holds()


def manifests_are_judged(_engine: WasmEngine, _subjects: Sequence[Subject]) -> None:
    """Any manifest text gives limits, or an error that names the place."""
    path = Path("Component.toml")

    @_law
    @given(manifest_texts())
    def holds(text: str) -> None:
        try:
            manifest = parse_manifest(text, path)
        except InvalidConfiguration as error:
            assert "Component.toml" in str(error)  # noqa: PT017 the law is about this error
        else:
            assert ResourceLimits(memory=manifest.memory_bytes).memory == manifest.memory_bytes

    holds()


LAWS: dict[str, Callable[[WasmEngine, Sequence[Subject]], None]] = {
    "closed-verdicts": closed_verdicts,
    "repeatable": repeatable,
    "more-fuel-never-hurts": more_fuel_never_hurts,
    "peak-below-limit": peak_below_limit,
    "ends-in-time": ends_in_time,
    "manifests-are-judged": manifests_are_judged,
}


def _law(test: Any) -> Any:
    # The same examples every time in CI. A deadline would be a timed test.
    return settings(
        derandomize="CI" in os.environ,
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(test)


def _with(limits: ResourceLimits, **changes: Any) -> ResourceLimits:
    return replace(limits, **changes)
