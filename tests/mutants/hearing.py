"""Many cases against one defective runtime. What convicts it does so twice, in two processes."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mutants.catalogue import DEFECTS
from mutants.trial import CASES, Trial, adapter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.conformance.adapter import AdapterRuntime

SOUND, ISOLATED = "sound", "isolated"
"""Runtimes without a defect; the second has what the cases about compilers need, and is asked nothing else."""

COMPILERS = {name for name, case in CASES.items() if "isolated-compile" in case.needs}

_REFUSAL = "runtime-died: refusal"
"""The defect itself failed: it is planted wrongly, and convicts nobody but who wrote it."""

_STEP_S = 0.05
"""Smaller differences are noise, and would be one in git."""

_CHANCES = 3

_MOST_LASTING = 40
"""Of a defect that lasts no more cases are tried again: each takes a process, and most were convicting another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was found against one runtime."""

    name: str
    findings: dict[str, str]
    """By the case."""
    quick: str | None
    """The case that convicts it soonest, alone in a process of its own."""
    took_s: float


class _Found(NamedTuple):
    sentence: str
    took_s: float


def hear(name: str, cases: Sequence[str]) -> Outcome:
    """Try the cases on the runtime of this name."""
    started = time.monotonic()
    found: dict[str, _Found] = {}
    with _trial(name) as (runtime, trial):
        for case in cases:
            began = time.monotonic()
            findings = trial.findings(case)
            if findings and not findings[0].startswith(_REFUSAL):
                found[case] = _Found(findings[0], time.monotonic() - began)
        confirmed = [*_confirmed(name, runtime, trial, found)]
    return Outcome(
        name=name,
        findings={case: found[case].sentence for case in cases if case in confirmed},
        quick=next(iter(confirmed), None),
        took_s=time.monotonic() - started,
    )


def acquitting(name: str, cases: Sequence[str]) -> list[str]:
    """Of these cases those that do not convict it."""
    found = []
    with _trial(name) as (runtime, trial):
        for case in cases:
            if DEFECTS[name].lasts:
                runtime.close()
            # On a busy machine a defect in time may go by.
            if not any(trial.findings(case) for _ in range(_CHANCES)):
                found.append(case)
    return found


def _confirmed(name: str, runtime: AdapterRuntime, trial: Trial, found: dict[str, _Found]) -> Iterator[str]:
    """The cases that convict it again: neither what a busy machine does nor what another case left does so."""
    if name in DEFECTS and DEFECTS[name].lasts:
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
    """In one repetition. The more there are, the more can be left by one and found by another."""
    return sum(1 + sum(step.fresh for step in actor.steps[1:]) for actor in CASES[case].cast())


@contextmanager
def _trial(name: str) -> Iterator[tuple[AdapterRuntime, Trial]]:
    runtime = adapter(name)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            soaks = name not in DEFECTS or DEFECTS[name].soaks
            yield runtime, Trial(runtime, Path(scratch), soaks=soaks, hurries=name != ISOLATED)
    finally:
        runtime.close()
