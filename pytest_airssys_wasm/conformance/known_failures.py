"""The known failures of a runtime, read from the file that `--wasm-expectations` names: the cases that fail, with the
reasons.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.conformance.loader import decode_toml
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


class FailureGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry `[[failures]]`: the cases that fail for one reason."""

    reason: str
    cases: list[str]
    """The node ids of the cases."""
    sometimes: bool = False
    """Whether the cases pass at times, for example depending on the load of the machine. If so, a pass is not an
    error.
    """

    def __post_init__(self) -> None:
        """Refuse an empty reason, and a group without cases."""
        if not self.reason.strip() or not self.cases:
            raise ValueError("a `reason`, and at least one of `cases`")


class ExpectationsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of an expectations file."""

    failures: list[FailureGroup] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFailure:
    """The reason for which one case is expected to fail."""

    reason: str
    sometimes: bool
    """Whether the case passes at times."""


def read_known_failures(path: Path, known: Collection[str]) -> dict[str, KnownFailure]:
    """Return the known failures of an expectations file by the node ids of their cases.

    Raises `InvalidConfiguration` for a file that does not fit its format, and for a case that is not among the
    `known` node ids or is listed twice.
    """
    found: dict[str, KnownFailure] = {}
    for index, group in enumerate(decode_toml(path, ExpectationsFile).failures):
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
