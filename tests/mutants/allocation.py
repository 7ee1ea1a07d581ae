"""Allocators of guests that are asked for something else than is needed, or are not believed what they may say."""

from __future__ import annotations

import re

from msgspec import UNSET, structs

from mutants.mutant import Family, answering, around, rewriting, text_of
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.base.outcome import Verdict

FAMILY = Family("allocation")

_ALLOCATOR = r'\(func \(export "realloc"\) \(param i32 i32 i32 i32\) \(result i32\)(?: \(local \$p i32\))?'
_PLACE = re.compile(_ALLOCATOR + r"\s*\(i32\.const (-?[\d_]+)\)\)")
_PAGES = re.compile(r'\(memory \(export "mem"\) (\d+)\)')


def _told(patch, instead):
    """Allocators hear `instead` in the place of one of their arguments."""
    rewriting(patch, lambda text: re.sub(_ALLOCATOR, rf"\g<0> {instead}", text))


@FAMILY.mutant
def allocators_are_told_half_the_size(patch):
    """An allocator is asked for less than is written."""
    _told(patch, "(local.set 3 (i32.div_u (local.get 3) (i32.const 2)))")


@FAMILY.mutant
def allocators_are_told_no_alignment(patch):
    """Everything is asked for as if it were bytes."""
    _told(patch, "(local.set 2 (i32.const 1))")


def _refusing(patch, is_refused):
    """What was fine is a trap where `is_refused(place, end, text)`: of an allocator that always gives one place."""

    def change(answer, request):
        text = text_of(request)
        place, pages = _PLACE.search(text), _PAGES.search(text)
        if answer.verdict is not Verdict.OK or answer.phase or not place or not pages:
            return {}
        if not is_refused(int(place[1]), int(pages[1]) * 65_536, text):
            return {}
        return {"verdict": Verdict.TRAP, "value": UNSET, "trap": "memory-out-of-bounds"}

    answering(patch, change)


@FAMILY.mutant
def address_zero_is_a_failure(patch):
    """Zero is taken for what an allocator returns when it has nothing."""
    _refusing(patch, lambda place, _end, _text: place == 0)


@FAMILY.mutant
def the_end_of_memory_cannot_be_had(patch):
    """What ends with memory is taken for what ends beyond it."""
    _refusing(patch, lambda place, end, _text: end - 1_024 <= place < end)


@FAMILY.mutant
def a_place_that_is_given_twice_is_a_fault(patch):
    """What was written is read back, and an allocator that had it overwritten is blamed."""
    _refusing(patch, lambda _place, _end, text: "(list string)" in text)


@FAMILY.mutant
def allocators_have_a_budget_of_their_own(patch):
    """Each entry into a guest has the whole budget: its allocator, and then its function."""

    def run(original, self, request):
        fuel = request.limits.get("fuel")
        if isinstance(fuel, int) and '"realloc"' in text_of(request):
            request = structs.replace(request, limits={**request.limits, "fuel": 2 * fuel})
        return original(self, request)

    around(patch, InProcessRuntime, "run", run)


@FAMILY.mutant
def texts_for_other_guests_are_copied(patch):
    """Each guest gets a text in the encoding of the other."""
    rewriting(
        patch,
        lambda text: text.replace(" string-encoding=utf16", "") if "(component $callee" in text else text,
    )
