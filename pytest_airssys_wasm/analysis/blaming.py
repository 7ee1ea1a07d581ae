"""The search for the limit that is to blame for the end of a call, and for what the call needs instead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from pytest_airssys_wasm.analysis.failed_call import FailedCall, first_host_call
from pytest_airssys_wasm.analysis.lifted_limits import MOST_MS, NO_CEILINGS, amount_used, is_more, lift, limit_of
from pytest_airssys_wasm.analysis.repeatable import Deadline, is_of_wasi
from pytest_airssys_wasm.analysis.tightest import bisect
from pytest_airssys_wasm.runtime.base.figures import measured_ms, seconds
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.budget.limit_text import WORDS, limit_text
from pytest_airssys_wasm.runtime.budget.units import MAX_U64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import Ceilings, ResourceLimits
    from pytest_airssys_wasm.runtime.errors import WasmError
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

_SILENT = ("memory", "table_elements")
"""The limits that may make a guest fail in a way of its own, because it is refused something, likeliest first. All
others end the guest, with an error that names them.
"""
_LEAST_WAIT_MS = 5.0
"""The least time without a processor that counts as waiting, in milliseconds. Every thread waits for some time."""
_PATIENCE = 2
"""The factor of the time that the call took before it failed: a re-run may take as long, and at least `MOST_MS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """The limit that is to blame for the end of a call. Its `str()` says what the call needs, in a sentence."""

    is_instantiation: bool
    """Whether the failed call was the instantiation of a guest, and not a call of an export."""
    limit: str | None
    """The name of the limit, as in `ResourceLimits`, that ended the call, or that alone keeps it from returning;
    `None` if no limit does.
    """
    given: float | None
    """The limit under which the call failed, in its unit; `None` without a limit."""
    tried: float | None
    """The value of this limit in the run in which it was lifted; `None` means unlimited, or that there was no run."""
    is_at_ceiling: bool
    """Whether the ceilings allow no higher value of this limit than `tried`, or no run at all."""
    timeout_ms: float | None
    """The timeout of the run in which the limit was lifted, in milliseconds; `None` if there was no run."""
    needed: float | None
    """The smallest value of this limit with which the call returns while all others stay, except that it may take
    longer; in units of fuel, bytes or numbers. For `timeout_ms` it is what one run took. If `is_complete` is `False`,
    less may suffice. `None` if the call does not return.
    """
    verdict: Verdict
    """The verdict of the call with this limit lifted; the verdict of the error if there was no such run."""
    first_host_call: str | None
    """The name of a host function that is not repeatable, before whose first call the re-run was ended; `None` if that
    is not the case.
    """
    used_until_then: float | None
    """The amount that the re-run had used until its first host call, of which the call needs at least as much; `None`
    for other ends.
    """
    fuel_at_trap: int | None
    """The fuel at which the call trapped, as wasmtime counted it; where it does not count to the end, the smallest
    budget with which the call gets as far as its trap. `None` if it did not trap, or if that is not known.
    """
    was_fuel_lost: bool
    """Whether wasmtime did not count the fuel to the trap, so that `fuel_at_trap` was searched for."""
    slowed_by: Literal["fuel", "host", "machine"] | None
    """The cause of a timeout: the guest itself, host functions and WASI, or the machine, which gave the guest little
    processor time. `None` for other ends, and if it is not known.
    """
    executions: int
    """The number of runs that were made."""
    is_complete: bool
    """Whether the search came to its end; if not, the time for it was too short."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of `str()`; empty if neither a limit is to blame nor anything else was learnt."""
        return tuple(self._sentences())

    def __str__(self) -> str:
        if self.sentences:
            return "; ".join(self.sentences)
        if not self.is_complete:
            return "unknown: the time for re-runs was too short"
        return f"no limit is to blame: {self._what} ends with {self.verdict} whatever it is given"

    def _sentences(self) -> Iterator[str]:
        if self.limit is not None:
            yield f"{WORDS.get(self.limit, self.limit.replace('_', ' '))}: {self._of_the_limit(self.limit)}"
        if self.was_fuel_lost and self.fuel_at_trap is not None:
            yield f"the trap is reached with {self.fuel_at_trap:,} fuel"
        if self.slowed_by is not None:
            yield _SLOW[self.slowed_by]

    @property
    def _what(self) -> str:
        return "the instantiation" if self.is_instantiation else "the call"

    def _of_the_limit(self, limit: str) -> str:
        given = limit_text(limit, self.given)
        if self.timeout_ms is None:
            why = "the ceilings of the ini file leave no room for more" if self.is_at_ceiling else "there was no time"
            return f"not lifted, because {why}"
        if self.first_host_call is not None and self.used_until_then is not None:
            used, host = limit_text(limit, self.used_until_then), printable(self.first_host_call)
            return f"{self._what} uses {used} before it calls {host}, and is not repeated from there on"
        if self.verdict is Verdict.TIMEOUT:
            with_more = f"{self._with_more(limit)} " if limit != "timeout_ms" else ""
            after = f"{seconds(self.timeout_ms / 1_000)} s"
            return f"{with_more}{self._what} had not returned after {after}; it may never end"
        if self.verdict is not Verdict.OK:
            return f"{self._with_more(limit)} {self._what} ends with {self.verdict}"
        if self.needed is None:
            return f"{self._with_more(limit)} {self._what} returns"
        if limit == "timeout_ms":
            took = f"after about {measured_ms(self.needed)} ms"
            if self.given is not None and self.needed <= self.given:
                return f"run again with more time, {self._what} returned {took}, which is within the limit of {given}"
            return f"{self._what} returns {took}, the limit was {given}"
        at_most = "" if self.is_complete else "at most "
        return f"{self._what} needs {at_most}{limit_text(limit, self.needed)}{self._exactly()}, the limit was {given}"

    def _with_more(self, limit: str) -> str:
        if self.tried is None:
            return "without this limit"
        return f"with {limit_text(limit, self.tried)}{', the ceiling of this limit,' if self.is_at_ceiling else ''}"

    def _exactly(self) -> str:
        is_size = self.limit in ("memory", "transfer", "output")
        return f" ({self.needed:,} bytes)" if is_size and self.needed is not None and self.needed >= 1_024 else ""


_SLOW = {
    "fuel": "the guest itself took the time",
    "host": "host functions or WASI took the time",
    "machine": "the machine was busy: the guest had little processor time",
}


def blame(
    error: WasmError,
    *,
    ceilings: Ceilings = NO_CEILINGS,
    time_s: float | None = None,
    host: HostFunctions | None = None,
    wasi: Wasi | None = None,
) -> Blame:
    """Return which limit, lifted alone, lets the call return that ended with `error`, and what it then needs.

    After a trap the result has the fuel at which it happens, also where wasmtime does not count it to the end; after a
    timeout it says what took the time. `ceilings` bound the limits of the runs, and no run begins or goes on when
    `time_s` seconds have passed. `host` and `wasi` replace those of the call, such as a host function by one that is
    repeatable.

    A guest that had not called the host yet is run up to its first call of a host function that is not repeatable.

    Raises `CannotRepeat` if the error is a copy, if the guest could affect the host, or if the call was not the first
    one in its store.
    """
    deadline = Deadline(time_s)
    failed = FailedCall(error, host=host, wasi=wasi, until_host=True)
    return _Search(error, failed, ceilings, deadline).blame()


class _Trial(Struct, frozen=True, kw_only=True):
    """The run of a call with one limit lifted."""

    name: str
    """The name of the limit."""
    limits: ResourceLimits
    """The limits of the run."""
    done: Rerun | None
    """The end of the run; `None` if it was not made, for lack of time or because the ceilings are too low."""
    is_at_ceiling: bool
    """Whether a ceiling made the limit of the run lower, or left no room for a run."""


class _Search:
    """The search for the limit that is to blame for one error."""

    def __init__(self, error: WasmError, failed: FailedCall, ceilings: Ceilings, deadline: Deadline) -> None:
        self._error = error
        self._failed = failed
        self._ceilings = ceilings
        self._deadline = deadline
        self._is_complete = True
        usage = error.usage
        self._patience_ms = max(MOST_MS, 0 if usage is None else _PATIENCE * usage.wall_ms)
        # A memory that is too large to begin with ends a guest before it runs.
        is_refused = error.verdict is Verdict.OUT_OF_MEMORY and len(error.frames) > 0
        self._has_trapped = error.verdict is Verdict.TRAP or is_refused
        self._was_fuel_lost = self._has_trapped and usage is not None and not usage.fuel.is_exact

    def blame(self) -> Blame:
        """Return the limit, and what the call needs."""
        name = limit_of(self._error)
        trial = self._silent() if name is None else self._lifted(name)
        found = Blame(
            is_instantiation=self._error.call is not None and self._error.call.export is None,
            limit=None,
            given=None,
            tried=None,
            is_at_ceiling=False,
            timeout_ms=None,
            needed=None,
            verdict=self._error.verdict,
            first_host_call=None,
            used_until_then=None,
            fuel_at_trap=self._fuel_at_trap(),
            was_fuel_lost=self._was_fuel_lost,
            slowed_by=self._slowed_by(None if trial is None else trial.done),
            executions=0,
            is_complete=True,
        )
        if trial is not None:
            given = getattr(self._failed.limits, trial.name)
            found = replace(found, limit=trial.name, given=given, is_at_ceiling=trial.is_at_ceiling)
            if trial.done is not None:
                found = self._tried(found, trial, trial.done)
        return replace(found, executions=self._failed.runs, is_complete=self._is_complete)

    def _tried(self, found: Blame, trial: _Trial, done: Rerun) -> Blame:
        """Add what the run with the limit lifted has shown."""
        stopped_by = first_host_call(done)
        return replace(
            found,
            tried=getattr(trial.limits, trial.name),
            timeout_ms=trial.limits.timeout_ms,
            needed=self._needed(trial, done) if done.error is None else None,
            verdict=done.verdict,
            first_host_call=stopped_by,
            used_until_then=None if stopped_by is None else amount_used(done, trial.name),
        )

    def _lifted(self, name: str) -> _Trial:
        wanted = lift(self._failed.limits, name, timeout_ms=self._patience_ms)
        limits = self._ceilings.lower(wanted)
        is_at_ceiling = getattr(limits, name) != getattr(wanted, name)
        if not is_more(limits, self._failed.limits, name):
            return _Trial(name=name, limits=limits, done=None, is_at_ceiling=True)
        limits = self._in_time(limits)
        if not is_more(limits, self._failed.limits, name):  # a timeout, and too little time for a longer one
            self._is_complete = False
            return _Trial(name=name, limits=limits, done=None, is_at_ceiling=False)
        return _Trial(name=name, limits=limits, done=self._run(limits), is_at_ceiling=is_at_ceiling)

    def _silent(self) -> _Trial | None:
        """Return the run that returned without one limit, of a call that failed without naming one."""
        if self._error.verdict not in (Verdict.TRAP, Verdict.EXIT):
            return None
        trials = map(self._lifted, _SILENT)
        return next((trial for trial in trials if trial.done is not None and trial.done.error is None), None)

    def _in_time(self, limits: ResourceLimits) -> ResourceLimits:
        """Return limits whose timeout is not after the end of the search."""
        left_ms = max(0.0, self._deadline.left_ms)
        return limits if left_ms >= (limits.timeout_ms or 0) else replace(limits, timeout_ms=left_ms)

    def _run(self, limits: ResourceLimits) -> Rerun | None:
        """Make the call again; `None` if the time is up."""
        if self._deadline.is_over:
            self._is_complete = False
            return None
        done = self._failed.run(limits)
        self._is_complete = self._is_complete and not self._deadline.is_over
        return done

    def _run_with(self, **changed: Any) -> Rerun | None:
        """Make the call again with some limits changed, in the time that re-runs have.

        The result is `None` if it was not made or did not end in time, so that it tells nothing.
        """
        limits = replace(self._failed.limits, timeout_ms=self._patience_ms, **changed)
        done = self._run(self._in_time(self._ceilings.lower(limits)))
        if done is not None and done.verdict is Verdict.TIMEOUT:
            self._is_complete = False
            return None
        return done

    def _needed(self, trial: _Trial, done: Rerun) -> float | None:
        name = trial.name
        used = amount_used(done, name)
        if name == "timeout_ms":
            return used

        def returns(value: int) -> bool:
            again = self._run_with(**{name: value})
            return again is None or again.error is None  # the first ends the search, whose result is not used

        given, most = getattr(self._failed.limits, name), getattr(trial.limits, name)
        guess = max(int(used), given + 1)
        found = bisect(returns, given, guess, MAX_U64 if most is None else most)
        return found if self._is_complete else used or None

    def _fuel_at_trap(self) -> int | None:
        """Return the fuel that wasmtime counted, or the smallest budget with which the call ends as it did."""
        usage = self._error.usage
        if usage is None or not self._has_trapped:
            return None
        budget = self._failed.limits.fuel
        if not self._was_fuel_lost:
            return usage.fuel.consumed

        def arrives(value: int) -> bool:
            again = self._run_with(fuel=value)
            return again is None or again.verdict is self._error.verdict

        if self._ceilings.lower(self._failed.limits).fuel != budget:
            return None  # less than it may take
        if arrives(0):
            return 0 if self._is_complete else None
        found = bisect(arrives, 0, max(1, usage.fuel.consumed), MAX_U64 if budget is None else budget)
        return found if self._is_complete else None

    def _slowed_by(self, again: Rerun | None) -> Literal["fuel", "host", "machine"] | None:
        """Return what took the time: the guest had the processor, or it waited for the host, or for the machine."""
        usage = self._error.usage
        if usage is None or self._error.verdict is not Verdict.TIMEOUT:
            return None
        if usage.host_ms > usage.wall_ms / 2:
            return "host"
        if usage.cpu_ms is None:
            return None
        alone = None if again is None else again.usage
        limit_ms = self._failed.limits.timeout_ms or 0
        if not _has_waited(usage) or (alone is not None and (alone.cpu_ms or 0) - alone.host_ms > limit_ms):
            return "fuel"  # also if it did not get that far, on a busy machine
        if not any(is_of_wasi(interface) for interface, _ in self._failed.needed_from_host()):
            return "machine"
        if alone is None:
            return None
        return "host" if _has_waited(alone) else "machine"


def _has_waited(usage: Usage) -> bool:
    """Return whether the guest's thread was without the processor for more than half of the time."""
    if usage.cpu_ms is None:
        return False
    return usage.wall_ms - usage.cpu_ms - usage.host_ms > max(usage.wall_ms / 2, _LEAST_WAIT_MS)
