"""Many executions that end in every way, eight at a time, in one process: `python tests/soak/soak.py --executions 100000`.

First everything runs alone; then all of it together, on threads and on an event loop, in random order. Each must end
as it did alone, with the same figures; and what the process holds must not grow after the first fifth.
The exit status is 1 where anything differs or grows.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation
from pytest_airssys_wasm.runtime.engine import WasmEngine
from soak import footprint
from soak.subjects import Outcome, Subject, all_subjects

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_M_ARENA_MAX = -8
_IN_FLIGHT = 8
_ROUNDS = 50
"""After each all guests are let come to their end, and what the process holds is measured."""


@dataclass(slots=True)
class Soak:
    """The executions of a soak, and the measurements."""

    engine: WasmEngine
    alone: dict[Subject, Outcome] = field(default_factory=dict)
    cost_s: dict[Subject, float] = field(default_factory=dict)
    unsteady: list[str] = field(default_factory=list)
    """Subjects that end differently when they run alone twice: nothing can be said of them."""
    ended: Counter[str] = field(default_factory=Counter)
    differing: list[str] = field(default_factory=list)
    held: list[footprint.Footprint] = field(default_factory=list)
    """After each round."""

    def run_alone(self, subjects: Sequence[Subject], slowest_ms: float) -> None:
        """Run each three times; what takes longer than `slowest_ms` is left out."""
        for subject in subjects:
            first = subject.act()  # compiles
            began = time.perf_counter()
            outcomes = {first, subject.act(), subject.act()}
            self.cost_s[subject] = (time.perf_counter() - began) / 2
            if len(outcomes) > 1:
                self.unsteady.append(subject.name)
            elif self.cost_s[subject] <= slowest_ms / 1_000:
                self.alone[subject] = first

    def run_together(self, executions: int, tell: Callable[[str], None]) -> None:
        """Run everything at least once, and then what is cheap more often than what is not."""
        chance = random.Random(executions)
        subjects = [*self.alone]
        weights = [1 / (0.001 + self.cost_s[subject]) for subject in subjects]
        order = subjects + chance.choices(subjects, weights, k=max(0, executions - len(subjects)))
        chance.shuffle(order)
        with ThreadPoolExecutor(_IN_FLIGHT) as threads:
            for number in range(_ROUNDS):
                for subject, outcome in threads.map(_act, order[number::_ROUNDS]):
                    self._note(subject, outcome)
                self.held.append(footprint.measure(self.engine))
                if (number + 1) % (_ROUNDS // 10) == 0:
                    tell(_row(sum(self.ended.values()), self.held[-1]))

    @property
    def findings(self) -> list[str]:
        """The violations, in a sentence each."""
        return self.differing + footprint.leaks(self._after_warm_up, self._slack)

    def summary(self) -> str:
        """Return the result as text."""
        grown = ", ".join(f"{name} {value:+.1f}" for name, value in footprint.growth(self._after_warm_up).items())
        counts = ", ".join(f"{name} {count:,}" for name, count in self.ended.most_common())
        lines = [
            f"{sum(self.ended.values()):,} executions of {len(self.alone)} subjects, {_IN_FLIGHT} at a time",
            f"ended: {counts}",
            f"growth after the first fifth: {grown}",
            f"unsteady alone, and left out: {', '.join(self.unsteady) or 'none'}",
            *(self.findings or ["nothing differs, nothing grows"]),
        ]
        return "\n".join(lines)

    @property
    def _slack(self) -> footprint.Footprint:
        return footprint.SLACK["thread" if self.engine.isolation is None else "process"]

    @property
    def _after_warm_up(self) -> Sequence[footprint.Footprint]:
        return self.held[_ROUNDS // 5 :]

    def _note(self, subject: Subject, outcome: Outcome) -> None:
        self.ended.update(_ending(*execution) for execution in outcome)
        if outcome != self.alone[subject]:
            self.differing.append(f"{subject.name}: alone {self.alone[subject]}, together {outcome}")


def soak(
    engine: WasmEngine, executions: int, *, slowest_ms: float, each: int = 1, tell: Callable[[str], None] = print
) -> Soak:
    """A soak of at least so many executions on this engine, on one in `each` of the suite's cases."""
    with tempfile.TemporaryDirectory() as scratch:
        soaked = Soak(engine)
        soaked.run_alone([*all_subjects(engine, Path(scratch), each=each)], slowest_ms)
        tell(f"{'executions':>10} {'processes':>9} {'RSS':>10} {'threads':>8} {'files':>6} {'guests':>7}")
        soaked.run_together(executions, tell)
        return soaked


def use_one_arena() -> None:
    """Before any thread: else glibc gives each a heap of its own, and eight half empty ones look like a leak."""
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _act(subject: Subject) -> tuple[Subject, Outcome]:
    return subject, subject.act()


def _ending(verdict: object, *what: object) -> str:
    kind = {"trap": what[:1], "resource-limit": what[1:2]}.get(str(verdict), ())
    return " ".join(str(word) for word in (verdict, *kind))


def _row(executions: int, held: footprint.Footprint) -> str:
    return (
        f"{executions:10,} {held.processes:9} {held.rss_mib:6.1f} MiB {held.threads:8} {held.files:6} {held.guests:7}"
    )


def main() -> int:
    """Soak as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--slowest-ms", type=float, default=100.0, help="leave out what takes longer alone")
    parser.add_argument("--each", type=int, default=1, help="run one in so many of the suite's cases")
    parser.add_argument("--isolation", choices=["thread", "process"], default="thread")
    options = parser.parse_args()
    use_one_arena()
    engine = WasmEngine(isolation=ProcessIsolation() if options.isolation == "process" else None)
    soaked = soak(
        engine,
        options.executions,
        slowest_ms=options.slowest_ms,
        each=options.each,
        tell=lambda row: print(row, flush=True),
    )
    engine.close()
    print(soaked.summary())
    return 1 if soaked.findings else 0


if __name__ == "__main__":
    sys.exit(main())
