"""The guidance of a search by the code that its examples reach.

Variations are called in a copy of the guest with a probe in each block. An example that reaches a block that none
before it has reached is kept and varied further, so a search passes conditions that are checked one after the other.
"""

from __future__ import annotations

from heapq import heappush, heapreplace
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.analysis.guest_coverage.calls import binary_of
from pytest_airssys_wasm.analysis.guest_coverage.probed_build import ProbedBuild
from pytest_airssys_wasm.fuzzing.trials import Guest, probe, try_execution
from pytest_airssys_wasm.fuzzing.wit_values import size_of
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.binary.probes import CannotInstrument

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from typing_extensions import Self

    from pytest_airssys_wasm.fuzzing.trials import Finding, Trial

MOST_CODE_BYTES = 2**19
"""The maximum size of the code of a guest whose search is guided, in bytes. Making the copy takes about a second then;
the blocks of larger guests are mostly those of an interpreter.
"""


class ReachedBlocks:
    """The examples that have reached something new: the smallest one for each set of blocks."""

    def __init__(self) -> None:
        self._total = 0
        self._kept: dict[bytes, tuple[int, tuple[Any, ...]]] = {}
        self._turns: list[tuple[int, int, bytes]] = []

    @property
    def count(self) -> int:
        """The number of blocks that any example has reached."""
        return bin(self._total).count("1")

    def add(self, args: tuple[Any, ...], reached: bytes) -> None:
        """Keep arguments if they reach a new block, or the same as others that are larger.

        `reached` has a byte for each block: 1 if the arguments reach it.
        """
        known = self._kept.get(reached)
        if known is not None:
            if size_of(args) < known[0]:
                self._kept[reached] = (size_of(args), args)
            return
        blocks = int.from_bytes(reached, "big")
        if blocks | self._total != self._total:
            self._total |= blocks
            self._kept[reached] = (size_of(args), args)
            heappush(self._turns, (0, -len(self._kept), reached))

    def pick(self) -> tuple[Any, ...] | None:
        """Return the arguments that were picked least often, the newest of those; `None` if none are kept."""
        if not self._turns:
            return None
        picked, order, reached = self._turns[0]
        heapreplace(self._turns, (picked + 1, order, reached))
        return self._kept[reached][1]


class GuidedTrials:
    """The trials of a search that is guided, and a context manager that removes the copy of the guest.

    Raises `CannotInstrument` for a guest without code, and for one that is too large or cannot be copied.
    """

    def __init__(self, guest: Guest) -> None:
        binary = binary_of(guest.component, guest.engine)
        self._guest = guest
        self._build = ProbedBuild(binary, guest.engine, is_counting=False, most_code_bytes=MOST_CODE_BYTES)
        self._probed = Guest(
            engine=self._build.engine,
            component=self._build.component,
            limits=self._build.limits(guest.limits),
            host=guest.host,
            wasi=guest.wasi,
        )
        self._examples = ReachedBlocks()
        self.pick = self._examples.pick
        """The function that returns arguments to vary further, or `None`."""

    @property
    def note(self) -> str:
        """The number of blocks that were reached, in words."""
        return f"{self._examples.count:,} of {self._build.probes:,} blocks reached"

    def probe(self, export: str, args: tuple[Any, ...], allowed: Collection[str], needed: set[str]) -> Finding | None:
        """Call an export of the copy in a fresh instance, and return the fault that this shows, if any.

        A call that does not end well in the copy, or might not in the original, is made in the original.
        """
        self._build.clear()
        trial = try_execution(self._probed, export, args)
        self._examples.add(args, self._build.reached())
        accepted = [kind for kind in trial.kinds if kind in allowed]
        if self._ends_so_in_the_original(trial) and (accepted or (trial.verdict is Verdict.OK and not trial.misfit)):
            needed.update(accepted)
            return None
        return probe(self._guest, export, args, allowed, needed)

    def _ends_so_in_the_original(self, trial: Trial) -> bool:
        """Return whether a call of the copy, whose probes take fuel, ends in the original as it has ended."""
        limits, usage = self._guest.limits, trial.usage
        if usage is None or trial.verdict is Verdict.TIMEOUT or usage.peak_memory_bytes > limits.memory:
            return False
        return limits.fuel is None or usage.fuel.consumed <= limits.fuel

    def close(self) -> None:
        """Remove the copy of the guest."""
        self._build.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def guided(guest: Guest) -> GuidedTrials | None:
    """Return the trials of a guided search, or `None` for a guest that cannot be copied, or is too large."""
    try:
        return GuidedTrials(guest)
    except CannotInstrument:
        return None
