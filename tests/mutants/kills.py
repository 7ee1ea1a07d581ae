"""Many cases against one mutant. A case that kills it does so twice, in two processes."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mutants.catalogue import MUTANTS
from mutants.trial import CASES, Trial, adapter
from pytest_airssys_wasm.runtime.errors import RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.conformance.adapter import AdapterRuntime

SOUND, ISOLATED = "sound", "isolated"
"""The runtimes without a mutation; the second has what the cases about compilers need, and is given no others."""

COMPILERS = {name for name, case in CASES.items() if "isolated-compile" in case.needs}

_REFUSAL = "runtime-died: refusal"
"""The beginning of a finding that says that the mutant could not be planted, which counts as no kill."""

_STEP_S = 0.05
"""The resolution of times: smaller differences are noise, and would be noise in git."""

_CHANCES = 3
"""The number of tries before a mutant is said to survive: on a busy machine a mutation of timing may go unnoticed."""

_MOST_LASTING = 40
"""The most cases that are confirmed against a lasting mutant: each takes a process, and most failed for another's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kills:
    """The kills of one mutant."""

    name: str
    findings: dict[str, str]
    """The first finding of each case that kills it."""
    quick: str | None
    """The case that kills it soonest, alone in a process of its own."""
    took_s: float


class _Found(NamedTuple):
    sentence: str
    took_s: float


def find_kills(name: str, cases: Sequence[str]) -> Kills:
    """Try the cases on the mutant of this name."""
    started = time.monotonic()
    found: dict[str, _Found] = {}
    with _trial(name) as (runtime, trial):
        for case in cases:
            began = time.monotonic()
            findings = trial.findings(case)
            if findings and not findings[0].startswith(_REFUSAL):
                found[case] = _Found(findings[0], time.monotonic() - began)
        confirmed = [*_confirmed(name, runtime, trial, found)]
    return Kills(
        name=name,
        findings={case: found[case].sentence for case in cases if case in confirmed},
        quick=next(iter(confirmed), None),
        took_s=time.monotonic() - started,
    )


def survived(name: str, cases: Sequence[str]) -> list[str]:
    """Try the cases on the mutant of this name, and return those that it survives: all when it cannot be planted."""
    found = []
    with _trial(name) as (runtime, trial):
        for case in cases:
            if MUTANTS[name].lasts:
                runtime.close()
            try:
                is_killed = any(_is_killed(trial, case) for _ in range(_CHANCES))
            except RuntimeDied as error:
                print(f"{name} does not start: {error}", flush=True)
                return [*cases]
            if not is_killed:
                found.append(case)
    return found


def _is_killed(trial: Trial, case: str) -> bool:
    findings = trial.findings(case)
    return bool(findings) and not findings[0].startswith(_REFUSAL)


def _confirmed(name: str, runtime: AdapterRuntime, trial: Trial, found: dict[str, _Found]) -> Iterator[str]:
    """Yield the cases that kill it again: neither a busy machine nor what another case left does that twice."""
    if name in MUTANTS and MUTANTS[name].lasts:
        for case in sorted(found, key=_stores, reverse=True)[:_MOST_LASTING]:
            runtime.close()
            if trial.findings(case):
                yield case
        return
    is_first = True
    # Soonest first; and of the same step the last, so that none has the cases before it that it had.
    by_time = sorted(found, key=lambda case: -int(found[case].took_s / _STEP_S))
    for case in reversed(by_time):
        if is_first:
            runtime.close()
        elif found[case].sentence.startswith("runtime-died"):
            yield case  # no machine is so busy
            continue
        if trial.findings(case):
            is_first = False
            yield case


def _stores(case: str) -> int:
    """Return the number of stores in one repetition: the more there are, the more one can leave for another to find."""
    return sum(1 + sum(step.fresh for step in actor.steps[1:]) for actor in CASES[case].cast())


@contextmanager
def _trial(name: str) -> Iterator[tuple[AdapterRuntime, Trial]]:
    runtime = adapter(name)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            soaks = name not in MUTANTS or MUTANTS[name].soaks
            yield runtime, Trial(runtime, Path(scratch), soaks=soaks, hurries=name != ISOLATED)
    finally:
        runtime.close()
