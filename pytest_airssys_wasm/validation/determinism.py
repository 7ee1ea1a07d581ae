"""The check `deterministic`: the same call in new stores must have the same value, fuel and output."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.validation.calls import PlannedCall, make_call, plan_call
from pytest_airssys_wasm.validation.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.manifest.model import ManifestTest
    from pytest_airssys_wasm.validation.calls import CallResult
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
    with candidate.instantiated() as instance:
        component = instance.component
        cost = instance.store.usage
        assert cost is not None
        calls = _calls(candidate, component)
    found: list[str] = []
    for _ in range(1, RUNS):
        with candidate.instantiated() as instance:
            again = instance.store.usage
            assert again is not None
            if again.fuel.consumed != cost.fuel.consumed:
                fuel = f"{cost.fuel.consumed:,}", f"{again.fuel.consumed:,} fuel"
                found.append(_differs("instantiation used", *fuel))
                break
    late = 0
    for planned in calls:
        first, others = _call(candidate, planned), [_call(candidate, planned) for _ in range(1, RUNS)]
        if any(one is not None and one.verdict is Verdict.TIMEOUT for one in (first, *others)):
            late += 1  # how far a guest gets until its timeout depends on the machine
            continue
        # One difference for each call: further ones mostly follow from it.
        found += islice((text for again in others for text in _compare(planned, first, again)), 1)
    if found:
        raise _unfit(component, found)
    if not calls:
        return f"only the instantiation, {RUNS} times: there are no [[tests]], and every export takes arguments"
    not_compared = f"; {counted(late, 'call')} not compared, because of timeouts" if late else ""
    return f"{counted(len(calls) - late, 'call')} and the instantiation, {RUNS} times each{not_compared}"


def _calls(candidate: Candidate, component: Component) -> list[PlannedCall]:
    tests = candidate.manifest.tests if candidate.manifest else ()
    found = {planned.text: planned for planned in _planned(component, tests)}
    if not found:
        without_arguments = (name for name in component.function_names() if not component.parameter_types(name))
        found = {name: plan_call(component, name, ()) for name in without_arguments}
    return list(found.values())


def _planned(component: Component, tests: tuple[ManifestTest, ...]) -> Iterator[PlannedCall]:
    for test in tests:
        try:
            yield plan_call(component, test.call, test.args)
        except Unfit:  # the entry's own check reports it
            continue


def _call(candidate: Candidate, planned: PlannedCall) -> CallResult | None:
    with candidate.instantiated() as instance:
        try:
            return make_call(instance, planned)
        except Unfit:  # reported by the entry's own check too
            return None


def _compare(planned: PlannedCall, first: CallResult | None, again: CallResult | None) -> Iterator[str]:
    """Yield the differences of the second result from the first."""
    if first is None or again is None:
        return
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
