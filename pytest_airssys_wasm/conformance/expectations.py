"""Known failures of a runtime: which cases, and why."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.conformance.decode import decode_toml
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


class Failures(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cases that fail for one reason."""

    reason: str
    cases: list[str]
    """Node ids."""

    def __post_init__(self) -> None:
        """A reason that says something, of something."""
        if not self.reason.strip() or not self.cases:
            raise ValueError("a `reason`, and at least one of `cases`")


class Expectations(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of the file."""

    failures: list[Failures] = []


def read_expectations(path: Path, known: Collection[str]) -> dict[str, str]:
    """The reason for each listed case.

    Raises `InvalidConfiguration` for a file that is not as it must be, and for a case that is not `known` or
    listed twice.
    """
    reasons: dict[str, str] = {}
    for index, group in enumerate(decode_toml(path, Expectations).failures):
        for case in group.cases:
            where = f"{path}: failures[{index}].cases"
            if case in reasons:
                raise InvalidConfiguration(where, case, "each case once")
            if case not in known:
                near = difflib.get_close_matches(case, known, n=3)
                raise InvalidConfiguration(
                    where, case, "a conformance case" + (f"; near: {', '.join(near)}" if near else "")
                )
            reasons[case] = " ".join(group.reason.split())
    return reasons
