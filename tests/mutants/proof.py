"""Few convictions that prove what is on record: one in each cell of the matrix, and one by each case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mutants.record import Record


@dataclass(frozen=True, slots=True)
class Proof:
    """What is shown so far. Where one conviction does not happen again, another that proves the same is asked for."""

    record: Record
    shy: Collection[str]
    """Defects of which no more is asked than each cell: their convictions take long."""
    convictions: set[tuple[str, str]] = field(default_factory=set)
    """Defect and case, as found."""
    acquittals: set[tuple[str, str]] = field(default_factory=set)

    def add(self, tried: Mapping[str, Collection[str]], acquitting: Mapping[str, Collection[str]]) -> None:
        """These cases were tried, by the defect, and these of them did not convict it."""
        for name, cases in tried.items():
            for case in cases:
                (self.acquittals if case in acquitting[name] else self.convictions).add((name, case))

    @property
    def open_cells(self) -> Iterator[tuple[str, list[str]]]:
        """Cells in which no conviction is found, as the defect and the cases that are said to convict it."""
        for name, row in self.record.defects.items():
            for cell in row.cells:
                if not any((name, case) in self.convictions for case in cell):
                    yield name, cell

    @property
    def open_defects(self) -> list[str]:
        """Defects that are found to be convicted by nothing."""
        found = {name for name, _ in self.convictions}
        return [name for name in self.record.defects if name not in found]

    @property
    def open_cases(self) -> set[str]:
        """Cases that are found to convict nothing."""
        return {*self.record.cases} - {*self.record.idle} - {case for _, case in self.convictions}

    def asked(self) -> dict[str, list[str]]:
        """What to try next, by the defect: nothing when all is shown, or nothing is left that could show a cell or a case."""
        asked: dict[str, list[str]] = {}
        waiting = self.open_cases
        for name, cell in self.open_cells:
            if left := self._untried(name, cell):
                quick = self.record.defects[name].quick
                best = min(left, key=lambda case: (case != quick, case not in waiting))
                asked.setdefault(name, []).append(best)
                waiting.discard(best)
        rows = {name: {*self._untried(name, row.cases)} for name, row in self.record.defects.items()}
        while useful := {name: len(cases & waiting) for name, cases in rows.items() if cases & waiting}:
            name = max(useful, key=lambda name: (name not in self.shy, useful[name]))
            asked.setdefault(name, []).extend(case for case in self.record.cases if case in rows[name] & waiting)
            waiting -= rows[name]
        for name in self.open_defects:
            # A race may have gone by, and there is no other case that could show it.
            asked.setdefault(name, self.record.defects[name].cases[:1])
        return asked

    def _untried(self, name: str, cases: list[str]) -> list[str]:
        tried = self.acquittals | self.convictions
        return [case for case in cases if (name, case) not in tried]
