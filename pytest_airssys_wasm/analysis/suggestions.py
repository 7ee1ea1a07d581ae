"""The limits that the tests of a component need: the smallest with which all their executions end the same, found by
repeating the executions.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from pytest_airssys_wasm.analysis.tightest import bisect
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.errors import WasmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_airssys_wasm.analysis.histories import History, Step
    from pytest_airssys_wasm.analysis.repeatable import Rerun

NAMES = ("memory", "fuel")
"""The limits that are suggested, in the order of the search: the behaviour of a call may depend on its memory limit."""
_REFUSALS = (WasmError, OSError, LookupError, TypeError, ValueError)
"""The errors with which a history cannot even begin when the test is over: a granted folder is gone, an import is not
served any more, an argument has become another value. Errors of host functions are the ends of their calls.
"""
_MOST_ROUNDS = 4
_LAST = 100
"""The number that is added to the rank of a witness that is to be preferred last."""


class Found(Struct, frozen=True, kw_only=True):
    """A limit with its witness."""

    value: int
    """The smallest limit with which all tests end the same, with the other limit as it was, and with that of this
    suggestion.
    """
    test: str
    """The test that ends otherwise with one unit less."""
    call: str
    """The call of that test that ends otherwise, in WAVE notation."""
    ending: str
    """How that call ends with one unit less."""
    used: int
    """The most that a call of that test used. Fuel is only checked now and then, so a call may use more than it needs.
    """
    given: int | None
    """The limit of the test; `None` if it was unlimited."""
    rank: int
    """The rank of the witness: of several that need the same limit, the one with the lowest rank is preferred."""


class Unrepeated(Struct, frozen=True, kw_only=True):
    """The executions that could not be repeated for one reason."""

    reason: str
    tests: tuple[str, ...]
    """The tests that made the executions, sorted."""
    used: dict[str, int]
    """The most that the executions used of each limit that is to be tightened."""


class Suggestion(Struct, frozen=True, kw_only=True):
    """The limits of one component, for the tests that one process ran, or for those of several processes together."""

    found: dict[str, Found]
    """The limits that were found, by name. A limit is missing if no test used any of it."""
    unrepeated: tuple[Unrepeated, ...] = ()
    tests: int = 0
    """The number of tests whose executions were all repeated."""
    steps: int = 0
    """The number of their executions."""
    obstacle: str | None = None
    """The reason, apart from `unrepeated`, why nothing was found; `None` if the search was completed."""
    is_monotone: bool = True
    """Whether it is known that higher limits change no result, because no growth was refused."""


def suggest(histories: Iterable[History]) -> Suggestion:
    """Return the limits for the histories of the stores of one component.

    Every history is executed again under its own limits, which shows whether it can be repeated at all, and under the
    limits that were found. The witness of each limit is executed with one unit less.
    """
    repeated, unrepeated = [], []
    for history in histories:
        if not history.steps or not history.tightens:
            continue
        reason = history.obstacle
        if reason is None:
            base, reason = _base_of(history)
            if reason is None:
                repeated.append(_Subject(history, base))
                continue
        used = {name: history.most(name) for name in NAMES if name in history.tightens}
        unrepeated.append(Unrepeated(reason=reason, tests=history.tests, used=used))
    return structs.replace(_Search(repeated).suggestion(), unrepeated=_gathered(unrepeated))


def merged(parts: Sequence[Suggestion]) -> Suggestion:
    """Return the limits for the tests of several processes: the highest of each limit with its witness."""
    (first, *others) = parts
    if not others:
        return first
    found: dict[str, Found] = {}
    for part in parts:
        for name, one in part.found.items():
            known = found.get(name)
            if known is None or (-one.value, one.rank, one.test) < (-known.value, known.rank, known.test):
                found[name] = one
    obstacle = next((part.obstacle for part in parts if part.obstacle is not None), None)
    is_monotone = all(part.is_monotone for part in parts)
    if obstacle is None and not is_monotone and sum(bool(part.found) for part in parts) > 1:
        obstacle = "growths of memory were refused in tests of several processes: run them in one, without -n"
    return Suggestion(
        found={} if obstacle else found,
        unrepeated=_gathered(one for part in parts for one in part.unrepeated),
        tests=sum(part.tests for part in parts),
        steps=sum(part.steps for part in parts),
        obstacle=obstacle,
        is_monotone=is_monotone,
    )


def _gathered(every: Iterable[Unrepeated]) -> tuple[Unrepeated, ...]:
    """Return one entry for each reason, sorted."""
    known: dict[str, Unrepeated] = {}
    for one in every:
        before = known.get(one.reason, one)
        used = {name: max(before.used.get(name, 0), one.used.get(name, 0)) for name in {**before.used, **one.used}}
        known[one.reason] = Unrepeated(
            reason=one.reason, tests=tuple(sorted({*before.tests, *one.tests})), used=dict(sorted(used.items()))
        )
    return tuple(known[reason] for reason in sorted(known))


def _base_of(history: History) -> tuple[list[Rerun], str | None]:
    """Execute a history again under its own limits. Return how it ended, and the reason why it cannot be repeated, if
    it does not end as it was recorded.
    """
    base: list[Rerun] = []
    try:
        for step, done in zip(history.steps, history.replay()):
            base.append(done)
            name = printable(step.function or "the instantiation")
            if done.verdict is not step.verdict or (done.fuel, done.peak_memory_bytes) != (
                step.fuel,
                step.peak_memory_bytes,
            ):
                figures = f"{step.fuel:,} fuel and {step.peak_memory_bytes:,} bytes"
                again = f"{done.fuel:,} fuel and {done.peak_memory_bytes:,} bytes"
                ends = f"{step.verdict} with {figures}, and when it was run again {done.verdict} with {again}"
                return base, f"{name} ended {ends}"
    except _REFUSALS as error:
        text = printable(str(error).partition("\n")[0])
        return base, f"it could not be run again: {type(error).__name__}: {text}"
    if len(base) < len(history.steps):
        return base, "it has steps after a failed instantiation"
    return base, None


class _Subject(Struct, frozen=True):
    """A history that can be repeated, with the ends of its steps."""

    history: History
    base: Sequence[Rerun]

    @property
    def rank(self) -> int:
        """The rank among witnesses that need the same limit.

        A test in which a call fails on purpose comes last, because it may accept any failure as the expected one.
        """
        return self.history.rank + _LAST * any(done.error is not None for done in self.base)

    def limits(self, limits: dict[str, int]) -> dict[str, int]:
        """Return those of the given limits that are to be tightened for this history."""
        return {name: value for name, value in limits.items() if name in self.history.tightens}

    def first_change(self, limits: dict[str, int]) -> tuple[Step, Rerun] | None:
        """Return the first step that ends otherwise under these limits, and how; `None` if all end the same."""
        return self.compare(limits)[0]

    def compare(self, limits: dict[str, int]) -> tuple[tuple[Step, Rerun] | None, bool]:
        """Return the first step that ends otherwise under these limits, and whether a growth was refused until then."""
        is_refused = False
        for step, before, now in zip(self.history.steps, self.base, self.history.replay(**self.limits(limits))):
            is_refused |= now.usage is not None and now.usage.denied_growths > 0
            if now.ending != before.ending:
                return (step, now), is_refused
        return None, is_refused

    def used(self, name: str) -> int:
        """Return the most that an execution used that returned."""
        return max((_figure(done, name) for done in self.base if done.error is None), default=0)

    def given(self, name: str) -> int | None:
        """Return the limit under which the history was recorded."""
        value: int | None = getattr(self.history.limits, name)
        return value


class _Search:
    """The search for the limits of some histories that can be repeated."""

    def __init__(self, subjects: Sequence[_Subject]) -> None:
        self._subjects = subjects
        self._values: dict[str, int] = {}
        self._witnesses: dict[str, _Subject] = {}

    def suggestion(self) -> Suggestion:
        """Return the limits, each with its witness, which was run with the limit and with one unit less."""
        tests = {test for subject in self._subjects for test in subject.history.tests}
        counted: dict[str, Any] = {
            "tests": len(tests),
            "steps": sum(len(subject.history.steps) for subject in self._subjects),
        }
        for number in range(_MOST_ROUNDS):
            for name in NAMES:
                # At first only the dearest are run. The others are checked when all are tried.
                self._tighten(name, is_quick=number == 0)
            tried = [subject.compare(self._values) for subject in self._subjects]
            if any(change for change, _ in tried) or not self._suffice_alone():
                continue
            found = {name: self._found(name) for name in self._witnesses}
            if all(found.values()):
                exact = {name: one for name, one in found.items() if one is not None}
                is_refused = any(is_refused for _, is_refused in tried)
                return Suggestion(found=exact, is_monotone=not is_refused and self._are_alone(), **counted)
        reason = "the memory and the fuel that the tests need depend on each other, so the search did not converge"
        return Suggestion(found={}, obstacle=reason, **counted)

    def _tighten(self, name: str, *, is_quick: bool) -> None:
        self._witnesses.pop(name, None)
        self._values.pop(name, None)
        subjects = [subject for subject in self._subjects if name in subject.history.tightens]
        subjects.sort(key=lambda one: (-one.history.most(name), one.rank, one.history.tests))
        least = 0
        for subject in subjects:
            if least and ((is_quick and subject.history.most(name) <= least) or self._holds(subject, name, least)):
                continue
            if not least and self._holds(subject, name, 0):
                continue
            given = subject.given(name)
            most = MAX_U64 if given is None else given
            guess = min(max(subject.history.most(name), least + 1), most)
            least = bisect(partial(self._holds, subject, name), least, guess, most)
            self._witnesses[name] = subject
        if subjects:
            self._values[name] = least

    def _holds(self, subject: _Subject, name: str, value: int) -> bool:
        return self._change(subject, name, value) is None

    def _change(self, subject: _Subject, name: str, value: int) -> tuple[Step, Rerun] | None:
        """Return the first step that ends otherwise with a value of one limit, and how; `None` if all end the same.

        It has to suffice while the other limit is as it was, too: with more memory a call that is to run out of it
        needs more fuel until then.
        """
        changed = subject.first_change({name: value})
        return changed or (
            subject.first_change({**self._values, name: value}) if self._values.keys() - {name} else None
        )

    def _suffice_alone(self) -> bool:
        return all(
            subject.first_change({name: value}) is None
            for subject in self._subjects
            for name, value in self._values.items()
            if len(subject.limits(self._values)) > 1
        )

    def _found(self, name: str) -> Found | None:
        """Return a limit with its witness; `None` if the witness ends the same with one unit less."""
        subject, value = self._witnesses[name], self._values[name]
        changed = self._change(subject, name, value - 1)
        if changed is None:
            return None
        step, now = changed
        return Found(
            value=value,
            test=step.test,
            call=step.text,
            ending=_words(now),
            used=max(subject.used(name), value),
            given=subject.given(name),
            rank=subject.rank,
        )

    def _are_alone(self) -> bool:
        """Return whether each witness ends otherwise even if only its own limit is lowered."""
        return all(
            subject.first_change({name: self._values[name] - 1}) is not None
            for name, subject in self._witnesses.items()
        )


def _figure(done: Rerun, name: str) -> int:
    return done.fuel if name == "fuel" else done.peak_memory_bytes


def _words(now: Rerun) -> str:
    if now.error is None:
        return "returns something else"
    text = str(now.verdict)
    kind = getattr(now.error, "kind", None)
    return f"ends with {text}" + (f" ({kind})" if now.verdict is Verdict.TRAP and kind else "")
