"""Guests that see the machine they run on: its bits, its clock, its chance, its environment."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from itertools import count
from pathlib import Path

from mutants import python_memories
from mutants.mutant import Family, answering, around, text_of
from mutants.python_memories import account_in_python
from pytest_airssys_wasm.conformance import inprocess
from pytest_airssys_wasm.runtime.compile import wasmtime_config
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.guest.store_context import wasi_config
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

FAMILY = Family("determinism")


def _set(patch, **values):
    for name, value in values.items():
        patch.setitem(wasmtime_config.SETTINGS, name, value)


@FAMILY.mutant
def nan_bits_are_the_machines(patch):
    """Not-a-number has the sign and payload that the processor gives it."""
    _set(patch, cranelift_nan_canonicalization=False)


@FAMILY.mutant
def relaxed_vectors_change_their_minds(patch):
    """Relaxed vector operations do now what is fastest, and now what is the same everywhere."""
    odd = count()
    others: dict[int, inprocess.InProcessRuntime] = {}

    def run(original, self, request):
        if next(odd) % 2 and "relaxed" in Path(request.component).read_text("utf-8"):
            if not others:
                _set(patch, wasm_relaxed_simd_deterministic=False)
                others[0] = inprocess.InProcessRuntime(WasmEngine())
            return original(others[0], request)
        return original(self, request)

    around(patch, inprocess.InProcessRuntime, "run", run)


@FAMILY.mutant
def has_shared_memory(patch):
    """Memory that threads share is part of the language."""
    _set(patch, wasm_threads=True, shared_memory=True)


@FAMILY.mutant
def lies_about_vectors(patch):
    """It claims the capability `simd`, and does not have it."""
    _set(patch, wasm_simd=False, wasm_relaxed_simd=False)


def _granting(patch, change):
    """`change(grant)` is what WASI grants; without one it is not linked."""
    around(patch, inprocess, "Wasi", lambda make, **given: replace(make(**given), **change(make(**given))))


@FAMILY.mutant
def guests_see_the_environment(patch):
    """The variables of the host's process are those of the guest."""
    patch.setitem(os.environ, "SECRET", "of the host")
    _granting(patch, lambda wasi: {"env": {**wasi.env, **os.environ}})


@FAMILY.mutant
def guests_see_the_hosts_arguments(patch):
    """A guest without arguments has those of the host's process."""
    _granting(patch, lambda wasi: {"args": wasi.args or ("host", "--secret")})


@FAMILY.mutant
def granted_variables_are_lost(patch):
    """A guest has no environment, whatever is granted."""
    _granting(patch, lambda _: {"env": {}})


@FAMILY.mutant
def granted_arguments_are_lost(patch):
    """A guest has no arguments, whatever is granted."""
    _granting(patch, lambda _: {"args": ()})


@FAMILY.mutant
def granted_input_is_lost(patch):
    """A guest reads nothing, whatever is granted."""
    _granting(patch, lambda _: {"stdin": b""})


@FAMILY.mutant
def wasi_is_always_there(patch):
    """A guest that is granted nothing can ask for the time all the same."""

    def store(original, self, request, limits):
        made = original(self, request, limits)
        if request.wasi is None:
            made._backend.context.wasi = Wasi()
            made._backend.raw.set_wasi(wasi_config(Wasi(), None))
        return made

    around(patch, inprocess.InProcessRuntime, "_store", store)


@FAMILY.lasting_mutant
def growth_depends_on_chance(patch):
    """Now and then the host has no memory to give."""
    growth = count(1)

    def take(original, self, size_bytes):
        if self.used_bytes and next(growth) % 7 == 0:
            self.denied_growths += 1
            return False
        return original(self, size_bytes)

    account_in_python(patch)
    around(patch, python_memories, "take", take)


@FAMILY.lasting_mutant
def the_peak_is_measured_in_the_host(patch):
    """What the host's process grew by is told, which is never twice the same."""
    grown = count(0, 4_096)
    answering(patch, lambda answer, _: {"peak_memory_bytes": (answer.peak_memory_bytes or 0) + next(grown)})


def _now_and_then(patch, pattern, change):
    """Every second answer of a guest whose text matches is another: `change(answer)`."""
    odd = count()

    def changed(answer, request):
        return change(answer) if re.search(pattern, text_of(request)) and next(odd) % 2 else {}

    answering(patch, changed)


def _a_unit_more(answer):
    return {} if answer.fuel_consumed is None else {"fuel_consumed": answer.fuel_consumed + 1}


@FAMILY.lasting_mutant
def collecting_costs_when_it_happens(patch):
    """A guest pays for the collection that it happens to meet."""
    _now_and_then(patch, r"struct\.new", _a_unit_more)


@FAMILY.lasting_mutant
def unwinding_costs_what_it_takes(patch):
    """The way of an exception is counted by the clock."""
    _now_and_then(patch, r"try_table", _a_unit_more)


@FAMILY.lasting_mutant
def caches_make_work_cheaper(patch):
    """A load or a store costs what it takes."""
    _now_and_then(patch, r"i32\.store \(i32\.mul", _a_unit_more)


@FAMILY.lasting_mutant
def relaxed_vectors_round_as_they_like(patch):
    """Now the product is rounded, and now it is not."""
    _now_and_then(
        patch,
        r"relaxed_",
        lambda answer: {"value": answer.value + 1} if isinstance(answer.value, int) and not answer.phase else {},
    )


@FAMILY.mutant
def floats_become_quiet(patch):
    """A signalling NaN does not signal any more wherever it was."""

    def quiet(value):
        bits = value % 2**32
        is_nan = bits & 0x7F80_0000 == 0x7F80_0000 and bits & 0x007F_FFFF
        return value | 0x0040_0000 if is_nan else value

    answering(patch, lambda answer, _: {"value": quiet(answer.value)} if type(answer.value) is int else {})
