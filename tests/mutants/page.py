"""The page `docs/matrix.md`: the record, to read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from mutants.catalogue import MUTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutants.record import Record, Row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "matrix.md"

_NAMED = 6
"""The number of cases that the page names for each mutant."""


def page(record: Record) -> str:
    """Return the whole page."""
    return "\n".join([*_head(record), *_families(record), *_idle(record)]) + "\n"


def _head(record: Record) -> Iterator[str]:
    sizes = _sizes(record)
    survivors = sum(not row.killed_by for row in record.mutants.values())
    yield from (
        "# The matrix: which case convicts which defect",
        "",
        "Each row is a runtime that is right except for one planted defect; a cell tells how many cases of the chapter",
        "convict it. The sound runtime is convicted by none. Written by `python tests/mutants/matrix.py`;",
        "all names are in `tests/mutants/matrix.json`. Cases that repeat themselves to find what is left behind",
        "run in full length against the defects that leave something, and once against the others.",
        "",
        f"{len(record.mutants)} defects, {len(record.cases)} cases in {len(sizes)} chapters. Defects that no case",
        f"convicts: {survivors or 'none'}. Cases that convict none of these defects: {len(record.idle) or 'none'}.",
        f"Pairs of a defect and a case that are not tried yet: {sum(map(len, record.untried.values())):,}.",
    )


def _sizes(record: Record) -> Counter[str]:
    return Counter(case.partition("/")[0] for case in record.cases)


def _families(record: Record) -> Iterator[str]:
    sizes = _sizes(record)
    for family in dict.fromkeys(mutant.family for mutant in MUTANTS.values()):
        rows = {name: row for name, row in record.mutants.items() if MUTANTS[name].family == family}
        yield from ("", f"## {family}", "")
        yield "| defect | " + " | ".join(f"{chapter} ({size})" for chapter, size in sizes.items()) + " | all |"
        yield "|---" * (len(sizes) + 2) + "|"
        for name, row in rows.items():
            yield _line(name, row, [*sizes])
        yield ""
        for name, row in rows.items():
            yield f"- `{name}`: {MUTANTS[name].sentence} {_listed(row.cases)}"


def _line(name: str, row: Row, chapters: Sequence[str]) -> str:
    counts = [len(row.killed_by.get(chapter, ())) for chapter in chapters]
    cells = (str(count or "") for count in counts)
    return f"| `{name}` | " + " | ".join(cells) + f" | {sum(counts) or '**none**'} |"


def _listed(cases: Sequence[str]) -> str:
    more = f" and {len(cases) - _NAMED} more" if len(cases) > _NAMED else ""
    return f"Convicted by {', '.join(f'`{case}`' for case in cases[:_NAMED])}{more}." if cases else "Not convicted."


def _idle(record: Record) -> Iterator[str]:
    if record.idle:
        yield from ("", "## Cases that convict none of these defects", "")
        yield from (f"- `{case}`" for case in record.idle)
