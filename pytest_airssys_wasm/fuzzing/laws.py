"""The limit laws: properties of any guest under any limits. In the conformance suite each law is one pytest item, which
is tested with guests of the suite; `--wasm-fuzz` tests the laws with the exports of a component.

| law | sentence |
|---|---|
| closed-verdicts | any limits give a verdict from the closed set, and the host lives |
| repeatable | equal runs are equal in verdict, value and fuel |
| one-fuel-threshold | every smaller budget ends out-of-fuel; every other one gives the same value and consumption |
| one-memory-threshold | below the peak a growth is refused; every other limit gives the same value and consumption |
| more-never-hurts | raising a limit never turns success into failure |
| within-limits | the peak of memory, the fuel and the output are at most their limits |
| ends-in-time | the end comes within the timeout plus a tolerance |
| breaches-stay-inside | a breach in one store changes nothing in another one |
| manifests-are-judged | any manifest text gives limits, or an error that names the place |
| manifests-round-trip | limits that are written as a manifest and read again are the same |
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.law_tests import AMPLE, LawTest, SubjectCall, run
from pytest_airssys_wasm.fuzzing.pasteable import as_json
from pytest_airssys_wasm.fuzzing.strategies import (
    fuels,
    manifest_of,
    manifest_texts,
    manifests,
    memory_sizes,
    resource_limits,
)
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, UnfitHost, WasmError
from pytest_airssys_wasm.runtime.manifest.loading import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERANCE_MS = 2_000
"""The tolerance of the law `ends-in-time` in milliseconds. It is wide, because the law only requires that the guest
ends, even on a busy machine. The chapter `timeout` measures the accuracy.
"""

_PLACE = Path("Component.toml")
_LATE = (Verdict.TIMEOUT, Verdict.RUNTIME_DIED)
"""The verdicts that a busy machine may cause: a guest, or its process, was too slow."""

_RAISED = ("fuel", "memory", "tables", "table_elements", "instances", "memories", "transfer", "output")
"""The limits that are raised one by one."""


def _late(verdict: Verdict) -> bool:
    return verdict in _LATE


def closed_verdicts(test: LawTest) -> None:
    """Assert that any limits lead to a verdict from the closed set, and that the host survives."""

    def holds(call: SubjectCall, limits: ResourceLimits) -> None:
        result = run(call, test.ceilings.lower(limits))
        if result.verdict is Verdict.RUNTIME_DIED:  # a busy machine may keep a process silent, but not each time
            result = run(call, test.ceilings.lower(limits))
        assert result.verdict in Verdict
        assert result.verdict not in (Verdict.INVALID_CONFIG, Verdict.RUNTIME_DIED)

    test.check(test.calls(), resource_limits(), holds=holds)


def repeatable(test: LawTest) -> None:
    """Assert that equal runs, unless their timeout ends them, have the same verdict, value and fuel."""

    def holds(call: SubjectCall, limits: ResourceLimits, fuel: int) -> None:
        ample = replace(limits, fuel=min(fuel, 100_000), timeout_ms=AMPLE.timeout_ms)
        one, other = (run(call, test.ceilings.lower(ample)) for _ in range(2))
        if not _late(one.verdict) and not _late(other.verdict):
            assert one.behaviour == other.behaviour

    test.check(test.calls(), resource_limits(), fuels(), holds=holds)


def one_fuel_threshold(test: LawTest) -> None:
    """Assert that a call has one threshold: every smaller budget ends out-of-fuel, and every other one gives the same
    value and consumption.

    The consumption is at most the budget. wasmtime does not check the last block of a call, so that a budget may lie
    between the threshold and what the call consumes with more.
    """

    def holds(call: SubjectCall, budget: int, share: float) -> None:
        limits = test.ample()
        whole = run(call, limits)
        if whole.verdict is not Verdict.OK or whole.usage is None:
            return
        consumed = whole.usage.fuel.consumed
        low, high = 0, consumed + 1
        while low < high:
            middle = (low + high) // 2
            is_enough = run(call, replace(limits, fuel=middle)).verdict is Verdict.OK
            low, high = (low, middle) if is_enough else (middle + 1, high)
        for fuel in {budget, int(share * consumed), low, low - 1, consumed + 1}:
            if fuel < 0 or (test.ceilings.fuel is not None and fuel > test.ceilings.fuel):
                continue
            result = run(call, replace(limits, fuel=fuel))
            if _late(result.verdict):
                continue
            expected = (Verdict.OUT_OF_FUEL, None, fuel)
            if fuel >= low:
                expected = (Verdict.OK, whole.value, min(fuel, consumed))
            assert result.behaviour == expected, f"with {fuel:,} fuel; the threshold is {low:,}"

    test.check(test.calls(), fuels(), st.floats(0, 1), holds=holds)


def one_memory_threshold(test: LawTest) -> None:
    """Assert that below the peak of a call a growth or an initial size is refused, and that every other memory limit
    gives the same value and consumption.
    """

    def holds(call: SubjectCall, memory: int, less: int) -> None:
        limits = test.ample()
        whole = run(call, limits)
        if whole.verdict is not Verdict.OK or whole.usage is None or whole.usage.denied_growths:
            return
        peak = whole.usage.peak_memory_bytes
        for size in {memory, peak, max(0, peak - less)}:
            if size > limits.memory:
                continue
            result = run(call, replace(limits, memory=size))
            if _late(result.verdict):
                continue
            if size >= peak:
                assert result.behaviour == whole.behaviour, f"with {size:,} bytes"
            else:
                refused = result.usage.denied_growths if result.usage is not None else 0
                assert refused or result.verdict is not Verdict.OK, f"with {size:,} bytes"

    test.check(test.calls(), memory_sizes(), st.integers(1, 2 * 65_536), holds=holds)


def more_never_hurts(test: LawTest) -> None:
    """Assert that raising any one limit never turns success into failure.

    Only some limits of an example are low, because calls rarely succeed if all of them are. A guest can see that a
    growth succeeds, so the law is not tested where one was refused.
    """

    def holds(call: SubjectCall, limits: ResourceLimits, low: set[str], factor: int) -> None:
        fuel = AMPLE.fuel if limits.fuel is None else min(limits.fuel, 100_000)
        known: dict[str, Any] = {name: fuel if name == "fuel" else getattr(limits, name) for name in low}
        limits = test.ceilings.lower(replace(AMPLE, **known))
        result = run(call, limits)
        if result.verdict is not Verdict.OK or result.usage is None or result.usage.denied_growths:
            return
        for name in _RAISED:
            raised = min(MAX_U64 if name == "fuel" else 2**30, (getattr(limits, name) or 0) * factor + 1)
            higher = test.ceilings.lower(replace(limits, **{name: raised}))
            assert run(call, higher).verdict in (Verdict.OK, *_LATE), f"with {name} raised to {raised:,}"

    test.check(test.calls(), resource_limits(), st.sets(st.sampled_from(_RAISED)), st.integers(1, 64), holds=holds)


def within_limits(test: LawTest) -> None:
    """Assert that the peak of memory, the fuel and the output are at most their limits."""

    def holds(call: SubjectCall, limits: ResourceLimits) -> None:
        limits = test.ceilings.lower(limits)
        result = run(call, limits)
        usage = result.usage
        assert result.output_bytes <= limits.output
        if usage is not None:
            assert usage.peak_memory_bytes <= limits.memory == usage.memory_limit_bytes
            assert limits.fuel is None or usage.fuel.consumed <= limits.fuel
            assert result.verdict is not Verdict.OK or usage.transfer_bytes <= limits.transfer

    test.check(test.calls(), resource_limits(), holds=holds)


def ends_in_time(test: LawTest) -> None:
    """Assert that the execution ends within the timeout plus a tolerance."""

    def holds(call: SubjectCall, limits: ResourceLimits) -> None:
        limits = test.ceilings.lower(limits)
        usage = run(call, limits).usage
        assert limits.timeout_ms is not None
        assert usage is None or usage.wall_ms <= limits.timeout_ms + TOLERANCE_MS

    test.check(test.calls(), resource_limits(), holds=holds)


def breaches_stay_inside(test: LawTest) -> None:
    """Assert that a call in a store has the same verdict, value and fuel after a breach of any limits in another store
    as without it.
    """

    def holds(call: SubjectCall, other: SubjectCall, limits: ResourceLimits) -> None:
        undisturbed = _twice(call, test.ample(), lambda: None)
        breach = test.ceilings.lower(limits)
        disturbed = _twice(call, test.ample(), lambda: run(other, breach))
        if not _late(undisturbed[0]) and not _late(disturbed[0]):
            assert undisturbed == disturbed

    test.check(test.calls(), test.calls(), resource_limits(), holds=holds)


def _twice(call: SubjectCall, limits: ResourceLimits, between: Callable[[], object]) -> tuple[Any, ...]:
    """Return the verdict, the value and the fuel of the second of two calls in one instance."""
    guest, value = call.subject.guest, None
    with guest.new_store(limits) as store:
        try:
            instance = store.instantiate(guest.component)
            instance.call(call.subject.function, *call.args)
            between()
            value = as_json(instance.call(call.subject.function, *call.args))
        except UnfitHost:
            raise
        except WasmError as error:
            return error.verdict, None, None
        assert store.usage is not None
        return Verdict.OK, value, store.usage.fuel.consumed


def manifests_are_judged(test: LawTest) -> None:
    """Assert that reading any manifest text returns limits, or raises an error that names the position."""

    def holds(text: str) -> None:
        try:
            manifest = parse_manifest(text, _PLACE)
        except InvalidConfiguration as error:
            assert "Component.toml" in str(error)  # noqa: PT017 the law is about this error
        else:
            assert ResourceLimits(memory=manifest.memory_bytes).memory == manifest.memory_bytes

    test.check(manifest_texts(), holds=holds)


def manifests_round_trip(test: LawTest) -> None:
    """Assert that limits that are written as a manifest and read again are the same."""

    def holds(text: str) -> None:
        limits = parse_manifest(text, _PLACE).limits()
        assert parse_manifest(manifest_of(limits), _PLACE).limits() == limits

    test.check(manifests(), holds=holds)


OF_RUNS: dict[str, Callable[[LawTest], None]] = {
    "closed-verdicts": closed_verdicts,
    "repeatable": repeatable,
    "one-fuel-threshold": one_fuel_threshold,
    "one-memory-threshold": one_memory_threshold,
    "more-never-hurts": more_never_hurts,
    "within-limits": within_limits,
    "ends-in-time": ends_in_time,
    "breaches-stay-inside": breaches_stay_inside,
}
"""The functions that test the laws about executions, by the names of the laws."""
LAWS: dict[str, Callable[[LawTest], None]] = {
    **OF_RUNS,
    "manifests-are-judged": manifests_are_judged,
    "manifests-round-trip": manifests_round_trip,
}
"""The functions that test the laws, by the names of the laws."""
