"""The growths of memory in a call, in their order, found by repeating the call with other budgets of fuel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_airssys_wasm.analysis.failed_call import FailedCall
from pytest_airssys_wasm.analysis.lifted_limits import MOST_MS, NO_CEILINGS
from pytest_airssys_wasm.analysis.repeatable import Deadline
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.units import MAX_U64

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_airssys_wasm.analysis.repeatable import RepeatableGuest, Rerun
    from pytest_airssys_wasm.runtime.base.outcome import Frame
    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import Ceilings, ResourceLimits
    from pytest_airssys_wasm.runtime.errors import WasmError
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

_MOST_GROWTHS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryGrowth:
    """One step in which the memory of a guest grew, or in which the memory limit refused that."""

    fuel: int
    """The smallest fuel budget with which the call gets so far."""
    memory_bytes: int | None
    """The size of all memories together after the growth, in bytes; `None` for growths that were refused."""
    refused: int
    """The number of growths that were refused in this step."""
    frames: tuple[Frame, ...]
    """The functions that are running when one unit less is spent, innermost first. Fuel is checked where functions and
    loops begin, so this is at most one such block before the growth.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryGrowths:
    """The growths of memory in a call, in their order."""

    initial_bytes: int
    """The size of all memories together before the first growth, in bytes."""
    growths: tuple[MemoryGrowth, ...]
    """The growths, at most the first 16."""
    is_complete: bool
    """Whether these are all growths; if not, there are more than 16, or the time for the search was too short."""


class _Memory(NamedTuple):
    """The memory of a call at its end, or when it ran out of a budget."""

    bytes: int
    refused: int

    @classmethod
    def of(cls, usage: Usage | None) -> _Memory:
        """Return the memory that a usage tells of."""
        return cls(0, 0) if usage is None else cls(usage.peak_memory_bytes, usage.denied_growths)


def memory_growths(
    error: WasmError,
    *,
    ceilings: Ceilings = NO_CEILINGS,
    time_s: float | None = None,
    host: HostFunctions | None = None,
    wasi: Wasi | None = None,
) -> MemoryGrowths:
    """Return the growths of memory in the call that ended with `error`, with the functions in which they happen.

    The call is repeated with smaller budgets of fuel, so a guest must be the same in each run. `host` and `wasi`
    replace those of the call. No run begins after `time_s` seconds.

    Raises `CannotRepeat` if the error is a copy, if the guest could affect the host, or if the call was not the first
    one in its store.
    """
    failed = FailedCall(error, host=host, wasi=wasi)
    limits = ceilings.lower(replace(failed.limits, timeout_ms=MOST_MS))
    return _Search(failed.run, limits, error.usage, Deadline(time_s)).growths()


def growths_of(
    guest: RepeatableGuest,
    export: str,
    args: Sequence[Any],
    *,
    done: Rerun,
    samples: Mapping[int, Rerun],
    deadline: Deadline,
) -> MemoryGrowths:
    """Return the growths of memory in a call that returned, with the instantiation of the guest.

    `done` is the call, and `samples` are repetitions of it by their budgets of fuel, which the search need not make.
    """

    def run(limits: ResourceLimits) -> Rerun:
        return guest.run_to_its_end(export, *args, limits=limits)

    search = _Search(run, guest.limits, done.usage, deadline)
    known = {0: run(guest.under(fuel=0)), **samples, done.fuel: done}
    for budget, one in known.items():
        search.learn(budget, one)
    return search.growths()


class _Search:
    """The search for the growths in one call, which `run` makes again."""

    def __init__(
        self, run: Callable[[ResourceLimits], Rerun], limits: ResourceLimits, usage: Usage | None, deadline: Deadline
    ) -> None:
        self._end = _Memory.of(usage)
        self._consumed = 0 if usage is None else usage.fuel.consumed
        self._run = run
        self._deadline = deadline
        self._limits = limits
        self._known: dict[int, tuple[_Memory, Sequence[Frame]]] = {}
        self._found: list[MemoryGrowth] = []
        self._is_complete = True

    def growths(self) -> MemoryGrowths:
        """Return the growths."""
        first = self._memory_with(0)
        last = self._enough()
        if first is not None and last is not None:
            budgets = sorted(budget for budget in self._known if budget <= last)
            for low, high in pairwise(budgets):
                self._between(low, self._known[low][0], high, self._known[high][0])
        return MemoryGrowths(
            initial_bytes=0 if first is None else first.bytes,
            growths=tuple(self._found),
            is_complete=self._is_complete and None not in (first, last),
        )

    def _enough(self) -> int | None:
        """Return a budget with which the memory becomes what it was in the end; `None` if none is found."""
        most = MAX_U64 if self._limits.fuel is None else self._limits.fuel
        budget = min(max(1, self._consumed), most)
        while (memory := self._memory_with(budget)) is not None:
            if memory == self._end:
                return budget
            if budget == most:
                return None
            budget = min(2 * budget, most)
        return None

    def _between(self, low: int, before: _Memory, high: int, after: _Memory) -> None:
        """Add the growths between two budgets, the earliest first."""
        if before == after or not self._is_complete:
            return
        if len(self._found) == _MOST_GROWTHS:
            self._is_complete = False
            return
        if high - low == 1:
            self._found.append(
                MemoryGrowth(
                    fuel=high,
                    memory_bytes=after.bytes if after.bytes > before.bytes else None,
                    refused=after.refused - before.refused,
                    frames=tuple(self._known[low][1]),
                )
            )
            return
        middle = (low + high) // 2
        memory = self._memory_with(middle)
        if memory is not None:
            self._between(low, before, middle, memory)
            self._between(middle, memory, high, after)

    def _memory_with(self, budget: int) -> _Memory | None:
        """Return the memory of the call when it has spent a budget; `None` if the time is up."""
        if budget not in self._known:
            if self._deadline.is_over:
                self._is_complete = False
                return None
            done = self._run(replace(self._limits, fuel=budget))
            if done.verdict is Verdict.TIMEOUT:
                self._is_complete = False
                return None
            self.learn(budget, done)
        return self._known[budget][0]

    def learn(self, budget: int, done: Rerun) -> None:
        """Take over the memory, and the functions that were running, from a run with a budget."""
        is_cut = done.error is not None and done.verdict is Verdict.OUT_OF_FUEL
        self._known[budget] = _Memory.of(done.usage), done.error.frames if is_cut and done.error is not None else ()
