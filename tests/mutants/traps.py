"""Traps that do not happen, because the processor does not have them, or that are told as their neighbours."""

from __future__ import annotations

from pathlib import Path

from msgspec import UNSET

from mutants.mutant import Family, answering
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.execution import verdict as judgement

FAMILY = Family("traps")

_GOES_ON = {"verdict": Verdict.OK, "value": 0, "trap": None}


def _instead(patch, trap, instead):
    """Answer `instead` where this trap is right."""
    answering(patch, lambda answer, _: instead if answer.trap == trap else {})


@FAMILY.mutant
def addresses_wrap_around_memory(patch):
    """An address beyond the end is masked, and reads or writes what is at the beginning."""
    _instead(patch, "memory-out-of-bounds", _GOES_ON)


@FAMILY.mutant
def arrays_have_no_bounds(patch):
    """An index is not compared with the length of its array."""
    _instead(patch, "array-out-of-bounds", _GOES_ON)


@FAMILY.mutant
def null_is_an_address(patch):
    """A null reference is page zero, and told as what touching it is."""
    _instead(patch, "null-reference", {"trap": "memory-out-of-bounds"})


@FAMILY.mutant
def division_by_zero_is_zero(patch):
    """As some processors have it."""
    _instead(patch, "integer-division-by-zero", _GOES_ON)


@FAMILY.mutant
def what_is_no_number_is_zero(patch):
    """A conversion of not-a-number gives an integer."""
    _instead(patch, "bad-conversion-to-integer", _GOES_ON)


@FAMILY.mutant
def signatures_are_not_compared(patch):
    """An indirect call goes to whatever function there is."""
    _instead(patch, "bad-signature", _GOES_ON)


@FAMILY.mutant
def an_empty_entry_has_the_wrong_signature(patch):
    """A table's entry without a function is taken for one of another type."""
    _instead(patch, "indirect-call-to-null", {"trap": "bad-signature"})


@FAMILY.mutant
def casts_are_believed(patch):
    """A cast changes the type, and looks at nothing."""
    _instead(patch, "cast-failure", _GOES_ON)


@FAMILY.mutant
def unreachable_has_no_kind(patch):
    """What the guest does on purpose is taken for an unknown fault."""
    _instead(patch, "unreachable", {"trap": "unknown"})


@FAMILY.mutant
def an_exception_without_a_handler_goes_by(patch):
    """What nobody catches ends the call, and is forgotten."""
    _instead(patch, "uncaught-exception", _GOES_ON)


@FAMILY.mutant
def loans_are_not_counted(patch):
    """A borrowed handle may be kept after the call."""
    _instead(patch, "borrow-not-returned", _GOES_ON)


@FAMILY.mutant
def lent_handles_may_be_given_away(patch):
    """A handle is passed by value while the same call borrows it."""
    _instead(patch, "resource-lent", _GOES_ON)


@FAMILY.mutant
def an_allocator_may_call_the_host(patch):
    """A component may be left while its arguments are being passed."""
    _instead(patch, "cannot-leave-component", _GOES_ON)


@FAMILY.mutant
def what_fails_after_the_result_is_dropped(patch):
    """There is a result, so destructors and clean-ups do not matter any more."""

    def change(answer, request):
        text = Path(request.component).read_text("utf-8")
        is_after = answer.verdict is Verdict.TRAP and ("post-return" in text or "(dtor" in text)
        return {"verdict": Verdict.OK, "value": UNSET, "trap": None} if is_after else {}

    answering(patch, change)


def _without_name(patch, resource):
    """What wasmtime itself refuses is not recognised where it is this resource that ran out."""
    known = [(pattern, name) for pattern, name in judgement._RESOURCES if name != resource]
    patch.setattr(judgement, "_RESOURCES", known)


@FAMILY.mutant
def too_many_handles_are_an_unknown_trap(patch):
    """The table of handles is full, and nobody knows what that means."""
    _without_name(patch, "handles")


@FAMILY.mutant
def too_deep_a_copy_is_an_unknown_trap(patch):
    """What wasmtime refuses to copy, before anything is counted, has no name."""
    _without_name(patch, "host-transfer")
