"""Guests that are large or odd, and a loader that is not up to them."""

from __future__ import annotations

import time
from pathlib import Path

from defective_runtimes.defect import Family, around
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
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


@FAMILY.defect
def large_guests_are_refused(patch):
    """What is over 20 kB of text is no guest."""
    _refusing(patch, lambda text: len(text) > 20_000)


@FAMILY.defect
def deep_guests_are_refused(patch):
    """What is nested more than 64 deep is no guest."""

    def is_deep(text):
        depth = deepest = 0
        for character in text:
            depth += (character == "(") - (character == ")")
            deepest = max(deepest, depth)
        return deepest > 64 or text.count("block") > 64 or text.count("loop") > 64

    _refusing(patch, is_deep)


@FAMILY.lone_defect
def loading_takes_the_square_of_the_size(patch):
    """Twice the guest takes four times the time."""

    def load(original, self, path):
        hundreds_of_kb = len(_text_of(path)) // 100_000
        time.sleep(min(11.0, hundreds_of_kb**2))
        return original(self, path)

    around(patch, InProcessRuntime, "_load", load)
