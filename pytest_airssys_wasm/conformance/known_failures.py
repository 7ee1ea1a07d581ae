"""The known failures of a runtime, read from the file that `--wasm-expectations` names: cases, findings and reasons.

A case is listed with the findings that it is known to have, each written as `Mismatch.pin` writes it:

    [[failures]]
    reason = "Memory is limited for each object, not for the store"
    [failures.cases]
    "conformance/memory/two-memories-of-a-module-share-the-limit" = ["step 2: value = 1"]

Only these findings are expected. Any other finding still fails the case.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.conformance.loader import decode_toml
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.conformance.matching import Mismatch

_PIN = re.compile(
    r"(?:actor (?P<actor>.+?)(?:, |: ))?(?:step (?P<step>[1-9][0-9]*): )?(?P<field>[a-z_.]+)(?: = (?P<got>.+))?",
    re.DOTALL,
)


class Pin(Struct, frozen=True, kw_only=True):
    """A finding that a case is known to have. A part that is left out matches any finding."""

    text: str
    actor: str | None
    step: int | None
    field: str
    got: str | None

    @classmethod
    def read(cls, text: str) -> Pin:
        """Parse a text such as `step 2: verdict = ok` to a pin. Raises `ValueError` for any other text."""
        found = _PIN.fullmatch(text)
        if found is None:
            raise ValueError("a finding, such as 'step 2: verdict = ok'")
        step = None if found["step"] is None else int(found["step"])
        return cls(text=text, actor=found["actor"], step=step, field=found["field"], got=found["got"])

    def covers(self, finding: Pin) -> bool:
        """Return whether this pin expects a finding, which is given as the pin that would be written for it.

        The death of a runtime is expected only by a pin that names it.
        """
        if finding.got == Verdict.RUNTIME_DIED and self.got != finding.got:
            return False
        return (
            self.field == finding.field
            and self.actor in (None, finding.actor)
            and self.step in (None, finding.step)
            and self.got in (None, finding.got)
        )


class FailureGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry `[[failures]]`: the cases that fail for one reason."""

    reason: str
    cases: dict[str, list[str]]
    """The findings that each case is known to have, by the node id of the case."""
    sometimes: bool = False
    """Whether the findings are missing at times, for example depending on the load of the machine."""

    def __post_init__(self) -> None:
        """Refuse an empty reason, a group without cases, and a case without findings."""
        if not self.reason.strip() or not self.cases:
            raise ValueError("a `reason`, and at least one of `cases`")
        for case, pins in self.cases.items():
            if not pins:
                raise ValueError(f"at least one finding of {case}, such as 'step 1: verdict = ok'")


class ExpectationsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of an expectations file."""

    failures: list[FailureGroup] = []


class KnownFailure(Struct, frozen=True, kw_only=True):
    """The findings that one case is expected to have, and their reason."""

    reason: str
    pins: tuple[Pin, ...]
    sometimes: bool
    """Whether the findings are missing at times."""

    def unexpected(self, found: Iterable[Mismatch]) -> list[Mismatch]:
        """Return those of the findings that are not expected."""
        return [one for one in found if not any(pin.covers(_pin_of(one)) for pin in self.pins)]

    def missing(self, found: Iterable[Mismatch]) -> list[str]:
        """Return the expected findings that are not among these; an empty result if the case fails only at times."""
        if self.sometimes:
            return []
        present = [_pin_of(one) for one in found]
        return [pin.text for pin in self.pins if not any(pin.covers(one) for one in present)]


def read_known_failures(path: Path, known: Collection[str]) -> dict[str, KnownFailure]:
    """Return the known failures of an expectations file by the node ids of their cases.

    Raises `InvalidConfiguration` for a file that does not fit its format, and for a case that is not among the
    `known` node ids or is listed twice.
    """
    found: dict[str, KnownFailure] = {}
    for index, group in enumerate(decode_toml(path, ExpectationsFile).failures):
        for case, pins in group.cases.items():
            where = f"{path}: failures[{index}].cases"
            if case in found:
                raise InvalidConfiguration(where, case, "each case once")
            if case not in known:
                near = difflib.get_close_matches(case, known, n=3)
                raise InvalidConfiguration(
                    where, case, "a conformance case" + (f"; near: {', '.join(near)}" if near else "")
                )
            reason = " ".join(group.reason.split())
            found[case] = KnownFailure(reason=reason, pins=_read_pins(pins, where, case), sometimes=group.sometimes)
    return found


def _read_pins(pins: Sequence[str], where: str, case: str) -> tuple[Pin, ...]:
    found = []
    for text in pins:
        try:
            found.append(Pin.read(text))
        except ValueError as error:
            raise InvalidConfiguration(f"{where}: {case}", text, str(error)) from None
    return tuple(found)


def _pin_of(mismatch: Mismatch) -> Pin:
    return Pin.read(mismatch.pin)
