"""Bounds, types and handles that are not checked where one kind of thing crosses them."""

from __future__ import annotations

import re

from mutants import python_memories
from mutants.mutant import Family, answering, around, rewriting, text_of
from mutants.python_memories import account_in_python
from pytest_airssys_wasm.runtime.base.outcome import Verdict

FAMILY = Family("bounds")

_GOES_ON = {"verdict": Verdict.OK, "value": 0, "trap": None}


def _unchecked(patch, traps, pattern=""):
    """Answer as if nothing had been where one of these traps is right, for a guest whose text matches."""

    def change(answer, request):
        is_trap = answer.trap is not None and re.fullmatch(traps, answer.trap)
        return _GOES_ON if is_trap and re.search(pattern, text_of(request)) else {}

    answering(patch, change)


@FAMILY.mutant
def loads_have_no_bounds(patch):
    """Only stores can do harm."""
    _unchecked(patch, "memory-out-of-bounds", r"\(drop \(i32\.load \(")


@FAMILY.mutant
def stores_have_no_bounds(patch):
    """Only what is read is checked."""
    _unchecked(patch, "memory-out-of-bounds", r"\(i32\.store offset=")


@FAMILY.mutant
def wide_accesses_are_checked_as_bytes(patch):
    """An access is inside when its first byte is."""
    _unchecked(patch, "memory-out-of-bounds", r"i64\.load \(i32|v128|\.load16")


@FAMILY.mutant
def offsets_are_added_in_32_bits(patch):
    """Address and offset wrap around together."""
    _unchecked(patch, "memory-out-of-bounds", r"offset=0xffff")


@FAMILY.mutant
def lengths_wrap_in_fills(patch):
    """Address and length of a fill are added in 32 bits."""
    _unchecked(patch, "memory-out-of-bounds", r"memory\.fill")


@FAMILY.mutant
def copies_have_no_bounds(patch):
    """Where a copy begins is checked, and not where it ends."""
    _unchecked(patch, "memory-out-of-bounds", r"memory\.copy")


@FAMILY.mutant
def dropped_segments_are_there(patch):
    """A segment keeps its bytes, whatever the guest does with it."""
    _unchecked(patch, "memory-out-of-bounds", r"(memory\.init|array\.(new|init)_data)")


@FAMILY.mutant
def tables_have_no_bounds(patch):
    """An index into a table is believed where nothing is called."""
    _unchecked(patch, "table-out-of-bounds", r"table\.(get|set)")


@FAMILY.mutant
def calls_go_beyond_their_table(patch):
    """An index into a table is believed where something is called."""
    _unchecked(patch, "table-out-of-bounds", r"call_indirect")


@FAMILY.mutant
def segments_are_cut_to_what_there_is(patch):
    """Of a segment that does not fit as much is used as does."""
    answering(
        patch,
        lambda answer, _: _GOES_ON if answer.phase == "instantiate" and "out-of-bounds" in (answer.trap or "") else {},
    )


@FAMILY.mutant
def results_lie_anywhere(patch):
    """Where a component says its result is, it is read."""
    _unchecked(patch, "memory-out-of-bounds", r"\(result i32\)\s+\(i32\.const 65536\)")


@FAMILY.mutant
def allocators_are_believed(patch):
    """What an allocator returns is written to, wherever that is."""
    _unchecked(patch, "memory-out-of-bounds", r'"realloc"')


@FAMILY.mutant
def handles_are_believed(patch):
    """A number is a handle."""
    _unchecked(patch, "unknown-handle")


@FAMILY.mutant
def strings_have_no_bounds(patch):
    """A string is as long as its guest says."""
    _unchecked(patch, "string-out-of-bounds")


@FAMILY.mutant
def lists_have_no_bounds(patch):
    """A list is as long as its guest says."""
    _unchecked(patch, "list-out-of-bounds")


@FAMILY.mutant
def chars_are_numbers(patch):
    """Any number is a character."""
    _unchecked(patch, "invalid-char")


@FAMILY.mutant
def cases_are_numbers(patch):
    """A case that does not exist is the last."""
    _unchecked(patch, "invalid-discriminant")


@FAMILY.mutant
def bytes_are_text(patch):
    """What is no text is passed on as it is."""
    _unchecked(patch, "invalid-string-encoding")


@FAMILY.mutant
def nothing_is_aligned(patch):
    """Any address will do."""
    _unchecked(patch, "unaligned-pointer")


@FAMILY.mutant
def what_guests_pass_to_each_other_is_believed(patch):
    """Only what the host gets is checked."""
    _unchecked(patch, ".*", r"\(component \$callee")


@FAMILY.mutant
def pages_are_counted_in_16_bits(patch):
    """A growth by 4,294,901,760 pages is one by none."""
    rewriting(
        patch,
        lambda text: re.sub(
            r"memory\.grow \(local\.get 0\)", r"memory.grow (i32.and (local.get 0) (i32.const 0xffff))", text
        ),
    )


@FAMILY.mutant
def the_last_page_is_only_had_at_first(patch):
    """A memory that begins at the limit is granted, and one that grows to it is not."""

    def take(original, self, size_bytes):
        if self.used_bytes and size_bytes and self.used_bytes + size_bytes == self.limit_bytes:
            self.denied_growths += 1
            return False
        return original(self, size_bytes)

    account_in_python(patch)
    around(patch, python_memories, "take", take)
