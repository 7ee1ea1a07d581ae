"""The matrix as it was found: `matrix.json` for machines and for the quick test, `docs/matrix.md` to read."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from defective_runtimes.catalogue import DEFECTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATA = Path(__file__).with_name("matrix.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "matrix.md"

_NAMED = 6
"""Convicting cases that the page names of each defect."""


class Conviction(NamedTuple):
    """What a case found."""

    finding: str
    took_s: float
    is_quick: bool = False
    """Whether it is the one that the quick test tries."""


def write(rows: Mapping[str, Mapping[str, Conviction]], cases: Sequence[str], tried: Sequence[str]) -> None:
    """Write both files: these rows as far as they were tried, and all else as it was."""
    found = _read() if DATA.exists() else {}
    for name, row in rows.items():
        before = found.get(name, {"quick": None, "convicted_by": {}})
        known = {*_cases(before)} - {*tried} | {*row}
        quick = next((case for case in row if row[case].is_quick), None)
        if before["quick"] in known and (quick is None or before["quick"] not in tried):
            quick = before["quick"]
        found[name] = _entry([case for case in cases if case in known], quick)
    found = {name: found[name] for name in DEFECTS if name in found}
    convicting = {case for entry in found.values() for case in _cases(entry)}
    idle = [case for case in cases if case not in convicting]
    DATA.write_text(json.dumps({"defects": found, "idle": idle}, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(_page(found, cases, idle), encoding="utf-8")


def quick_cases() -> dict[str, str]:
    """For each recorded defect the case that convicts it soonest; none where no case does."""
    return {name: entry["quick"] for name, entry in _read().items() if entry["quick"]}


def _read() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))["defects"]
    return found


def _cases(entry: Mapping[str, Any]) -> list[str]:
    return [f"{chapter}/{name}" for chapter, names in entry["convicted_by"].items() for name in names]


def _entry(row: Sequence[str], quick: str | None) -> dict[str, Any]:
    by_chapter: dict[str, list[str]] = {}
    for case in row:
        chapter, _, name = case.partition("/")
        by_chapter.setdefault(chapter, []).append(name)
    return {"quick": quick, "convicted_by": by_chapter}


def _page(found: Mapping[str, Mapping[str, Any]], cases: Sequence[str], idle: Sequence[str]) -> str:
    sizes = Counter(case.partition("/")[0] for case in cases)
    acquitted = sum(not entry["convicted_by"] for entry in found.values())
    lines = [
        "# The matrix: which case convicts which defect",
        "",
        "Each row is a runtime that is right except for one planted defect; a cell tells how many cases of the chapter",
        "convict it. The sound runtime is convicted by none. Written by `python tests/defective_runtimes/matrix.py`;",
        "all names are in `tests/defective_runtimes/matrix.json`. Cases that repeat themselves to find what is left behind",
        "run in full length against the defects of isolation, cleanup, output and loading, and once against the others.",
        "",
        f"{len(found)} defects, {len(cases)} cases. Defects that no case convicts: {acquitted or 'none'}. Cases that convict",
        f"none of these defects: {len(idle) or 'none'}.",
    ]
    for family in dict.fromkeys(DEFECTS[name].family for name in found):
        members = {name: entry for name, entry in found.items() if DEFECTS[name].family == family}
        lines += ["", f"## {family}", ""]
        lines += ["| defect | " + " | ".join(f"{chapter} ({size})" for chapter, size in sizes.items()) + " | all |"]
        lines += ["|---" * (len(sizes) + 2) + "|"]
        for name, entry in members.items():
            counts = [len(entry["convicted_by"].get(chapter, ())) for chapter in sizes]
            cells = (str(count or "") for count in counts)
            lines.append(f"| `{name}` | " + " | ".join(cells) + f" | {sum(counts) or '**none**'} |")
        lines.append("")
        lines += [f"- `{name}`: {DEFECTS[name].sentence} {_listed(entry)}" for name, entry in members.items()]
    lines += ["", "## Cases that convict none of these defects", ""]
    lines += [f"- `{case}`" for case in idle] or ["None."]
    return "\n".join(lines) + "\n"


def _listed(entry: Mapping[str, Any]) -> str:
    cases = _cases(entry)
    more = f" and {len(cases) - _NAMED} more" if len(cases) > _NAMED else ""
    return f"Convicted by {', '.join(f'`{case}`' for case in cases[:_NAMED])}{more}." if cases else "Not convicted."
