"""The search for leaks: sequences of calls that, repeated in one instance, make its memory grow without end."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_airssys_wasm.fuzzing.steps import Player, Step, fault_of
from pytest_airssys_wasm.fuzzing.stopwatch import Stopwatch
from pytest_airssys_wasm.fuzzing.trials import Finding, Guest
from pytest_airssys_wasm.runtime.base.figures import size
from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MOST_REPETITIONS = 8_192
_LEAST_REPETITIONS = 64
_SUSPECTED_S = 3.0
"""The time in seconds for which a sequence is repeated under which memory has grown once."""
_PARTS = 4
"""The parts of the repetitions in each of which the memory of a guest that leaks grows. That of a guest with a cache or
a garbage collector reaches a level.
"""


def find_growth(
    guest: Guest, steps: Sequence[Step], allowed: Callable[[str], frozenset[str]], *, time_s: float
) -> Finding | None:
    """Repeat a sequence in one instance for a time, and return the fault if the memory grows without end. Where it has
    grown, the repetitions go on for up to three seconds.

    After each repetition the resources that the host has are dropped. Returns another fault if a repetition ends with
    one, and `None` for a sequence that ends as `allowed`.
    """
    player = Player(guest)
    sizes: list[int] = []
    clock = Stopwatch()
    try:
        while len(sizes) < _MOST_REPETITIONS:
            is_suspected = bool(sizes) and sizes[-1] > sizes[0]
            allowed_s = max(time_s, _SUSPECTED_S) if is_suspected else time_s
            if len(sizes) >= _LEAST_REPETITIONS and clock.seconds() > allowed_s:
                break
            for step in steps:
                found = fault_of(player.play(step), allowed(step.export))
                if found is not None:
                    return _after(found, sizes)
                if player.is_over:
                    return None
            found = fault_of(player.drop_all(), frozenset(), "when its resources were dropped, the sequence ")
            if found is not None:
                return _after(found, sizes)
            sizes.append(player.peak_memory_bytes)
    finally:
        player.close()
    return _growth(sizes) if grows_without_end(sizes) else None


def grows_without_end(sizes: Sequence[int]) -> bool:
    """Return whether memory, measured after each repetition in bytes, has grown in every part of the repetitions, and
    at the end about as fast as at the beginning.
    """
    part = len(sizes) // _PARTS
    if part == 0:
        return False
    # What the first repetition adds is the beginning of the guest, not growth.
    marks = [sizes[0], *(sizes[part * number - 1] for number in range(1, _PARTS + 1))]
    steps = [after - before for before, after in pairwise(marks)]
    return min(steps) > 0 and 2 * steps[-1] >= steps[1]


def _growth(sizes: Sequence[int]) -> Finding:
    each = (sizes[-1] - sizes[0]) / (len(sizes) - 1)
    return Finding(
        kind="growth",
        sentence=f"makes memory grow from {size(sizes[0])} to {size(sizes[-1])} in {len(sizes):,} repetitions, "
        f"by about {each:,.0f} bytes each time, without end",
        repetitions=len(sizes),
    )


def _after(found: Finding, sizes: Sequence[int]) -> Finding:
    """Return the fault of a repetition; running out of memory is growth."""
    if not sizes:
        return found
    error = found.error
    if error is not None and error.verdict is Verdict.OUT_OF_MEMORY and sizes[-1] > sizes[0]:
        grown = f"makes memory grow from {size(sizes[0])} to the limit in {len(sizes) + 1:,} repetitions"
        return Finding(kind="growth", sentence=grown, error=error, repetitions=len(sizes) + 1)
    return Finding(
        kind=found.kind,
        sentence=f"{found.sentence} in repetition {len(sizes) + 1:,} in one instance",
        error=error,
        repetitions=len(sizes) + 1,
    )
