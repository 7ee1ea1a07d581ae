"""Find out which case kills which mutant: `python tests/mutants/matrix.py`.

Each mutant is an adapter in a process of its own. What is not on record yet is tried: new and changed mutants on all
cases, new and changed cases on all mutants. `NAME …` tries these mutants again, `--chapter` the cases of a chapter,
`--again` everything. What is found is written after each mutant, to `matrix.json` beside this file and to
`docs/matrix.md`, so that a run that was stopped continues where it was.

`--check` writes nothing and tries little: for each cell of the matrix, which is a mutant and a chapter, and for each
case one of the kills on record; and these cases on the runtime without a mutation, which must pass them. `--renew` is for mutants and cases whose text has changed although they do the same, as
when a name in it was changed: mutants that are killed again by the case that killed them soonest, and cases that kill
again a mutant that they killed, keep all that is recorded of them; the others are left to be tried. `--new` tries new
and changed mutants on new and changed cases alone, which takes minutes; the cells that this leaves untried are tried by
the next run without it, or by the second job of CI.

The exit status is 1 when the runtime without a mutation fails a case, when nothing kills a mutant, or when a case
kills none.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from mutants import page, record
from mutants.catalogue import MUTANTS
from mutants.forks import fork_adapters
from mutants.kills import COMPILERS, ISOLATED, SOUND, find_kills, survived
from mutants.proof import Proof
from mutants.trial import CASES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from mutants.kills import Kills
    from mutants.record import Record

_TOLD = 20
"""The most lines of one kind that are printed."""

_A_CORE = 3
"""The number of mutants at once for each core: most of a case is waiting."""

_ROUNDS = 3
"""The number of rounds in which another kill is tried where one was not found again."""

_CHANCES = 10
"""The number of cells, of a thousand, that need not be found again: those of races that a busy machine once decided."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what is asked for, print the progress, write the record, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("mutant", nargs="*", choices=[*MUTANTS, []], metavar="NAME", help="try only these, again")
    parser.add_argument("--chapter", action="append", help="try only its cases, again; may be given several times")
    parser.add_argument("--again", action="store_true", help="try everything, also what is on record")
    parser.add_argument("--check", action="store_true", help="try one kill of each cell and of each case on record")
    parser.add_argument("--renew", action="store_true", help="keep the rows of mutants that only changed their text")
    parser.add_argument("--new", action="store_true", help="try new mutants on new cases alone")
    parser.add_argument("--jobs", type=int, default=_A_CORE * (os.cpu_count() or 1), help="mutants at once")
    options = parser.parse_args(arguments)
    # Cases that watch a footprint collect garbage, and the suite itself is not garbage.
    gc.freeze()
    started = time.monotonic()
    known = record.read()
    # Forks have imported everything, and have no threads, so that they can be forked again.
    with ProcessPoolExecutor(options.jobs, get_context("fork"), fork_adapters) as workers:
        if options.renew:
            known = renew(known, workers)
            is_well = True
        elif options.check:
            known = known.of_today()
            is_well = check(known, workers)
        else:
            known = known.of_today()
            known, is_well = update(known, _asked(known, options), workers)
    print(f"{len(known.mutants)} mutants, {len(known.cases)} cases, {time.monotonic() - started:.0f} s")
    return 0 if is_well and _is_proof(known) else 1


def _is_proof(known: Record) -> bool:
    """Return whether each mutant is killed and no case is idle; print what is not, and how much is untried."""
    faults = [f"no case kills the mutant {name}" for name, row in known.mutants.items() if not row.cases]
    faults += [f"the case {case} kills no mutant" for case in known.idle]
    print(f"{sum(map(len, known.untried.values()))} cells are not tried yet")
    print("".join(f"{fault}\n" for fault in faults[:_TOLD]), end="")
    print(f"{len(faults)} faults")
    return not faults


def _asked(known: Record, options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the cases to try, by the name of the mutant."""
    if options.new:
        rows = known.mutants
        new = [case for case in known.cases if all(case in row.untried for row in rows.values())]
        return {name: new for name, row in rows.items() if new and len(row.untried) == len(known.cases)}
    if not (options.again or options.mutant or options.chapter):
        return known.untried
    cases = [case for case in CASES if not options.chapter or case.partition("/")[0] in options.chapter]
    return dict.fromkeys(options.mutant or MUTANTS, cases)


def update(known: Record, asked: Mapping[str, Sequence[str]], workers: Executor) -> tuple[Record, bool]:
    """Try these cases on these mutants, and all on the sound runtime; return the record then, and whether that passed."""
    every = {case for cases in asked.values() for case in cases}
    tried = {SOUND: every - COMPILERS, ISOLATED: every & COMPILERS}
    # What takes longest first, so that none of it is left alone at the end.
    tried.update({name: {*asked[name]} for name in sorted(asked, key=_is_quick)})
    is_sound = True
    for kills in _all_kills(tried, workers):
        name, found = kills.name, kills.findings
        print(f"{name}: {len(found)} of {len(tried[name])} cases ({kills.took_s:.1f} s)", flush=True)
        if name not in MUTANTS or len(asked) <= _TOLD:
            print("".join(f"  {case}: {finding[:200]}\n" for case, finding in found.items()), end="", flush=True)
        if name not in MUTANTS:
            is_sound = is_sound and not found
            continue
        known = known.after_a_try(name, tried[name], found, kills.quick)
        _write(known)
    return known, is_sound


def _write(known: Record) -> None:
    record.write(known)
    page.PAGE.write_text(page.page(known), encoding="utf-8")


def _is_quick(name: str) -> bool:
    return not (MUTANTS[name].alone or MUTANTS[name].lasts)


def _all_kills(tried: Mapping[str, Collection[str]], workers: Executor) -> Iterator[Kills]:
    """Yield the kills of each mutant as soon as they are found."""
    runs = [workers.submit(find_kills, name, _in_order(cases)) for name, cases in tried.items()]
    try:
        for run in as_completed(runs):
            yield run.result()
    finally:
        # When it is stopped, what has not begun never does.
        for run in runs:
            run.cancel()


def _in_order(cases: Collection[str]) -> list[str]:
    """Return the cases in the order of the suite."""
    return [case for case in CASES if case in cases]


def check(known: Record, workers: Executor) -> bool:
    """Try one kill of each cell and of each case; return whether they are as on record."""
    proof = Proof(known, shy={name for name in MUTANTS if not _is_quick(name)})
    asked = proof.asked()
    sound = workers.submit(find_kills, SOUND, _in_order({case for cases in asked.values() for case in cases}))
    for _ in range(_ROUNDS):
        # The mutants that take longest come first, so that none of them is left alone at the end.
        proof.add(asked, _survived({name: asked[name] for name in sorted(asked, key=_is_quick)}, workers))
        asked = proof.asked()
    wrong = sound.result().findings
    print("".join(f"sound, {case}: {finding}\n" for case, finding in wrong.items()), end="")
    print("".join(f"{name} survives {case}\n" for name, case in sorted(proof.survivals)), end="")
    print(f"{len(proof.kills)} kills")
    chances = [f"not again: {name} by {cell[0]}" for name, cell in proof.open_cells]
    faults = [f"{name} is not killed again" for name in proof.open_mutants]
    faults += [f"{case} does not kill again" for case in sorted(proof.open_cases)]
    print("".join(f"{line}\n" for line in chances + faults), end="")
    return not (wrong or faults) and len(chances) <= _CHANCES


def renew(known: Record, workers: Executor) -> Record:
    """Write the record with today's digests of the mutants and cases that kill and are killed as before; return it.

    A mutant is tried on its quick case, a case on the first mutants that it killed. What cannot be renewed is printed, and
    not written: it stays as it was until it is tried.
    """
    asked = {name: [case] for name, case in known.reworded().items()}
    again = _survived(asked, workers)
    killed = [name for name in asked if not again[name]]
    print("".join(f"{name} survives {asked[name][0]}\n" for name in asked if again[name]), end="")
    print(f"{len(killed)} of {len(asked)} changed mutants are killed again, and keep their rows")
    if killed:
        known = known.renewed(killed)
    reworded = known.reworded_cases()
    by_mutant: dict[str, list[str]] = {}
    for case, names in reworded.items():
        by_mutant.setdefault(min(names, key=lambda name: (not _is_quick(name), name)), []).append(case)
    survived_cases = {case for cases in _survived(by_mutant, workers).values() for case in cases}
    print("".join(f"{case} does not kill again\n" for case in sorted(survived_cases)), end="")
    print(f"{len(reworded) - len(survived_cases)} of {len(reworded)} changed cases kill again, and keep their columns")
    known = known.with_cases_renewed(reworded.keys() - survived_cases)
    _write(known)
    return known.of_today()


def _survived(asked: Mapping[str, Sequence[str]], workers: Executor) -> dict[str, list[str]]:
    """Return the cases of these that each mutant survives."""
    return dict(zip(asked, workers.map(survived, asked, asked.values())))


if __name__ == "__main__":
    sys.exit(main())
