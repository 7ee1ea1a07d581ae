"""The search for the limit that is to blame for the end of a call, and for what the call needs instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_airssys_wasm.analysis.enough import NO_CEILINGS, amount_used, lift, limit_of
from pytest_airssys_wasm.analysis.failed_call import FailedCall, first_host_call
from pytest_airssys_wasm.analysis.repeatable import Deadline
from pytest_airssys_wasm.analysis.tightest import bisect
from pytest_airssys_wasm.runtime.base.figures import measured_ms
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.budget.limit_text import WORDS, limit_text
from pytest_airssys_wasm.runtime.budget.limits import MAX_U64

if TYPE_CHECKING:
    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import Ceilings
    from pytest_airssys_wasm.runtime.errors import WasmError
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

_RESOURCES = {
    "tables": "tables",
    "table-elements": "table_elements",
    "instances": "instances",
    "memories": "memories",
}
"""The limits by the names of the resources in `ResourceLimitExceeded`, beside those that `limit_of` knows."""
_SILENT = ("memory", "table_elements", "transfer", "output", "tables", "instances", "memories")
"""The limits that may make a guest fail in a way of its own, because it is refused something, likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """The limit that is to blame for the end of a call. Its `str()` says what the call needs, in a sentence."""

    limit: str | None
    """The name of the limit, as in `ResourceLimits`, that ended the call, or that alone keeps it from returning;
    `None` if no limit does.
    """
    given: float | None
    """The limit under which the call failed, in its unit; `None` without a limit."""
    needed: float | None
    """The smallest value of this limit with which the call returns while all others stay, except that it may take a
    second; in units of fuel, bytes or numbers. For `timeout_ms` it is what one run took. `None` if the call does not
    return, or if `is_complete` is `False`.
    """
    verdict: Verdict
    """The verdict of the call with this limit lifted; without a limit the verdict of the error."""
    first_host_call: str | None
    """The name of a host function that is not repeatable, before whose first call the re-run was ended; `None` if that
    is not the case.
    """
    used_until_then: float | None
    """The amount that the re-run had used until its first host call, of which the call needs at least as much; `None`
    for other ends.
    """
    fuel_at_trap: int | None
    """The smallest amount of fuel with which the call gets as far as its trap; `None` if it did not trap."""
    slowed_by: Literal["fuel", "host", "machine"] | None
    """The cause of a timeout: the guest itself, host functions and WASI, or the machine, which gave the guest little
    processor time. `None` for other ends, and if it is not known.
    """
    executions: int
    """The number of runs that were made."""
    is_complete: bool
    """Whether the search came to its end; if not, `time_s` was too short."""

    def __str__(self) -> str:
        sentences = [self._of_the_limit()] if self.limit is not None else []
        if self.fuel_at_trap is not None:
            sentences.append(f"the trap is reached with {self.fuel_at_trap:,} fuel")
        if self.slowed_by is not None:
            sentences.append(_SLOW[self.slowed_by])
        return "; ".join(sentences) or f"no limit is to blame: the call ends with {self.verdict} whatever it is given"

    def _of_the_limit(self) -> str:
        assert self.limit is not None
        word = WORDS.get(self.limit, self.limit.replace("_", " "))
        given = limit_text(self.limit, self.given)
        if self.first_host_call is not None and self.used_until_then is not None:
            used = limit_text(self.limit, self.used_until_then)
            host = printable(self.first_host_call)
            return f"{word}: the call uses {used} before it calls {host}, and is not repeated from there on"
        if self.verdict is not Verdict.OK:
            return f"{word}: with more than {given} the call ends with {self.verdict}"
        if self.needed is None:
            return f"{word}: with more than {given} the call returns"
        if self.limit == "timeout_ms":
            return f"{word}: the call returns after about {measured_ms(self.needed)} ms, the limit was {given}"
        return f"{word}: the call needs {limit_text(self.limit, self.needed)}{self._exactly()}, the limit was {given}"

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
    timeout it says what took the time. `ceilings` bound the limits of the runs. `host` and `wasi` replace those of the
    call, such as a host function by one that is repeatable.

    A guest that had not called the host yet is run up to its first call of a host function that is not repeatable.

    Raises `CannotRepeat` if the error is a copy, if the guest could affect the host, or if the call was not the first
    one in its store.
    """
    deadline = Deadline(time_s)
    failed = FailedCall(error, host=host, wasi=wasi, until_host=True)
    return _Search(error, failed, ceilings, deadline).blame()


class _Search:
    """The search for the limit that is to blame for one error."""

    def __init__(self, error: WasmError, failed: FailedCall, ceilings: Ceilings, deadline: Deadline) -> None:
        self._error = error
        self._failed = failed
        self._ceilings = ceilings
        self._deadline = deadline

    def blame(self) -> Blame:
        """Return the limit, and what the call needs."""
        known = limit_of(self._error) or _RESOURCES.get(getattr(self._error, "resource", ""))
        name, lifted = known, None if known is None else self._lifted(known)
        if known is None:
            name, lifted = self._silent()
        needed = None if name is None or lifted is None or lifted.error is not None else self._needed(name, lifted)
        stopped_by = None if lifted is None else first_host_call(lifted)
        return Blame(
            limit=name,
            given=None if name is None else getattr(self._failed.limits, name),
            needed=needed,
            verdict=self._error.verdict if lifted is None else lifted.verdict,
            first_host_call=stopped_by,
            used_until_then=None if stopped_by is None or lifted is None else amount_used(lifted, name or ""),
            fuel_at_trap=self._fuel_at_trap() if self._has_trapped else None,
            slowed_by=self._slowed_by(lifted) if self._error.verdict is Verdict.TIMEOUT else None,
            executions=self._failed.runs,
            is_complete=not self._deadline.is_over,
        )

    @property
    def _has_trapped(self) -> bool:
        # A memory that is too large to begin with ends a guest before it runs.
        is_refused = self._error.verdict is Verdict.OUT_OF_MEMORY and len(self._error.frames) > 0
        return self._error.verdict is Verdict.TRAP or is_refused

    def _lifted(self, name: str) -> Rerun:
        return self._failed.run(self._ceilings.lower(lift(self._failed.limits, name)))

    def _silent(self) -> tuple[str | None, Rerun | None]:
        """Return the limit without which a call returns that failed without naming one."""
        if self._error.verdict not in (Verdict.TRAP, Verdict.EXIT):
            return None, None
        for name in _SILENT:
            if self._deadline.is_over:
                break
            lifted = self._lifted(name)
            if lifted.error is None:
                return name, lifted
        return None, None

    def _needed(self, name: str, lifted: Rerun) -> float | None:
        if name == "timeout_ms":
            return amount_used(lifted, name)
        given = getattr(self._failed.limits, name)
        raised = self._ceilings.lower(lift(self._failed.limits, name))
        most = getattr(raised, name)

        def returns(value: int) -> bool:
            if self._deadline.is_over:
                return True  # ends the search, whose result is not used
            return self._failed.run_with(**{name: value, "timeout_ms": raised.timeout_ms}).error is None

        guess = int(amount_used(lifted, name)) or given + 1
        found = bisect(returns, given, max(guess, given + 1), MAX_U64 if most is None else most)
        return None if self._deadline.is_over else found

    def _fuel_at_trap(self) -> int | None:
        """Return the smallest budget with which the call ends as it did, and not for want of fuel."""
        usage = self._error.usage
        if usage is None:
            return None
        budget = self._failed.limits.fuel

        def arrives(value: int) -> bool:
            if self._deadline.is_over:
                return True
            return self._failed.run_with(fuel=value).verdict is self._error.verdict

        if arrives(0):
            return None if self._deadline.is_over else 0
        found = bisect(arrives, 0, max(1, usage.fuel.consumed), MAX_U64 if budget is None else budget)
        return None if self._deadline.is_over else found

    def _slowed_by(self, lifted: Rerun | None) -> Literal["fuel", "host", "machine"] | None:
        """Return what took the time: the guest had the processor, or it waited for the host, or for the machine."""
        usage = self._error.usage
        if usage is None or usage.cpu_ms is None:
            return None
        if not _has_waited(usage):
            return "fuel"
        again = None if lifted is None else lifted.usage
        waits_again = again is not None and _has_waited(again)
        return "host" if waits_again else "machine"


def _has_waited(usage: Usage) -> bool:
    """Return whether the guest's thread was without the processor for more than half of the time."""
    return usage.cpu_ms is not None and usage.cpu_ms < usage.wall_ms / 2
