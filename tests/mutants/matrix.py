"""Which case convicts which defect: `python tests/mutants/matrix.py`.

Every defective runtime is an adapter in a process of its own. What is not on record yet is tried: new and changed
defects on all cases, new and changed cases on all defects; `NAME …`: these defects again, `--chapter`: its cases again,
`--again`: everything. What is found is kept after each defect, in `matrix.json` beside this file and in
`docs/matrix.md`: a run that was stopped goes on where it was. `--check` writes nothing and tries little: of what is
on record, one conviction for each cell of the matrix, which is a defect and a chapter, and one for each case.

The exit status is 1 when the runtime without a defect fails a case, a defect is convicted by none, or a case convicts
none.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from mutants import page, record
from mutants.catalogue import DEFECTS
from mutants.hearing import COMPILERS, ISOLATED, SOUND, acquitting, hear
from mutants.proof import Proof
from mutants.trial import CASES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from mutants.hearing import Outcome
    from mutants.record import Record

_TOLD = 20
"""More than this is counted, and not shown."""

_A_CORE = 3
"""Defects at once: most of a case is waiting."""

_ROUNDS = 3
"""In which what one conviction did not show is to be shown by another: a defect in time may go by."""


_CHANCES = 10
"""Cells of the thousand that need not be found again: where a defect is a race, a busy machine once decided it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what is asked for, tell how it goes, and keep it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("defect", nargs="*", choices=[*DEFECTS, []], metavar="NAME", help="only these, again")
    parser.add_argument("--chapter", action="append", help="only its cases, again; may be given several times")
    parser.add_argument("--again", action="store_true", help="everything, also what is on record")
    parser.add_argument("--check", action="store_true", help="one conviction of each cell and of each case on record")
    parser.add_argument("--jobs", type=int, default=_A_CORE * (os.cpu_count() or 1), help="defects at once")
    options = parser.parse_args(arguments)
    # Cases that watch a footprint collect garbage, and the suite itself is none.
    gc.freeze()
    started = time.monotonic()
    known = record.read().of_today()
    if options.check:
        is_well = check(known, options.jobs)
    else:
        known, is_well = update(known, _asked(known, options), options.jobs)
    print(f"{len(known.defects)} defects, {len(known.cases)} cases, {time.monotonic() - started:.0f} s")
    return 0 if is_well and _is_proof(known) else 1


def _is_proof(known: Record) -> bool:
    """Whether all is tried, each defect convicted and no case idle; says what is not."""
    faults = [f"not tried: {name}, {len(cases)} cases, as {cases[0]}" for name, cases in known.untried.items()]
    if not faults:
        faults += [f"no case convicts the defect {name}" for name, row in known.defects.items() if not row.cases]
        faults += [f"no defect is convicted by the case {case}" for case in known.idle]
    print("".join(f"{fault}\n" for fault in faults[:_TOLD]), end="")
    print(f"{len(faults)} faults")
    return not faults


def _asked(known: Record, options: argparse.Namespace) -> dict[str, list[str]]:
    """The cases to try, by the name of the defect."""
    if not (options.again or options.defect or options.chapter):
        return known.untried
    cases = [case for case in CASES if not options.chapter or case.partition("/")[0] in options.chapter]
    return dict.fromkeys(options.defect or DEFECTS, cases)


def update(known: Record, asked: Mapping[str, Sequence[str]], jobs: int) -> tuple[Record, bool]:
    """Try these cases on these defects, and all on the sound one: what is known then, and if that passed."""
    every = {case for cases in asked.values() for case in cases}
    tried = {SOUND: every - COMPILERS, ISOLATED: every & COMPILERS}
    # What takes longest first, so that none of it is left alone at the end.
    tried.update({name: {*asked[name]} for name in sorted(asked, key=_is_quick)})
    is_sound = True
    for outcome in _outcomes(tried, jobs):
        name, found = outcome.name, outcome.findings
        print(f"{name}: {len(found)} of {len(tried[name])} cases ({outcome.took_s:.1f} s)", flush=True)
        if name not in DEFECTS or len(asked) <= _TOLD:
            print("".join(f"  {case}: {finding[:200]}\n" for case, finding in found.items()), end="", flush=True)
        if name not in DEFECTS:
            is_sound = is_sound and not found
            continue
        known = known.after_a_try(name, tried[name], found, outcome.quick)
        record.write(known)
        page.PAGE.write_text(page.page(known), encoding="utf-8")
    return known, is_sound


def _is_quick(name: str) -> bool:
    return not (DEFECTS[name].alone or DEFECTS[name].lasts)


def _outcomes(tried: Mapping[str, Collection[str]], jobs: int) -> Iterator[Outcome]:
    """As they come."""
    with ThreadPoolExecutor(jobs) as threads:
        runs = [threads.submit(hear, name, [case for case in CASES if case in cases]) for name, cases in tried.items()]
        try:
            for run in as_completed(runs):
                yield run.result()
        finally:
            # When it is stopped, what has not begun never does.
            threads.shutdown(wait=False, cancel_futures=True)


def check(known: Record, jobs: int) -> bool:
    """Try one conviction of each cell and of each case; whether they are as on record."""
    proof = Proof(known, shy={name for name in DEFECTS if not _is_quick(name)})
    for _ in range(_ROUNDS):
        asked = proof.asked()
        with ThreadPoolExecutor(jobs) as threads:
            proof.add(asked, dict(zip(asked, threads.map(acquitting, asked, asked.values()))))
    print("".join(f"{case} does not convict {name}\n" for name, case in sorted(proof.acquittals)), end="")
    print(f"{len(proof.convictions)} convictions")
    chances = [f"not again: {name} by {cell[0]}" for name, cell in proof.open_cells]
    faults = [f"no conviction of {name} again" for name in proof.open_defects]
    faults += [f"no conviction by {case} again" for case in sorted(proof.open_cases)]
    print("".join(f"{line}\n" for line in chances + faults), end="")
    return not faults and len(chances) <= _CHANCES


if __name__ == "__main__":
    sys.exit(main())
