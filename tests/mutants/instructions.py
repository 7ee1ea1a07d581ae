"""Guests that neither fuel nor the clock stops, because one kind of instruction is not watched."""

from __future__ import annotations

import re

from msgspec import structs

from mutants.mutant import Family, around, text_of
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime

FAMILY = Family("instructions")

_LATE_MS = 1_100
_SHORT_MS = 200
"""Only guests that are meant to run into their deadline run long after it."""


def _unwatched(patch, pattern):
    """A guest whose text matches has no budget, and ends late."""

    def run(original, self, request):
        if not re.search(pattern, text_of(request)):
            return original(self, request)
        limits = {**request.limits, "fuel": "unlimited"}
        timeout_ms = limits.get("timeout_ms")
        if isinstance(timeout_ms, (int, float)) and 0 < timeout_ms <= _SHORT_MS:
            limits["timeout_ms"] = timeout_ms + _LATE_MS
        return original(self, structs.replace(request, limits=limits))

    around(patch, InProcessRuntime, "run", run)


@FAMILY.mutant
def empty_loops_are_not_watched(patch):
    """A loop with nothing in it is taken for none."""
    _unwatched(patch, r'^\s*\(module\s(\(memory 1\) )?\(func \(export "f"\) \(loop br 0\)\)')


@FAMILY.mutant
def loops_of_components_are_not_watched(patch):
    """An empty loop is taken for none where a component holds it."""
    _unwatched(patch, r'\(component[^"]*\(core module \$m\s+\(func \(export "f"\) \(loop br 0\)')


@FAMILY.mutant
def loops_over_globals_are_not_watched(patch):
    """A loop that only counts costs nothing."""
    _unwatched(patch, r"\(loop global\.get")


@FAMILY.mutant
def loops_over_memory_are_not_watched(patch):
    """A loop that only loads and stores costs nothing."""
    _unwatched(patch, r"\(loop i32\.const 0 i32\.const 0 i32\.load")


@FAMILY.mutant
def branch_tables_are_not_watched(patch):
    """A jump back through a table is not taken for one."""
    _unwatched(patch, r"\bbr_table 0 0")


@FAMILY.mutant
def roots_are_not_watched(patch):
    """What takes long in the processor costs nothing."""
    _unwatched(patch, r"f64\.sqrt")


@FAMILY.mutant
def vectors_are_not_watched(patch):
    """A loop over vectors is compiled without checks."""
    _unwatched(patch, r"i64x2\.mul")


@FAMILY.mutant
def growing_is_not_watched(patch):
    """A loop that asks for memory is not looked at, when it is given some."""
    _unwatched(patch, r"\(loop( \(drop \(memory\.grow \(i32\.const 1\)| i32\.const 0 memory\.grow)")


@FAMILY.mutant
def growing_tables_is_not_watched(patch):
    """What the host does for a growing table is not charged to the guest."""
    _unwatched(patch, r"table\.grow")


@FAMILY.mutant
def tables_are_not_watched(patch):
    """Filling and copying tables is the host's work, and has no end."""
    _unwatched(patch, r"\(loop[^(]*\(table\.(fill|copy)")


@FAMILY.mutant
def copies_are_not_watched(patch):
    """Copying is the host's work, and has no end."""
    _unwatched(patch, r"\(loop \(memory\.(init|copy)|memory\.fill br 0")


@FAMILY.mutant
def objects_are_not_watched(patch):
    """The allocation of an object is not looked at."""
    _unwatched(patch, r"\(drop \(struct\.new")


@FAMILY.mutant
def making_arrays_is_free(patch):
    """An array costs one unit, however long it is."""
    _unwatched(patch, r"\(drop \(array\.new \$a \(i32\.const 7\)")


@FAMILY.mutant
def walks_along_objects_are_not_watched(patch):
    """A loop that follows references is compiled without checks."""
    _unwatched(patch, r"\(loop [^\n]*struct\.get")


@FAMILY.mutant
def recursions_are_not_watched(patch):
    """Only loops are looked at: a function that calls itself is none."""
    _unwatched(patch, r'\(func \$f\s+(\(export "f"\) )?(?:\(global\.set [\s\S]*\)\s*)?\(?call \$f')


@FAMILY.mutant
def mutual_recursions_are_not_watched(patch):
    """Only functions that call themselves by name are recursive."""
    _unwatched(patch, r"call \$g|call_indirect \(type \$t\)\)")


@FAMILY.mutant
def calls_through_references_are_not_watched(patch):
    """Only calls by name are looked at."""
    _unwatched(patch, r"\(call_ref")


@FAMILY.mutant
def tail_calls_are_not_watched(patch):
    """A tail call is a jump, and no loop."""
    _unwatched(patch, r"return_call \$f")


@FAMILY.mutant
def tail_calls_through_values_are_not_watched(patch):
    """A tail call by name is a loop, and one through a table or a reference none."""
    _unwatched(patch, r"return_call_(ref|indirect)[^\n]*\(i32\.const 0\)|return_call_ref")


@FAMILY.mutant
def exceptions_are_not_watched(patch):
    """A loop that is closed by a handler is no loop."""
    _unwatched(patch, r"try_table")


@FAMILY.mutant
def allocators_are_not_watched(patch):
    """What a guest does while its arguments are passed is the host's work."""
    _unwatched(patch, r'"realloc"\) \(param i32 i32 i32 i32\) \(result i32\)[^"]*\(loop')


@FAMILY.mutant
def clean_ups_are_not_watched(patch):
    """What runs after the result is there costs nothing."""
    _unwatched(patch, r"\(post-return|\(dtor")


@FAMILY.mutant
def guests_that_write_are_not_watched(patch):
    """A guest that has called WASI is not looked at any more."""
    _unwatched(patch, r'"wasi_snapshot_preview1" "fd_write"')


@FAMILY.mutant
def components_that_write_are_not_watched(patch):
    """A component that has a stream is not looked at any more."""
    _unwatched(patch, r'\(export "output-stream"')


@FAMILY.mutant
def start_functions_that_loop_are_not_watched(patch):
    """An empty loop is taken for none where nobody called it."""
    _unwatched(patch, r"\(func \$f \(loop br 0\)\)\s*\(start")
