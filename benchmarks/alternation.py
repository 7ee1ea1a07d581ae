"""Times of work that is done alternately, in short batches, on a machine that also does other things.

Each batch is so short that most of them are not interrupted. The lower quartile of many is close to what the work takes
undisturbed, and hardly varies from run to run; disturbances are the same for both sides.
"""

from __future__ import annotations

import gc
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Repeat = Callable[[int], float]
    """A function that repeats its work a number of times, and returns the seconds that all of it took."""


class Effort(NamedTuple):
    """The time that is spent on measurements."""

    rounds: int
    """The most batches of each side."""
    budget_s: float
    """The most seconds for all sides of one row together."""
    batch_s: float
    """The seconds of one batch, if the work itself does not take longer; 0 does the work once, without trying it before."""


FULL = Effort(rounds=400, budget_s=8, batch_s=0.001)
QUICK = Effort(rounds=1, budget_s=0, batch_s=0)


def repeated(work: Callable[[], object]) -> Repeat:
    """Return the repetition of a function."""

    def repeat(times: int) -> float:
        every = range(times)
        start = time.perf_counter()
        for _ in every:
            work()
        return time.perf_counter() - start

    return repeat


def lower_quartile(values: list[float]) -> float:
    """Return the lower quartile, or the least of fewer than four values."""
    return statistics.quantiles(values, n=4)[0] if len(values) >= 4 else min(values)


def alternate(sides: Mapping[str, Repeat], effort: Effort) -> dict[str, float]:
    """Return the seconds of one repetition of each side: the lower quartile of many alternations."""
    counts = dict.fromkeys(sides, 1)
    for name, repeat in sides.items() if effort.batch_s else ():
        repeat(1)
        least_s = min(repeat(1) for _ in range(3))
        counts[name] = max(1, int(effort.batch_s / least_s))
    seen: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    ends = time.perf_counter() + effort.budget_s
    for number in range(effort.rounds):
        for name, repeat in sides.items():
            seen[name].append(repeat(counts[name]) / counts[name])
        if number and time.perf_counter() > ends:
            break
    return {name: lower_quartile(values) for name, values in seen.items()}
