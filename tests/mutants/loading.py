"""Guests that are large or odd, and a loader that is not up to them."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from mutants.mutant import Family, answering, around, text_of
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import InvalidComponent

FAMILY = Family("loading")


def _text_of(path):
    return Path(path).read_text("utf-8", "replace")


def _refusing(patch, is_refused):
    """Guests with such a text are refused."""

    def load(original, self, path):
        if is_refused(_text_of(path)):
            raise InvalidComponent("too large")
        return original(self, path)

    around(patch, InProcessRuntime, "_load", load)


@FAMILY.mutant
def large_guests_are_refused(patch):
    """What is over 20 kB of text is no guest."""
    _refusing(patch, lambda text: len(text) > 20_000)


@FAMILY.mutant
def deep_guests_are_refused(patch):
    """What is nested more than 64 deep is no guest."""

    def is_deep(text):
        depth = deepest = 0
        for character in text:
            depth += (character == "(") - (character == ")")
            deepest = max(deepest, depth)
        return deepest > 64 or text.count("block") > 64 or text.count("loop") > 64

    _refusing(patch, is_deep)


@FAMILY.lone_mutant
def loading_takes_the_square_of_the_size(patch):
    """Twice the guest takes four times the time."""

    def load(original, self, path):
        hundreds_of_kb = len(_text_of(path)) // 100_000
        time.sleep(min(11.0, hundreds_of_kb**2))
        return original(self, path)

    around(patch, InProcessRuntime, "_load", load)


@FAMILY.mutant
def branch_tables_are_short(patch):
    """A branch table of more than a thousand cases is refused."""
    _refusing(patch, lambda text: text.count("$a $b ") > 1_000)


@FAMILY.mutant
def expressions_are_short(patch):
    """An expression is worked off by recursion, and a long one refused."""
    _refusing(patch, lambda text: text.count("i32.add") > 1_000)


@FAMILY.mutant
def segments_are_few(patch):
    """More than a hundred segments are refused."""
    _refusing(patch, lambda text: text.count("(data ") > 100)


@FAMILY.mutant
def exports_are_few(patch):
    """More than five hundred exports are refused."""
    _refusing(patch, lambda text: text.count("(export ") > 500)


@FAMILY.mutant
def elements_are_few(patch):
    """More than a thousand functions in a table are refused."""
    _refusing(patch, lambda text: text.count("$f ") > 1_000)


@FAMILY.mutant
def locals_are_few(patch):
    """More than a thousand locals are refused."""
    _refusing(patch, lambda text: text.count("i32 ") > 1_000 and "(local i32" in text)


@FAMILY.mutant
def globals_are_few(patch):
    """More than a thousand globals are refused."""
    _refusing(patch, lambda text: text.count("(global ") > 1_000)


@FAMILY.mutant
def functions_are_few(patch):
    """More than a thousand functions are refused."""
    _refusing(patch, lambda text: text.count("(func ") > 1_000 and '(export "e9' not in text)


@FAMILY.mutant
def types_are_few(patch):
    """More than five hundred types are refused."""
    _refusing(patch, lambda text: text.count("(type ") > 500)


@FAMILY.mutant
def fields_are_few(patch):
    """A record of more than a hundred fields is refused."""
    _refusing(patch, lambda text: text.count('(field "') > 100)


@FAMILY.mutant
def cases_are_counted_in_a_byte(patch):
    """A variant of more than 256 cases is refused."""
    _refusing(patch, lambda text: text.count("(case ") > 256)


def _accepting(patch, pattern):
    """What is no guest is accepted, where its text matches."""

    def change(answer, request):
        is_invalid = answer.verdict is Verdict.INVALID_COMPONENT
        return {"verdict": Verdict.OK} if is_invalid and re.search(pattern, text_of(request)) else {}

    answering(patch, change)


@FAMILY.mutant
def broken_sections_are_read_as_far_as_they_go(patch):
    """A length that is wrong is cut to what there is."""
    _accepting(patch, r"\A\0asm")  # a guest that is spelled byte by byte is handed over as bytes


@FAMILY.mutant
def counts_are_not_validated(patch):
    """As many memories, tables and locals as a guest likes."""
    _accepting(patch, r"(\(memory 0\)\s*){100}|(\(table 0 funcref\)\s*){100}|(i32 ){50001}")


@FAMILY.mutant
def types_are_not_validated(patch):
    """Chains, doublings and empty records are types."""
    _accepting(patch, r"\(sub \d|\(tuple \d|\(record\)")


@FAMILY.mutant
def bodies_are_not_validated(patch):
    """A function need not leave what it says it returns."""
    _accepting(patch, r"\(func \(result i32\)\)\)")


@FAMILY.mutant
def what_breaks_off_is_complete(patch):
    """Brackets that nobody closes are closed."""
    _accepting(patch, r"^\s*\(module \(memory 8\)\s*$")


@FAMILY.lone_mutant
def loading_overflows_the_stack(patch):
    """Components within components are loaded by recursion, and the stack is the host's."""

    def load(original, self, path):
        if _text_of(path).count("(component ") > 64:
            os.abort()
        return original(self, path)

    around(patch, InProcessRuntime, "_load", load)


@FAMILY.mutant
def threads_are_part_of_components(patch):
    """A type that is shared between threads is accepted."""
    _accepting(patch, r"\(shared ")
