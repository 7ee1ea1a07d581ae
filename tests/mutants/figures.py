"""Figures and values that are missing, or told in another way than the protocol has them."""

from __future__ import annotations

from msgspec import UNSET, structs

from mutants.mutant import Family, answering, around, is_component
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.base.outcome import Verdict

FAMILY = Family("figures")


@FAMILY.mutant
def no_figures_after_a_failure(patch):
    """What failed is not measured."""
    nothing = dict.fromkeys(("fuel_consumed", "peak_memory_bytes", "denied_growths", "elapsed_ms"))
    answering(patch, lambda answer, _: {} if answer.verdict is Verdict.OK else nothing)


@FAMILY.mutant
def the_peak_is_lost_after_a_failure(patch):
    """The store is gone, and its memory with it."""
    answering(patch, lambda answer, _: {} if answer.verdict is Verdict.OK else {"peak_memory_bytes": 0})


@FAMILY.mutant
def the_peak_is_told_of_modules_only(patch):
    """The memory of a component is not exported, and taken for nothing."""
    answering(patch, lambda answer, request: {"peak_memory_bytes": 0} if is_component(request) else {})


@FAMILY.mutant
def time_is_told_in_seconds(patch):
    """0.05, and not 50."""
    answering(patch, lambda answer, _: {"elapsed_ms": (answer.elapsed_ms or 0) / 1_000})


@FAMILY.mutant
def the_timeout_is_told_as_the_time_it_took(patch):
    """An execution that was ended at its deadline is said to have met it."""
    answering(
        patch,
        lambda answer, request: (
            {"elapsed_ms": request.limits["timeout_ms"] - 1}
            if answer.verdict is Verdict.TIMEOUT and "timeout_ms" in request.limits
            else {}
        ),
    )


@FAMILY.mutant
def nothing_is_told_as_zero(patch):
    """A function without a result returns 0."""
    answering(patch, lambda answer, _: {"value": 0} if answer.value is None else {})


@FAMILY.mutant
def numbers_have_no_sign(patch):
    """-1 is told as 4294967295."""
    answering(
        patch,
        lambda answer, _: (
            {"value": answer.value % 2**32} if isinstance(answer.value, int) and -(2**31) <= answer.value < 0 else {}
        ),
    )


@FAMILY.mutant
def large_numbers_are_cut(patch):
    """What is over 32 bits wraps."""
    answering(
        patch,
        lambda answer, _: (
            {"value": answer.value % 2**32} if isinstance(answer.value, int) and answer.value >= 2**32 else {}
        ),
    )


@FAMILY.mutant
def no_value_is_told(patch):
    """What a call returns is left out."""
    answering(patch, lambda answer, _: {"value": UNSET})


@FAMILY.mutant
def messages_say_nothing(patch):
    """That something is wrong is said, and not what."""

    def configure(original, self, request):
        answer = original(self, request)
        return structs.replace(answer, steps=[structs.replace(one, message="error") for one in answer.steps])

    around(patch, InProcessRuntime, "configure", configure)
    answering(patch, lambda answer, _: {"message": "error"})


def _lost_after(patch, verdict):
    """Tell no fuel after an ending with this verdict."""
    answering(patch, lambda answer, _: {"fuel_consumed": 0} if answer.verdict is verdict else {})


@FAMILY.mutant
def fuel_is_lost_after_an_exit(patch):
    """A guest that ended itself is said to have consumed nothing."""
    _lost_after(patch, Verdict.EXIT)


@FAMILY.mutant
def fuel_is_lost_when_memory_ran_out(patch):
    """A guest that had no memory left is said to have consumed nothing."""
    _lost_after(patch, Verdict.OUT_OF_MEMORY)


@FAMILY.mutant
def fuel_is_lost_with_too_much_of_anything(patch):
    """A guest that wrote or passed too much is said to have consumed nothing."""
    _lost_after(patch, Verdict.RESOURCE_LIMIT)


@FAMILY.mutant
def the_time_of_start_functions_is_lost(patch):
    """The clock is read before and after calls only."""
    answering(patch, lambda answer, _: {"elapsed_ms": 0.0} if answer.phase == "instantiate" else {})


@FAMILY.mutant
def fuel_is_counted_in_32_bits(patch):
    """The count begins anew after four billion."""
    answering(
        patch, lambda answer, _: {} if answer.fuel_consumed is None else {"fuel_consumed": answer.fuel_consumed % 2**32}
    )


@FAMILY.mutant
def refusals_are_counted_in_a_byte(patch):
    """The count begins anew after 256."""
    answering(
        patch,
        lambda answer, _: {} if answer.denied_growths is None else {"denied_growths": answer.denied_growths % 256},
    )


@FAMILY.mutant
def a_shared_budget_is_told_as_a_sum(patch):
    """Of steps that share a budget, each is told with what all before it consumed."""

    def run(original, self, request):
        answer = original(self, request)
        if request.fuel_per != "run":
            return answer
        total, steps = 0, []
        for step in answer.steps:
            total += step.fuel_consumed or 0
            steps.append(structs.replace(step, fuel_consumed=total))
        return structs.replace(answer, steps=steps)

    around(patch, InProcessRuntime, "run", run)
