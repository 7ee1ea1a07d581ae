"""Known failures of a runtime: which cases, and why."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
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
    sometimes: bool = False
    """Whether they pass at other times: what depends on the load of the machine. Neither ending is then an error."""

    def __post_init__(self) -> None:
        """A reason that says something, of something."""
        if not self.reason.strip() or not self.cases:
            raise ValueError("a `reason`, and at least one of `cases`")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFailure:
    """What is known of one case."""

    reason: str
    sometimes: bool


class Expectations(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of the file."""

    failures: list[Failures] = []


def read_expectations(path: Path, known: Collection[str]) -> dict[str, KnownFailure]:
    """What is known of each listed case.

    Raises `InvalidConfiguration` for a file that is not as it must be, and for a case that is not `known` or
    listed twice.
    """
    found: dict[str, KnownFailure] = {}
    for index, group in enumerate(decode_toml(path, Expectations).failures):
        for case in group.cases:
            where = f"{path}: failures[{index}].cases"
            if case in found:
                raise InvalidConfiguration(where, case, "each case once")
            if case not in known:
                near = difflib.get_close_matches(case, known, n=3)
                raise InvalidConfiguration(
                    where, case, "a conformance case" + (f"; near: {', '.join(near)}" if near else "")
                )
            found[case] = KnownFailure(reason=" ".join(group.reason.split()), sometimes=group.sometimes)
    return found
