"""The tightest limits of calls: the smallest with which all of them still end the same, each found by runs on both
sides of it.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.analysis.errors import CannotRepeat
from pytest_airssys_wasm.analysis.repeatable import Deadline, RepeatableGuest
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.wave import write_call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

_ORDER = ("tables", "table_elements", "instances", "memories", "transfer", "output", "memory", "fuel")
"""The limits in the order in which they are tightened. Fuel is the last: what a call does may depend on the others."""
_MOST_ROUNDS = 4


class TightestLimits(ResourceLimits):
    """The smallest limits with which a list of calls still ends the same, with a witness for each of them.

    They are ordinary `ResourceLimits`. The timeout is the one that was given: it depends on the machine.
    """

    witnesses: Mapping[str, str] = {}
    """The call, in WAVE notation, that ends otherwise with one unit less, by the name of the limit. Limits that are 0
    have none.
    """
    executions: int = 0
    """The number of runs that the search made."""
    is_complete: bool = True
    """Whether every limit was tightened and tried; if not, `time_s` was too short, and some limits may be too large."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ResourceLimits):
            return NotImplemented
        return all(getattr(self, field.name) == getattr(other, field.name) for field in fields(ResourceLimits))

    def __hash__(self) -> int:
        return ResourceLimits.__hash__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        plain = {field.name: getattr(self, field.name) for field in fields(ResourceLimits)}
        return _tightest, (plain, dict(self.witnesses), self.executions, self.is_complete)


def _tightest(
    limits: Mapping[str, Any], witnesses: Mapping[str, str], executions: int, is_complete: bool
) -> TightestLimits:
    found = TightestLimits(**limits)
    more = {"witnesses": witnesses, "executions": executions, "is_complete": is_complete}
    for name, value in more.items():  # the class is frozen
        object.__setattr__(found, name, value)
    return found


def tightest_limits(
    component: Component,
    calls: Sequence[Sequence[Any]],
    *,
    limits: ResourceLimits | None = None,
    time_s: float | None = None,
    host: HostFunctions | None = None,
    wasi: Wasi | None = None,
) -> TightestLimits:
    """Return the smallest limits with which all calls still end the same: with the same verdict, value, trap and
    output. With one unit less of any limit, the witness of that limit ends otherwise; both are tried by runs.

    `calls` are tuples of an export and its arguments: `[("sort", b"321"), ("fill", 10)]`. Each is one
    `engine.execute` with the instantiation of the guest. Fuel, memory, transfer, output and all counts are tightened,
    starting from `limits`; the timeout stays.

    Raises `CannotRepeat`, also for a guest that varies, `InvalidConfiguration` for a list without calls, the errors of
    `execute` for wrong names and arguments, and the `WasmError` of a call that one of the given limits ends, since it
    has no end of its own.
    """
    deadline = Deadline(time_s)
    guest = RepeatableGuest(component, limits=limits, host=host, wasi=wasi)
    if not calls or any(isinstance(call, str) or not call for call in calls):
        raise InvalidConfiguration("calls", calls, "a list of (export, *arguments), with at least one call")
    return _Search(guest, [(str(export), tuple(args)) for export, *args in calls], deadline).tightest()


class _Search:
    """The search for the tightest limits of some calls."""

    def __init__(
        self, guest: RepeatableGuest, calls: Sequence[tuple[str, tuple[Any, ...]]], deadline: Deadline
    ) -> None:
        self._guest = guest
        self._calls = calls
        self._deadline = deadline
        self._first = [guest.run(export, *args) for export, args in calls]
        for done in self._first:
            if done.error is not None and done.verdict in _ENDED_BY_A_LIMIT:
                raise done.error
        for (export, args), done in zip(calls, self._first):
            again = guest.run_to_its_end(export, *args)
            if (again.ending, again.fuel, again.peak_memory_bytes) != (done.ending, done.fuel, done.peak_memory_bytes):
                raise CannotRepeat(
                    f"{printable(export)} used {done.fuel:,} fuel, and in the next run {again.fuel:,}: it varies"
                )
        self._limits = guest.limits
        self._witnesses: dict[str, int] = {}

    def tightest(self) -> TightestLimits:
        """Return the limits, and try once more that they are the smallest."""
        is_complete = False
        for _ in range(_MOST_ROUNDS):
            for name in _ORDER:
                if self._deadline.is_over:
                    break
                self._tighten(name)
            else:
                # A limit may depend on another one: with less memory a guest may take another way.
                if self._are_tight():
                    is_complete = True
                    break
                continue
            break
        types = self._guest.component.parameter_types
        return _tightest(
            {field.name: getattr(self._limits, field.name) for field in fields(ResourceLimits)},
            {
                name: write_call(*self._calls[index], types(self._calls[index][0]))
                for name, index in sorted(self._witnesses.items())
            },
            self._guest.runs,
            is_complete,
        )

    def _tighten(self, name: str) -> None:
        """Lower one limit to the smallest value with which every call ends as it did."""
        self._witnesses.pop(name, None)
        least = 0
        for index, done in enumerate(self._first):
            if least and self._ends_the_same(index, **{name: least}):
                continue
            least = self._smallest(index, name, least, _used(done, name))
            if least:
                self._witnesses[name] = index
        self._limits = replace(self._limits, **{name: least})

    def _smallest(self, index: int, name: str, failing: int, guess: int) -> int:
        """Return the smallest value with which a call ends as it did; the call fails with `failing`, unless it is 0."""

        def holds(value: int) -> bool:
            return self._ends_the_same(index, **{name: value})

        given = getattr(self._limits, name)
        most: int = MAX_U64 if given is None else given
        if failing == 0 and holds(0):
            return 0
        return bisect(holds, failing, min(max(guess, failing + 1), most), most)

    def _are_tight(self) -> bool:
        """Return whether all calls end as they did, and the witness of each limit does not with one unit less."""
        if not all(self._ends_the_same(index) for index in range(len(self._calls))):
            self._limits = self._guest.limits
            return False
        return not any(
            self._ends_the_same(index, **{name: getattr(self._limits, name) - 1})
            for name, index in self._witnesses.items()
        )

    def _ends_the_same(self, index: int, **changed: int) -> bool:
        export, args = self._calls[index]
        done = self._guest.run_to_its_end(export, *args, limits=replace(self._limits, **changed))
        return done.ending == self._first[index].ending


_ENDED_BY_A_LIMIT = frozenset([Verdict.OUT_OF_FUEL, Verdict.TIMEOUT, Verdict.OUT_OF_MEMORY, Verdict.RESOURCE_LIMIT])


def bisect(holds: Callable[[int], bool], failing: int, guess: int, most: int) -> int:
    """Return a value that holds and whose predecessor does not, by runs of both.

    `failing` does not hold and `most` does, as far as is known; `guess` is near the result. The search looks around
    the guess first, in steps that double.
    """
    low, high = failing, guess
    step = 1
    if not holds(high):
        while high < most:
            low, high = high, min(most, high + step)
            step *= 2
            if holds(high):
                break
    else:
        while high - step > low:
            if holds(high - step):
                high, step = high - step, step * 2
            else:
                low = high - step
                break
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def _used(done: Rerun, name: str) -> int:
    """Return what a run used of a limit, as a guess of what it needs."""
    if done.usage is None:
        return 1
    measured = {
        "fuel": done.usage.fuel.consumed,
        "memory": done.usage.peak_memory_bytes,
        "transfer": done.usage.transfer_bytes,
        "output": sum(map(len, done.output)),
    }
    return measured.get(name, 1)
