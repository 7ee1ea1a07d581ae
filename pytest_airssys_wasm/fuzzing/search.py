"""The search for an example with a fault: known examples first, then new ones from Hypothesis with variations."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from msgspec import Struct

from pytest_airssys_wasm.fuzzing.stopwatch import BUSY_SHARE, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hypothesis.database import ExampleDatabase
    from hypothesis.strategies import SearchStrategy

    from pytest_airssys_wasm.fuzzing.trials import Finding

T = TypeVar("T")

_ROUND = 100
"""The number of examples after which Hypothesis begins anew: with other random numbers, and from the edges."""
_VARIATIONS = 32
"""The number of variations of each example."""
_MOST_STEPS = 4
"""The maximum number of steps between an example that was picked and a variation of it."""
_MOST_ENTRY_BYTES = 2**20
_MOST_ENTRIES = 256


class Plan(Struct, frozen=True, kw_only=True):
    """The effort of one check, and the source of its examples."""

    profile: str
    """The name of the profile: `quick`, `ci` or `nightly`."""
    examples: int | None
    """The maximum number of examples; `None` goes on until the time is up."""
    time_s: float
    """The time of a `Stopwatch` in seconds after which no further example is made."""
    shrink_s: float
    """The time in seconds that the search for a smaller example may take."""
    seed: int
    is_guided: bool = False
    """Whether the search is guided by the blocks of the guest that its examples reach."""
    database: ExampleDatabase | None = None
    """The database of Hypothesis in which examples with faults are kept."""
    key: bytes = b""
    """The key of the examples in the database."""

    def stopwatch(self) -> Stopwatch:
        """Return the clock of a search. With the profile `nightly` it counts all the time that passes."""
        return Stopwatch(share=1 if self.profile == "nightly" else BUSY_SHARE)


class Found(Struct, Generic[T], frozen=True, kw_only=True):
    """An example with a fault."""

    example: T
    finding: Finding


@dataclass(slots=True, kw_only=True)
class Search(Generic[T]):
    """The course of a search."""

    plan: Plan
    judge: Callable[[T], Finding | None]
    """The function that tries an example, and returns the fault that it shows, if any."""
    vary: Callable[[T], T] | None = None
    """The function that makes a variation of an example, which takes much less time than a new one."""
    probe: Callable[[T], Finding | None] | None = None
    """The function that tries a variation, where that is to be cheaper than `judge`."""
    pick: Callable[[], T | None] | None = None
    """The function that returns an example which is worth varying further, or `None`. Every second variation is then
    one of such an example.
    """
    examples: int = 0
    """The number of examples that were tried, variations included."""
    draws: int = 0
    """The number of examples that Hypothesis made."""
    is_known: bool = False
    """Whether an example of an earlier run has shown the fault."""
    is_cut: bool = False
    """Whether the time was up before all examples were tried, or before an example with a fault was shrunk."""
    found: Found[T] | None = None
    passed: list[T] = field(default_factory=list)
    """Examples without a fault, for further use."""
    clock: Stopwatch = field(init=False)
    ends_at: float = field(init=False)
    """The time of the clock at which the current part of the search ends."""

    def __post_init__(self) -> None:
        self.clock = self.plan.stopwatch()
        self.ends_at = self.plan.time_s

    def is_over(self) -> bool:
        """Return whether the time of the current part of the search is up."""
        return self.clock.seconds() >= self.ends_at

    def left_s(self) -> float:
        """Return the seconds that are left for the current part of the search; negative when they are over."""
        return self.ends_at - self.clock.seconds()

    def allow_shrinking(self) -> None:
        """Begin the search for a smaller example, for which there is separate time."""
        self.ends_at = self.clock.seconds() + self.plan.shrink_s

    def replay(self, encoded: Iterator[bytes], read: Callable[[Any], T | None]) -> Found[T] | None:
        """Try the examples of earlier runs. `read` returns `None` for one that is not an example any more.

        An example that does not show a fault any more is removed from the database.
        """
        for entry in encoded:
            example = _read(entry, read)
            if example is not None and not self.is_over() and self._try(example) is not None:
                self.is_known = True
                return self.found
            if self.plan.database is not None and not self.is_over():
                self.plan.database.delete(self.plan.key, entry)
        return None

    def generate(self, strategy: SearchStrategy[T]) -> Found[T] | None:
        """Try examples of a strategy, until one shows a fault."""
        most = self.plan.examples
        round_ = 0
        while self.found is None and not self.is_over() and (most is None or self.draws < most):
            before = self.draws
            count = _ROUND if most is None else min(_ROUND, most - before)
            self._round(strategy, count, self.plan.seed + round_)
            round_ += 1
            if self.draws - before < count // 2:
                break  # there are no more
        self.is_cut = self.found is None and self.is_over()
        return self.found

    def _try_variations(self, example: T) -> None:
        """Try variations of an example, and variations of them, and of picked examples, until one shows a fault."""
        if self.vary is None:
            return
        judge = self.probe or self.judge
        for number in range(_VARIATIONS):
            picked = self.pick() if self.pick is not None and number % 2 else None
            varied = self.vary(example if picked is None else picked)
            if picked is not None:
                for _ in range(number // 2 % _MOST_STEPS):
                    varied = self.vary(varied)
            elif number & 2:
                example = varied
            if self.is_over():
                return
            self.examples += 1
            finding = judge(varied)
            if finding is not None:
                self.found = Found(example=varied, finding=finding)
                return

    def _round(self, strategy: SearchStrategy[T], count: int, seed_: int) -> None:
        @seed(seed_)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[Phase.generate],  # what is found is shrunk by its type, which takes less time
            suppress_health_check=[*HealthCheck],
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=Verbosity.quiet,
        )
        @given(strategy)
        def run(example: T) -> None:
            if self.found is None and not self.is_over():
                self.draws += 1
                if self._try(example) is None:
                    self._try_variations(example)
            if self.found is not None:  # also when Hypothesis makes the last example again
                raise _Faulty

        with suppress(_Faulty):
            run()

    def _try(self, example: T) -> Finding | None:
        """Try an example. After the first fault, only faults of the same kind count."""
        self.examples += 1
        finding = self.judge(example)
        if finding is None or (self.found is not None and finding.kind != self.found.finding.kind):
            return None
        self.found = Found(example=example, finding=finding)
        return finding

    def fails(self, example: T) -> bool:
        """Return whether a smaller example shows the same fault, and remember it if it does."""
        return self._try(example) is not None

    def keep(self, encoded: Any) -> None:
        """Write the example that was found to the database, as JSON."""
        if self.plan.database is not None:
            self.plan.database.save(self.plan.key, msgspec.json.encode(encoded))


class _Faulty(Exception):
    """The internal error by which Hypothesis knows that no further examples are needed."""


def known_examples(plan: Plan) -> Iterator[bytes]:
    """Yield the examples that earlier runs have kept, the shortest first."""
    if plan.database is None:
        return
    found = [entry for entry in plan.database.fetch(plan.key) if len(entry) <= _MOST_ENTRY_BYTES]
    yield from sorted(found, key=lambda entry: (len(entry), entry))[:_MOST_ENTRIES]


def _read(entry: bytes, read: Callable[[Any], T | None]) -> T | None:
    try:
        return read(msgspec.json.decode(entry))
    except (msgspec.DecodeError, RecursionError, ValueError, TypeError, KeyError):
        return None  # of another program, or of another version of this one
