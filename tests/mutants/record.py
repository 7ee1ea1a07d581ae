"""The matrix as it was found: `matrix.json`, which knows what it was found of, and so what is still to be tried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from mutants.digests import case_digests, defect_digests

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = Path(__file__).with_name("matrix.json")


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What convicts one defect."""

    digest: str
    """Of the defect's text, when it was tried."""
    quick: str | None = None
    """The case that convicts it soonest, alone in a process of its own."""
    convicted_by: dict[str, list[str]] = {}
    """Names of cases, by chapter."""
    untried: list[str] = []
    """Cases that are new, or changed since."""

    @property
    def cells(self) -> list[list[str]]:
        """The cases that convict it, a list for each chapter that has some."""
        return [[f"{chapter}/{name}" for name in names] for chapter, names in self.convicted_by.items()]

    @property
    def cases(self) -> list[str]:
        """All that convict it."""
        return [case for cell in self.cells for case in cell]

    def with_cases(self, convicting: set[str], untried: set[str], order: Iterable[str]) -> Row:
        """The row with these cases, in this order."""
        by_chapter: dict[str, list[str]] = {}
        for case in order:
            if case in convicting:
                chapter, _, name = case.partition("/")
                by_chapter.setdefault(chapter, []).append(name)
        return structs.replace(
            self,
            quick=self.quick if self.quick in convicting else None,
            convicted_by=by_chapter,
            untried=[case for case in order if case in untried],
        )


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rows, by the name of the defect."""

    cases: dict[str, str] = {}
    """The digest of each case that the rows speak of."""
    defects: dict[str, Row] = {}

    @property
    def idle(self) -> list[str]:
        """Cases that convict none of the defects."""
        busy = {case for row in self.defects.values() for case in row.cases}
        return [case for case in self.cases if case not in busy]

    @property
    def untried(self) -> dict[str, list[str]]:
        """What is still to be done, by the name of the defect."""
        return {name: row.untried for name, row in self.defects.items() if row.untried}

    def of_today(self) -> Record:
        """The record with the cases and defects that there are: of what is new or changed it knows nothing yet."""
        cases = case_digests()
        same = {case for case, digest in cases.items() if self.cases.get(case) == digest}
        rows = {}
        for name, digest in defect_digests().items():
            row = self.defects.get(name)
            if row is None or row.digest != digest:
                row = Row(digest=digest, untried=[*cases])
            rows[name] = row.with_cases({*row.cases} & same, {*row.untried} & same | cases.keys() - same, cases)
        return Record(cases=cases, defects=rows)

    def after_a_try(self, name: str, tried: set[str], convicting: Iterable[str], quick: str | None) -> Record:
        """The record when these cases were tried on this defect: which of them convict it, and which soonest."""
        row = self.defects[name]
        row = row.with_cases({*row.cases} - tried | {*convicting}, {*row.untried} - tried, self.cases)
        if row.quick is None:
            row = structs.replace(row, quick=quick or next(iter(row.cases), None))
        return structs.replace(self, defects={**self.defects, name: row})


def read() -> Record:
    """What is on record; nothing when there is no file."""
    return msgspec.json.decode(DATA.read_bytes(), type=Record) if DATA.exists() else Record()


def write(record: Record) -> None:
    """Keep it."""
    DATA.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
