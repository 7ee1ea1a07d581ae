"""The matrix as it was found: `matrix.json`, which holds digests of what it was found with, and so shows what is still to try."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from mutants.digests import case_digests, mutant_digests

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

DATA = Path(__file__).with_name("matrix.json")


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cases that kill one mutant."""

    digest: str
    """The digest of the mutant's text when it was tried."""
    quick: str | None = None
    """The case that kills it soonest, alone in a process of its own."""
    killed_by: dict[str, list[str]] = {}
    """The names of cases, by chapter."""
    untried: list[str] = []
    """The cases that are new, or changed since."""

    @property
    def cells(self) -> list[list[str]]:
        """The cases that kill it, as a list for each chapter that has some."""
        return [[f"{chapter}/{name}" for name in names] for chapter, names in self.killed_by.items()]

    @property
    def cases(self) -> list[str]:
        """All cases that kill it."""
        return [case for cell in self.cells for case in cell]

    def with_cases(self, killing: set[str], untried: set[str], order: Iterable[str]) -> Row:
        """Return the row with these cases, in this order."""
        by_chapter: dict[str, list[str]] = {}
        for case in order:
            if case in killing:
                chapter, _, name = case.partition("/")
                by_chapter.setdefault(chapter, []).append(name)
        return structs.replace(
            self,
            quick=self.quick if self.quick in killing else None,
            killed_by=by_chapter,
            untried=[case for case in order if case in untried],
        )


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rows, by the name of the mutant."""

    cases: dict[str, str] = {}
    """The digest of each case that the rows are about."""
    mutants: dict[str, Row] = {}

    @property
    def idle(self) -> list[str]:
        """The cases that kill none of the mutants."""
        busy = {case for row in self.mutants.values() for case in row.cases}
        return [case for case in self.cases if case not in busy]

    @property
    def untried(self) -> dict[str, list[str]]:
        """The cases that are still to be tried, by the name of the mutant."""
        return {name: row.untried for name, row in self.mutants.items() if row.untried}

    def of_today(self) -> Record:
        """Return the record with today's cases and mutants: of what is new or changed it knows nothing yet."""
        cases = case_digests()
        same = {case for case, digest in cases.items() if self.cases.get(case) == digest}
        rows = {}
        for name, digest in mutant_digests().items():
            row = self.mutants.get(name)
            if row is None or row.digest != digest:
                row = Row(digest=digest, untried=[*cases])
            rows[name] = row.with_cases({*row.cases} & same, {*row.untried} & same | cases.keys() - same, cases)
        return Record(cases=cases, mutants=rows)

    def reworded(self) -> dict[str, str]:
        """Return, for each mutant on record whose text has changed, the case that killed it soonest and has not changed."""
        cases = case_digests()
        same = {case for case, digest in cases.items() if self.cases.get(case) == digest}
        found = {}
        for name, digest in mutant_digests().items():
            row = self.mutants.get(name)
            if row is not None and row.digest != digest and row.quick in same:
                found[name] = row.quick
        return found

    def renewed(self, names: Collection[str]) -> Record:
        """Return the record with today's digests of these mutants, and with all that is recorded of them."""
        rows = {}
        for name, digest in mutant_digests().items():
            if name in self.mutants:
                row = self.mutants[name]
                rows[name] = structs.replace(row, digest=digest) if name in names else row
        return structs.replace(self, mutants=rows)

    def reworded_cases(self) -> dict[str, list[str]]:
        """Return, for each case on record whose text has changed, the unchanged mutants that it killed."""
        texts = mutant_digests()
        changed = [case for case, digest in case_digests().items() if self.cases.get(case, digest) != digest]
        same = {name: row for name, row in self.mutants.items() if texts.get(name) == row.digest}
        found = {case: [name for name, row in same.items() if case in row.cases] for case in changed}
        return {case: names for case, names in found.items() if names}

    def with_cases_renewed(self, names: Collection[str]) -> Record:
        """Return the record with today's digests of these cases, and with all that is recorded of them."""
        texts = case_digests()
        return structs.replace(
            self, cases={case: texts[case] if case in names else digest for case, digest in self.cases.items()}
        )

    def after_a_try(self, name: str, tried: set[str], killing: Iterable[str], quick: str | None) -> Record:
        """Return the record when these cases were tried on this mutant: with those that kill it, and the soonest."""
        row = self.mutants[name]
        row = row.with_cases({*row.cases} - tried | {*killing}, {*row.untried} - tried, self.cases)
        if row.quick is None:
            row = structs.replace(row, quick=quick or next(iter(row.cases), None))
        return structs.replace(self, mutants={**self.mutants, name: row})


def read() -> Record:
    """Return what is on record: an empty record when there is no file."""
    return msgspec.json.decode(DATA.read_bytes(), type=Record) if DATA.exists() else Record()


def write(record: Record) -> None:
    """Write the record to its file."""
    DATA.write_text(text(record), encoding="utf-8")


def text(record: Record) -> str:
    """Return the record as JSON with one case or one row on each line, so that a change of one is a change of one line."""
    return "\n".join(["{", *_lines("cases", record.cases, ","), *_lines("mutants", record.mutants, ""), "}"]) + "\n"


def _lines(name: str, table: Mapping[str, object], end: str) -> Iterator[str]:
    rows = [f" {json.dumps(key)}: {msgspec.json.encode(value).decode()}" for key, value in table.items()]
    yield f"{json.dumps(name)}: {{"
    yield from (row + "," for row in rows[:-1])
    yield from rows[-1:]
    yield "}" + end
