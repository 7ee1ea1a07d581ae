"""Endings that are told as other endings in one place only: in an allocator, a start function, beside output."""

from __future__ import annotations

import re

from msgspec import UNSET

from mutants.mutant import Family, answering, is_component, reading, text_of
from pytest_airssys_wasm.runtime.base.outcome import Verdict

FAMILY = Family("blame")

_OK = {"verdict": Verdict.OK, "value": 0, "trap": None, "resource": None}
_TRAP = {"verdict": Verdict.TRAP, "value": UNSET, "trap": "unreachable", "resource": None}


def _told(patch, verdict, instead, is_there):
    """Answer `instead` where this verdict is right and `is_there(answer, request, text)`."""

    def change(answer, request):
        is_it = answer.verdict is verdict and is_there(answer, request, text_of(request))
        return instead if is_it else {}

    answering(patch, change)


@FAMILY.mutant
def a_trap_behind_output_is_lost(patch):
    """What a guest wrote is all that is told of it."""
    _told(patch, Verdict.TRAP, _OK, lambda answer, _, text: answer.trap == "unreachable" and "fd_write" in text)


@FAMILY.mutant
def output_beyond_memory_is_written(patch):
    """The address that a guest gives WASI is not checked."""
    _told(patch, Verdict.TRAP, {**_OK, "value": 2}, lambda _answer, _, text: "1_048_575" in text)


@FAMILY.mutant
def a_trap_in_a_start_function_is_a_link_error(patch):
    """What keeps a guest from being there is put down to its imports."""
    instead = {"verdict": Verdict.LINK_ERROR, "trap": None}
    _told(patch, Verdict.TRAP, instead, lambda answer, *_: answer.phase and answer.trap == "unreachable")


@FAMILY.mutant
def a_trap_in_an_allocator_is_an_argument_that_does_not_fit(patch):
    """An argument that could not be passed is put down to who passed it."""
    instead = {"verdict": Verdict.HOST_ERROR, "trap": None}
    is_there = re.compile(r'"realloc"\)[^"]*unreachable').search
    _told(patch, Verdict.TRAP, instead, lambda answer, _, text: answer.trap == "unreachable" and is_there(text))


@FAMILY.mutant
def a_function_that_only_traps_is_empty(patch):
    """Code that cannot be reached is left out, and it is all there was."""
    is_there = re.compile(r'\(export "f"\) unreachable').search
    _told(patch, Verdict.TRAP, _OK, lambda _answer, _, text: is_there(text))


@FAMILY.mutant
def allocators_and_clean_ups_that_hoard_have_trapped(patch):
    """A refused growth is known of while a function runs, and not before or after."""
    _told(patch, Verdict.OUT_OF_MEMORY, _TRAP, lambda _answer, _, text: '"realloc"' in text)


@FAMILY.mutant
def modules_that_despair_have_trapped(patch):
    """A module that is refused memory and traps is taken for one that traps, a component is not."""
    _told(
        patch, Verdict.OUT_OF_MEMORY, _TRAP, lambda answer, request, _: not answer.phase and not is_component(request)
    )


@FAMILY.mutant
def components_that_despair_have_trapped(patch):
    """A component that is refused memory and traps is taken for one that traps, a module is not."""
    _told(patch, Verdict.OUT_OF_MEMORY, _TRAP, lambda answer, request, _: not answer.phase and is_component(request))


@FAMILY.mutant
def too_much_memory_at_first_is_cut(patch):
    """A memory that begins over the limit begins at it."""
    _told(patch, Verdict.OUT_OF_MEMORY, {"verdict": Verdict.OK}, lambda answer, *_: answer.phase)


@FAMILY.mutant
def sizes_in_bytes_wrap(patch):
    """The largest memories and tables there can be take no bytes."""
    is_there = re.compile(r"0xffff_ffff|0x1_0000_0000_0000").search
    for verdict in (Verdict.OUT_OF_MEMORY, Verdict.RESOURCE_LIMIT, Verdict.INVALID_COMPONENT):
        _told(patch, verdict, {"verdict": Verdict.OK, "resource": None}, lambda _answer, _, text: is_there(text))


@FAMILY.mutant
def time_is_turned_into_fuel(patch):
    """Where there is a budget there is no clock: a millisecond is a thousand units."""

    def change(limits):
        fuel, timeout_ms = limits.get("fuel"), limits.get("timeout_ms")
        if not isinstance(fuel, int) or not isinstance(timeout_ms, (int, float)) or not timeout_ms:
            return {}
        return {"fuel": min(fuel, int(timeout_ms * 1_000))}

    reading(patch, change)
