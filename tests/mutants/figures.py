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
