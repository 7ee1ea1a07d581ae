"""The steps of an entry `[[tests]]`, which are made one after the other in one instance, and may be repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from pytest_airssys_wasm.runtime.base.figures import size
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant
from pytest_airssys_wasm.runtime.errors import UnfitHost, WasmError
from pytest_airssys_wasm.runtime.guest.resources import Resource
from pytest_airssys_wasm.validation.calls import judge, make_call, outcome_text, plan_call, refusals
from pytest_airssys_wasm.validation.unfit import Unfit, remedy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_airssys_wasm.runtime.guest.instance import Instance
    from pytest_airssys_wasm.runtime.manifest.model import ManifestStep, ManifestTest
    from pytest_airssys_wasm.validation.calls import CallResult, PlannedCall
    from pytest_airssys_wasm.validation.candidate import Candidate
    from pytest_airssys_wasm.validation.stubs import ServedStubs


def check_entry(candidate: Candidate, test: ManifestTest) -> str:
    """Make the calls of an entry `[[tests]]` in a new instance, and return a note with their result and their fuel.

    Raises `Unfit` if a result is not the expected one or a bound on memory is exceeded, and `Blocked` if the component
    cannot be instantiated.
    """
    with candidate.instantiated(test.imports) as (instance, stubs):
        return _Entry(test, instance, stubs, candidate.origins).check()


def play(instance: Instance, steps: Sequence[ManifestStep]) -> Iterator[tuple[PlannedCall, CallResult]]:
    """Make the calls of the steps, and yield each with its result. Drop the resources that are held at the end.

    It ends after a call that does not return. Raises `Unfit` for a call that cannot be made.
    """
    saved: dict[str, Any] = {}
    held: list[Resource] = []
    for step in steps:
        planned = plan_call(instance.component, step.call, step.args, saved)
        result = make_call(instance, planned)
        held += resources_in(result.returned)
        if step.save is not UNSET and result.error is None:
            saved[step.save] = result.returned
        yield planned, result
        if result.error is not None:
            return
    for resource in reversed(held):
        try:
            resource.drop()
        except UnfitHost:
            raise  # which says nothing about the component
        except WasmError as error:
            said = f"dropping {resource!r} ended with {error.verdict}: {error}"
            raise Unfit(said, remedy(error, {})) from error


def resources_in(value: Any) -> Iterator[Resource]:
    """Yield the resources in a value that a call returned."""
    match value:
        case Resource():
            yield value
        case Ok(payload) | Err(payload) | Some(payload):
            yield from resources_in(payload)
        case Variant():
            yield from resources_in(value.payload)
        case Record():
            for field in value.as_dict().values():
                yield from resources_in(field)
        case list() | tuple():
            for item in value:
                yield from resources_in(item)


class _Entry:
    """An entry that is being checked: its calls so far, and what they did to the memory of the instance."""

    def __init__(self, test: ManifestTest, instance: Instance, stubs: ServedStubs, origins: Mapping[str, str]) -> None:
        self._test = test
        self._steps = test.sequence
        self._instance = instance
        self._stubs = stubs
        self._origins = origins
        self._fuel = 0
        cost = instance.store.usage
        assert cost is not None
        self._memory_bytes = cost.peak_memory_bytes
        self._denied_growths = cost.denied_growths
        self._growth = 0
        """The bytes that were added after the first repetition."""
        self._last = ""

    def check(self) -> str:
        """Make all calls, and return the note."""
        test = self._test
        for repetition in range(1, test.repeat + 1):
            before = self._stubs.counts()
            try:
                self._repeat(repetition)
            except Unfit as unfit:
                raise Unfit(unfit.reason + self._when(repetition), unfit.remedy, unfit.details) from unfit.__cause__
            for miscounted in self._stubs.miscounted(before):
                raise Unfit(
                    f"the import {miscounted}{self._when(repetition)}", "correct the component, or calls of the stub"
                )
        denied = self._denied_growths
        if test.max_denied_growths is not UNSET and denied > test.max_denied_growths:
            raise Unfit(
                f"the memory limit refused {counted(denied, 'growth')}, max_denied_growths is "
                f"{test.max_denied_growths:,}",
                "use less memory, raise max_bytes under [resources.memory], or raise max_denied_growths",
            )
        return f"{self._note()}{refusals(denied)}{self._stubs.note()}"

    def _repeat(self, repetition: int) -> None:
        self._stubs.forget_answers()
        for number, (planned, result) in enumerate(play(self._instance, self._steps)):
            step = self._steps[number]
            try:
                judge(planned, result, step, self._origins)
            except Unfit as unfit:
                details = [*unfit.details, *self._stubs.answer_lines()]
                raise Unfit(self._where(number) + unfit.reason, unfit.remedy, details) from unfit.__cause__
            self._stubs.forget_answers()
            self._fuel += result.usage.fuel.consumed
            self._denied_growths += result.usage.denied_growths
            self._last = outcome_text(planned, result)
            self._count(planned, result, repetition, number)

    def _count(self, planned: PlannedCall, result: CallResult, repetition: int, number: int) -> None:
        """Count the growth of the memory. Raises `Unfit` if it is more than the entry allows."""
        test, memory_bytes = self._test, result.usage.peak_memory_bytes
        added, self._memory_bytes = memory_bytes - self._memory_bytes, memory_bytes
        if repetition == 1 or result.verdict is not Verdict.OK:
            return
        self._growth += added
        if test.max_growth is UNSET or not isinstance(test.max_growth, int) or self._growth <= test.max_growth:
            return
        raise Unfit(
            f"{self._where(number)}{planned.text} added {size(added)} of memory, {size(self._growth)} since the first "
            f"repetition, max_growth is {size(test.max_growth)}",
            "free what each repetition allocates (the memory of the instance is "
            f"{size(memory_bytes)} now), or raise max_growth",
        )

    def _where(self, number: int) -> str:
        steps = len(self._steps)
        return f"step {number + 1} of {steps}: " if steps > 1 else ""

    def _when(self, repetition: int) -> str:
        return f", in repetition {repetition:,} of {self._test.repeat:,}" if self._test.repeat > 1 else ""

    def _note(self) -> str:
        steps, repeat = len(self._steps), self._test.repeat
        fuel = f"; fuel {self._fuel:,}"
        if repeat > 1:
            growth = f"grew by {size(self._growth)} after the first" if self._growth else "did not grow"
            return f"{counted(repeat, 'repetition')} of {counted(steps, 'step')}; memory {growth}{fuel}"
        return f"{counted(steps, 'step')}, the last {self._last}{fuel}" if steps > 1 else f"{self._last}{fuel}"
