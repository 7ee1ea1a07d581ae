"""What crosses between guest and host without being counted, or comes out as something else."""

from __future__ import annotations

import re
from dataclasses import replace
from struct import pack, unpack
from typing import Any

from mutants.mutant import Family, answering, around, reading, text_of
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.convert.transfer import Transfer
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded
from pytest_airssys_wasm.runtime.guest import component_calls, linking
from pytest_airssys_wasm.runtime.store.store import LimitedStore

FAMILY = Family("transfer")


@FAMILY.mutant
def any_amount_is_transferred(patch):
    """What guests and hosts pass to each other is not limited."""
    reading(patch, lambda _: {"transfer_bytes": 2**40})


@FAMILY.mutant
def no_transfer_means_any(patch):
    """A limit of zero is taken for the lack of one."""
    reading(patch, lambda limits: {"transfer_bytes": 2**40} if limits.get("transfer_bytes") == 0 else {})


@FAMILY.mutant
def each_value_has_the_whole_transfer(patch):
    """Values are limited in size, and not in number."""

    def charge(original, self, size_bytes):
        self.moved_bytes = self._pause_at = 0
        original(self, size_bytes)

    around(patch, Transfer, "charge", charge)


@FAMILY.mutant
def small_values_are_free(patch):
    """Only what is large is counted, so that millions of empty things cost nothing."""

    def charge(original, self, size_bytes):
        original(self, size_bytes if size_bytes > 256 else 0)

    around(patch, Transfer, "charge", charge)


@FAMILY.mutant
def large_values_are_free(patch):
    """Objects are counted, and not what is in them."""
    around(patch, Transfer, "charge", lambda charge, self, size_bytes: charge(self, min(size_bytes, 32)))


@FAMILY.mutant
def arguments_are_free(patch):
    """Only what comes out of a guest is counted."""

    def prepare(original, component, function, args, run, context, *made):
        limit_bytes, run.transfer._limit_bytes = run.transfer._limit_bytes, None
        call = original(component, function, args, run, context, *made)
        run.transfer._limit_bytes, run.transfer.moved_bytes, run.transfer._pause_at = limit_bytes, 0, 0
        return call

    around(patch, component_calls, "prepare", prepare)


@FAMILY.mutant
def results_are_free(patch):
    """Only what goes into a guest is counted."""

    def prepare(original, component, function, args, run, context, *made):
        call = original(component, function, args, run, context, *made)

        def call_free(instance, run):
            run.transfer._limit_bytes, run.transfer._pause_at = None, 0
            return call(instance, run)

        return call_free

    around(patch, component_calls, "prepare", prepare)


@FAMILY.mutant
def what_host_functions_pass_is_free(patch):
    """Only the arguments and the results of calls are counted."""

    def serve_import(original, name, function, lift, lower, current):
        def free(convert, *args):
            transfer = args[-1].transfer
            before = transfer._limit_bytes, transfer.moved_bytes
            transfer._limit_bytes, transfer._pause_at = None, 0
            try:
                return convert(*args)
            finally:
                (transfer._limit_bytes, transfer.moved_bytes), transfer._pause_at = before, 0

        return original(name, function, lambda *args: free(lift, *args), lambda *args: free(lower, *args), current)

    around(patch, linking, "serve_import", serve_import)


@FAMILY.mutant
def all_calls_share_one_transfer(patch):
    """What earlier calls passed is missing in later ones."""

    def begin(original, self, run, *rest):
        moved_bytes = self.total.transfer_bytes if self.total else 0
        run.transfer.charge(moved_bytes)
        original(self, run, *rest)

    around(patch, LimitedStore, "_begin", begin)


def _in_values(patch, change):
    """`change(part)` stands for each part of every value that is answered."""

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            value = [changed(one) for one in value]
        elif isinstance(value, dict):
            value = {name: changed(one) for name, one in value.items()}
        return change(value)

    answering(patch, lambda answer, _: {"value": changed(answer.value)})


@FAMILY.mutant
def text_that_is_not_ascii_is_lost(patch):
    """Characters beyond ASCII come out as question marks."""
    _in_values(patch, lambda part: part.encode("ascii", "replace").decode() if isinstance(part, str) else part)


@FAMILY.mutant
def long_values_are_cut(patch):
    """Texts and lists come out without their end."""
    _in_values(patch, lambda part: part[:30] if isinstance(part, (str, list)) else part)


@FAMILY.mutant
def the_last_of_many_is_lost(patch):
    """Of several things one is missing."""

    def change(part):
        if isinstance(part, list) and len(part) > 1:
            return part[:-1]
        return dict([*part.items()][:-1]) if isinstance(part, dict) and len(part) > 1 else part

    _in_values(patch, change)


@FAMILY.mutant
def empty_things_are_null(patch):
    """An empty text or list comes out as nothing."""
    _in_values(patch, lambda part: None if part in ("", [], {"bytes": ""}) else part)


@FAMILY.mutant
def floats_have_single_precision(patch):
    """Half of the digits are lost on the way."""
    _in_values(patch, lambda part: unpack("f", pack("f", part))[0] if isinstance(part, float) else part)


def _free(patch, pattern):
    """Nothing is counted for a guest whose text matches."""

    def store(original, self, request, limits):
        is_free = re.search(pattern, text_of(request))
        return original(self, request, replace(limits, transfer=2**40) if is_free else limits)

    around(patch, InProcessRuntime, "_store", store)


@FAMILY.mutant
def bytes_are_free(patch):
    """Bytes are one object, however many they are."""
    _free(patch, r"\(result \(list u8\)\)")


@FAMILY.mutant
def texts_are_free(patch):
    """A text is one object, however long it is."""
    _free(patch, r"\(result string\)\s+\(canon lift[^=\n]*$")


@FAMILY.mutant
def texts_in_other_encodings_are_free(patch):
    """Only what comes as UTF-8 is counted."""
    _free(patch, r"\(result string\)\s+\(canon lift[^\n]*string-encoding")


@FAMILY.mutant
def lists_in_lists_are_free(patch):
    """Only what a list itself holds is counted, and not what lies in its parts."""
    _free(patch, r"\(result \(list \((list|string)|\(result \(list string")


@FAMILY.mutant
def empty_cases_are_free(patch):
    """A case without a value takes no room."""
    _free(patch, r"\(list \((option|result)")


@FAMILY.mutant
def flags_and_tuples_are_free(patch):
    """What one number can hold is counted as one."""
    _free(patch, r"\(flags|\(list \(tuple")


@FAMILY.mutant
def a_full_transfer_is_too_much(patch):
    """The limit is refused, and not only what is over it: with none, no call is possible."""

    def charge(original, self, size_bytes):
        if self._limit_bytes is not None and self.moved_bytes + size_bytes >= self._limit_bytes:
            raise ResourceLimitExceeded("no more", "host-transfer")
        original(self, size_bytes)

    around(patch, Transfer, "charge", charge)


@FAMILY.mutant
def a_call_of_the_host_costs_a_thousand_bytes(patch):
    """The limit is used up by calls, and not by what they pass."""

    def serve_import(original, name, function, lift, lower, current):
        def charged(*args):
            args[-1].transfer.charge(1_000)
            return lift(*args)

        return original(name, function, charged, lower, current)

    around(patch, linking, "serve_import", serve_import)
