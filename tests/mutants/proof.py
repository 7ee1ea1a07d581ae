"""Few kills that confirm what is on record: one in each cell of the matrix, and one by each case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mutants.record import Record


@dataclass(frozen=True, slots=True)
class Proof:
    """What is confirmed so far. Where a mutant survives one case, another that shows the same is asked for."""

    record: Record
    shy: Collection[str]
    """The mutants of which no more is asked than each cell: to kill them takes long."""
    kills: set[tuple[str, str]] = field(default_factory=set)
    """The kills that were found, as mutant and case."""
    survivals: set[tuple[str, str]] = field(default_factory=set)
    """The recorded kills that were not found again, as mutant and case."""

    def add(self, tried: Mapping[str, Collection[str]], survived: Mapping[str, Collection[str]]) -> None:
        """Add tries: the cases that were tried on each mutant, and those of them that it survived."""
        for name, cases in tried.items():
            for case in cases:
                (self.survivals if case in survived[name] else self.kills).add((name, case))

    @property
    def open_cells(self) -> Iterator[tuple[str, list[str]]]:
        """The cells without a kill yet, each as the mutant and the cases that are recorded to kill it."""
        for name, row in self.record.mutants.items():
            for cell in row.cells:
                if not any((name, case) in self.kills for case in cell):
                    yield name, cell

    @property
    def open_mutants(self) -> list[str]:
        """The mutants that nothing has killed yet."""
        found = {name for name, _ in self.kills}
        return [name for name in self.record.mutants if name not in found]

    @property
    def open_cases(self) -> set[str]:
        """The cases that have killed nothing yet."""
        return {*self.record.cases} - {*self.record.idle} - {case for _, case in self.kills}

    def asked(self) -> dict[str, list[str]]:
        """Return the cases to try next on each mutant: none when all is shown, or nothing left could show a cell or a case."""
        asked: dict[str, list[str]] = {}
        waiting = self.open_cases
        for name, cell in self.open_cells:
            if left := self._untried(name, cell):
                quick = self.record.mutants[name].quick
                best = min(left, key=lambda case: (case != quick, case not in waiting))
                asked.setdefault(name, []).append(best)
                waiting.discard(best)
        rows = {name: {*self._untried(name, row.cases)} for name, row in self.record.mutants.items()}
        while useful := {name: len(cases & waiting) for name, cases in rows.items() if cases & waiting}:
            name = max(useful, key=lambda name: (name not in self.shy, useful[name]))
            asked.setdefault(name, []).extend(case for case in self.record.cases if case in rows[name] & waiting)
            waiting -= rows[name]
        for name in self.open_mutants:
            # A race may have gone unnoticed, and there is no other case that could show it.
            asked.setdefault(name, self.record.mutants[name].cases[:1])
        return asked

    def _untried(self, name: str, cases: list[str]) -> list[str]:
        tried = self.survivals | self.kills
        return [case for case in cases if (name, case) not in tried]
