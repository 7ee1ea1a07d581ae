"""The limit laws: properties of any guest under any limits, tested with guests of the suite. Each law is one pytest
item.

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

from pytest_airssys_wasm.conformance.guests import source_text
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.fuzzing.strategies import fuels, manifest_texts, resource_limits
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import MAX_U64, ResourceLimits
from pytest_airssys_wasm.runtime.errors import InvalidComponent, InvalidConfiguration, WasmError
from pytest_airssys_wasm.runtime.manifest.loading import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component

TOLERANCE_MS = 2_000
"""The tolerance of the law `ends-in-time` in milliseconds. It is wide, because the law only requires that the guest
ends, even on a busy machine. The chapter `timeout` measures the accuracy.
"""

_EXAMPLES = 60
_CHAPTERS = ("fuel", "memory", "traps")
"""The chapters of the suite whose guests are used to test the laws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A guest and one of its exports without parameters."""

    component: Component
    function: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The verdict, value and cost of one execution."""

    verdict: Verdict
    value: Any
    usage: Usage | None


def run(engine: WasmEngine, subject: Subject, limits: ResourceLimits) -> RunResult:
    """Run the subject once. Exceptions that do not stand for a verdict of the closed set are raised."""
    try:
        done = engine.execute(subject.component, subject.function, limits=limits)
    except WasmError as error:
        return RunResult(verdict=error.verdict, value=None, usage=error.usage)
    return RunResult(verdict=Verdict.OK, value=done.value, usage=done.usage)


def closed_verdicts(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """Assert that any limits lead to a verdict from the closed set, and that the host survives."""

    @_law
    @given(st.sampled_from(subjects), resource_limits())
    def holds(subject: Subject, limits: ResourceLimits) -> None:
        result = run(engine, subject, limits)
        assert result.verdict in Verdict
        assert result.verdict is not Verdict.INVALID_CONFIG

    holds()


def repeatable(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """Assert that equal runs without a timeout have the same verdict, value and fuel."""

    @_law
    @given(st.sampled_from(subjects), resource_limits(), fuels())
    def holds(subject: Subject, limits: ResourceLimits, fuel: int) -> None:
        clockless = replace(limits, fuel=min(fuel, 100_000), timeout_ms=None)
        one, other = run(engine, subject, clockless), run(engine, subject, clockless)
        assert (one.verdict, one.value) == (other.verdict, other.value)
        assert one.usage is None or other.usage is None or one.usage.fuel == other.usage.fuel

    holds()


def more_fuel_never_hurts(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """Assert that more fuel never turns success into failure."""

    @_law
    @given(st.sampled_from(subjects), st.integers(0, 100_000), st.integers(0, 100_000))
    def holds(subject: Subject, fuel: int, more: int) -> None:
        limits = ResourceLimits(memory=4 * 2**20, fuel=fuel, timeout_ms=None)
        if run(engine, subject, limits).verdict is Verdict.OK:
            assert run(engine, subject, replace(limits, fuel=min(MAX_U64, fuel + more))).verdict is Verdict.OK

    holds()


def peak_below_limit(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """Assert that the peak memory is at most the memory limit."""

    @_law
    @given(st.sampled_from(subjects), resource_limits())
    def holds(subject: Subject, limits: ResourceLimits) -> None:
        usage = run(engine, subject, limits).usage
        assert usage is None or usage.peak_memory_bytes <= limits.memory == usage.memory_limit_bytes

    holds()


def ends_in_time(engine: WasmEngine, subjects: Sequence[Subject]) -> None:
    """Assert that the execution ends within the timeout plus a tolerance."""

    @_law
    @given(st.sampled_from(subjects), resource_limits())
    def holds(subject: Subject, limits: ResourceLimits) -> None:
        usage = run(engine, subject, limits).usage
        assert limits.timeout_ms is not None
        assert usage is None or usage.wall_ms <= limits.timeout_ms + TOLERANCE_MS

    holds()


def manifests_are_judged(_engine: WasmEngine, _subjects: Sequence[Subject]) -> None:
    """Assert that reading any manifest text returns limits, or raises an error that names the position."""
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
"""The functions that test the laws, by the names of the laws."""


def bundled_subjects(engine: WasmEngine) -> list[Subject]:
    """Return every export without parameters of the suite's guests that do not import anything from the host."""
    found: dict[tuple[str, str], Subject] = {}
    for chapter in find_chapters():
        if chapter.name not in _CHAPTERS:
            continue
        for file in chapter.cases():
            case = file.load()
            if case.imports or case.wasi is not None or case.actors:
                continue
            text = source_text(case.cast()[0], file.node_id)
            try:
                component = engine.load(text)
            except InvalidComponent:
                continue  # the case may be about that
            for name in component.function_names():
                if not component.parameter_types(name):
                    found.setdefault((text, name), Subject(component=component, function=name))
    return list(found.values())


def _law(test: Any) -> Any:
    # In CI the examples are the same every time. A deadline of Hypothesis would make the test depend on the clock.
    return settings(
        derandomize="CI" in os.environ,
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(test)
