"""The check `deterministic`: the same call in new stores must have the same value, fuel and output."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.manifest.model import ImportStub, ManifestStep
from pytest_airssys_wasm.validation.calls import CallResult, PlannedCall, plan_call
from pytest_airssys_wasm.validation.steps import play
from pytest_airssys_wasm.validation.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.validation.candidate import Candidate

RUNS = 4
"""The number of times that each call is made. Two calls would miss a random bit in half of the cases."""

_SOURCES = {
    "wasi:random": "random numbers",
    "wasi:clocks": "clocks",
    "wasi_snapshot_preview1#random_get": "random numbers",
    "wasi_snapshot_preview1#clock_time_get": "clocks",
}
"""The imports whose results differ from run to run, by the beginnings of their names, with a word for each."""


def check_determinism(candidate: Candidate) -> str:
    """Check that each call behaves the same in new stores.

    The calls are the instantiation and those of `[[tests]]`, or without `[[tests]]` those of the exports without
    parameters.
    """
    with candidate.instantiated() as (instance, _):
        component = instance.component
        cost = instance.store.usage
        assert cost is not None
        sequences = _sequences(candidate, component)
    found: list[str] = []
    for _ in range(1, RUNS):
        with candidate.instantiated() as (instance, _stubs):
            again = instance.store.usage
            assert again is not None
            if again.fuel.consumed != cost.fuel.consumed:
                fuel = f"{cost.fuel.consumed:,}", f"{again.fuel.consumed:,} fuel"
                found.append(_differs("instantiation used", *fuel))
                break
    late = 0
    for sequence in sequences:
        first, *others = (_play(candidate, sequence) for _ in range(RUNS))
        if any(result.verdict is Verdict.TIMEOUT for results in (first, *others) for _, result in results):
            late += 1  # how far a guest gets until its timeout depends on the machine
            continue
        # One difference for each sequence: further ones mostly follow from it.
        found += islice((text for again in others for text in _compare(first, again)), 1)
    if found:
        raise _unfit(component, found)
    if not sequences:
        return f"only the instantiation, {RUNS} times: there are no [[tests]], and every export takes arguments"
    not_compared = f"; {counted(late, 'call')} not compared, because of timeouts" if late else ""
    return f"{counted(len(sequences) - late, 'call')} and the instantiation, {RUNS} times each{not_compared}"


class _Sequence(NamedTuple):
    """Calls that are made in one instance, under the stubs of their entry."""

    steps: tuple[ManifestStep, ...]
    stubs: Sequence[ImportStub] = ()


_Results = list[tuple[PlannedCall, CallResult]]


def _sequences(candidate: Candidate, component: Component) -> list[_Sequence]:
    tests = candidate.manifest.tests if candidate.manifest else ()
    found: dict[object, _Sequence] = {}
    for test in tests:
        is_alone = len(test.sequence) == 1 and not test.imports
        try:
            key: object = plan_call(component, test.sequence[0].call, test.sequence[0].args).text if is_alone else test
        except Unfit:  # the entry's own check reports it
            continue
        found.setdefault(key if is_alone else id(test), _Sequence(test.sequence, test.imports))
    if found:
        return list(found.values())
    names = (name for name in component.function_names() if not component.parameter_types(name))
    return [_Sequence((ManifestStep(call=name),)) for name in names]


def _play(candidate: Candidate, sequence: _Sequence) -> _Results:
    results: _Results = []
    try:
        with candidate.instantiated(sequence.stubs) as (instance, _):
            results.extend(play(instance, sequence.steps))
    except Unfit:  # reported by the entry's own check too
        pass
    return results


def _compare(first: _Results, again: _Results) -> Iterator[str]:
    """Yield the differences of the second results from the first."""
    for (planned, one), (_, other) in zip(first, again):
        yield from _compare_calls(planned, one, other)


def _compare_calls(planned: PlannedCall, first: CallResult, again: CallResult) -> Iterator[str]:
    what = planned.text
    if first.verdict != again.verdict:
        yield _differs(f"{what} ended with", str(first.verdict), str(again.verdict))
    if first.value != again.value:
        yield _differs(f"{what} returned", planned.result_text(first.value), planned.result_text(again.value))
    if first.usage.fuel != again.usage.fuel:
        yield _differs(f"{what} used", f"{first.usage.fuel.consumed:,}", f"{again.usage.fuel.consumed:,} fuel")
    if first.output != again.output:
        yield _differs(f"{what} wrote", repr(first.output)[:200], repr(again.output)[:200])


def _differs(what: str, first: str, again: str) -> str:
    return f"{what} {first}, and in a fresh store {again}"


def _unfit(component: Component, found: list[str]) -> Unfit:
    """Return the fault with every difference, and with the imports from WASI that may cause them."""
    suspects = {text for name in component.imports for start, text in _SOURCES.items() if name.startswith(start)}
    more = f" (and {counted(len(found) - 1, 'more difference')})" if len(found) > 1 else ""
    hint = f"; it imports {' and '.join(sorted(suspects))} from WASI" if suspects else ""
    advice = []
    if suspects:
        advice.append(f"take {_AS_ARGUMENTS[tuple(sorted(suspects))]} as arguments, not from imports")
    if "random numbers" in suspects:
        advice.append("give hash maps a fixed seed")
    if not suspects:
        own = "the host functions that it imports must return the same each time" if component.imports else ""
        advice.append(own or "look for values that depend on the host, such as the bits of a NaN")
    return Unfit(f"{found[0]}{more}{hint}", "; ".join(advice), [f"also: {text}" for text in found[1:]])


_AS_ARGUMENTS = {
    ("random numbers",): "randomness",
    ("clocks",): "time",
    ("clocks", "random numbers"): "randomness and time",
}
