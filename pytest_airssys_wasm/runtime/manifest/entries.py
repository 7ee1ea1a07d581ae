"""The checks of the entries `[[tests]]` and `[[imports]]` of a manifest."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import is_printable
from pytest_airssys_wasm.runtime.budget.units import parse_count, parse_size
from pytest_airssys_wasm.runtime.errors import NOTHING, Described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.manifest.messages import Problems
    from pytest_airssys_wasm.runtime.manifest.model import ImportStub, ManifestStep, ManifestTest, StubAnswer
    from pytest_airssys_wasm.runtime.manifest.positions import Keys

MOST_CALLS = 50_000
"""The most calls of an entry: its steps times its repetitions."""
_OF_STEPS = ("returns", "verdict", "trap", "max_fuel")


def checked_tests(tests: Sequence[ManifestTest | None], problems: Problems) -> tuple[ManifestTest, ...]:
    """Check the entries `[[tests]]`, and return them with sizes in bytes.

    `None` stands for an entry that is wrong already.
    """
    seen: set[str] = set()
    checked = []
    for number, test in enumerate(tests):
        if test is None or problems.are_enough:
            continue
        keys: Keys = ("tests", number)
        _check_name(test.name, seen, keys, problems, "test")
        _check_calls(test, keys, problems)
        check_stubs(test.imports, (*keys, "imports"), problems)
        checked.append(_check_bounds(test, keys, problems))
    return tuple(checked)


def check_stubs(stubs: Sequence[ImportStub | None], keys: Keys, problems: Problems) -> tuple[ImportStub, ...]:
    """Check the stubs of an array `imports`, and return them."""
    seen: set[str] = set()
    known = [(number, stub) for number, stub in enumerate(stubs) if stub is not None]
    for number, stub in known:
        if problems.are_enough:
            break
        at = (*keys, number)
        _check_name(stub.name, seen, at, problems, "stub")
        answers: list[tuple[Keys, ImportStub | StubAnswer]] = [(at, stub)]
        answers += [((*at, "when", n), one) for n, one in enumerate(stub.when)]
        for place, answer in answers:
            if answer.returns is not UNSET and answer.fails is not UNSET:
                problems.add(place, Described("both"), "either returns or fails")
        if stub.calls is not UNSET:
            with problems.collected(*at, "calls"):
                parse_count(stub.calls, problems.place.name(*at, "calls"))
    return tuple(stub for _, stub in known)


def _check_name(name: str, seen: set[str], keys: Keys, problems: Problems, what: str) -> None:
    if not name.strip() or not is_printable(name):
        problems.add((*keys, "name"), name, "a printable name on one line")
    elif name in seen:
        problems.add((*keys, "name"), name, f"a name that no other {what} has")
    seen.add(name)


def _check_calls(test: ManifestTest, keys: Keys, problems: Problems) -> None:
    """Check that an entry has either a call or steps, and what each is expected to do."""
    if test.call is UNSET and not test.steps:
        problems.add((*keys, "call"), NOTHING, "call, or steps with several calls")
    elif test.call is not UNSET and test.steps:
        problems.add((*keys, "steps"), Described("both"), "either call or steps")
    elif not test.steps:
        if all(getattr(test, key) is UNSET for key in ("returns", "verdict", "trap")):
            wanted = "returns, verdict or trap: one of them says how the call must end"
            problems.add(keys, NOTHING, wanted)
        _check_end(test, keys, problems, is_last=test.repeat <= 1)
    else:
        for key in ("args", *_OF_STEPS):
            if getattr(test, key) not in (UNSET, []):
                problems.add((*keys, key), getattr(test, key), f"{key} in each of the steps")
        _check_steps(test, keys, problems)


def _check_steps(test: ManifestTest, keys: Keys, problems: Problems) -> None:
    saved: set[str] = set()
    for number, step in enumerate(test.steps):
        if problems.are_enough:
            return
        at = (*keys, "steps", number)
        is_last = number == len(test.steps) - 1 and test.repeat <= 1
        _check_end(step, at, problems, is_last=is_last)
        for position, value in enumerate(step.args):
            name = saved_name(value)
            if name is not None and name not in saved:
                wanted = f"one of {', '.join(sorted(saved))}" if saved else "a step before it with save"
                wanted = f"the name of a value that an earlier step saves: {wanted}"
                problems.add((*at, "args", position), value, wanted)
        if step.save is not UNSET:
            if not step.save.strip() or not is_printable(step.save):
                problems.add((*at, "save"), step.save, "a printable name on one line")
            elif not _must_return(step):
                problems.add((*at, "save"), step.save, "no save beside an end other than `ok`, which has no value")
            saved.add(step.save)


def saved_name(value: Any) -> str | None:
    """Return the name in an argument `{ saved = "name" }` of a step; `None` for any other argument."""
    match value:
        case {"saved": str(name)} if len(value) == 1:
            return name
    return None


def _must_return(step: ManifestStep | ManifestTest) -> bool:
    return step.trap is UNSET and step.verdict in (UNSET, Verdict.OK)


def _check_end(step: ManifestStep | ManifestTest, keys: Keys, problems: Problems, *, is_last: bool) -> None:
    """Check that what a call is expected to do does not contradict itself."""
    returns, verdict, trap = (given is not UNSET for given in (step.returns, step.verdict, step.trap))
    if returns and (verdict or trap):
        problems.add(keys, Described("both"), "either returns, or verdict and trap")
    known = [str(one) for one in Verdict]
    if verdict and step.verdict not in known:
        near = difflib.get_close_matches(str(step.verdict), known, n=1)
        wanted = f"one of {', '.join(known)}" + (f"; did you mean {near[0]}?" if near else "")
        problems.add((*keys, "verdict"), step.verdict, wanted)
    elif trap and verdict and step.verdict != Verdict.TRAP:
        problems.add((*keys, "trap"), step.trap, f"no trap beside the verdict {step.verdict}")
    elif not _must_return(step) and not is_last:
        key = "trap" if trap else "verdict"
        wanted = "an end other than `ok` only in the last step, without repeat: after it the instance cannot be called"
        problems.add((*keys, key), getattr(step, key), wanted)
    if step.max_fuel is not UNSET:
        with problems.collected(*keys, "max_fuel"):
            parse_count(step.max_fuel, problems.place.name(*keys, "max_fuel"))
        if step.verdict == Verdict.OUT_OF_FUEL:
            wanted = "no max_fuel beside the verdict out-of-fuel; the budget is max_fuel in [resources.cpu]"
            problems.add((*keys, "max_fuel"), step.max_fuel, wanted)


def _check_bounds(test: ManifestTest, keys: Keys, problems: Problems) -> ManifestTest:
    """Check the number of repetitions and the bounds on memory, and return the entry with its sizes in bytes."""
    most = MOST_CALLS // max(1, len(test.steps))
    if not 1 <= test.repeat <= most:
        problems.add((*keys, "repeat"), test.repeat, f"a whole number from 1 to {most:,}")
    if test.max_denied_growths is not UNSET:
        with problems.collected(*keys, "max_denied_growths"):
            parse_count(test.max_denied_growths, problems.place.name(*keys, "max_denied_growths"))
    if test.max_growth is UNSET:
        return test
    if test.repeat < 2:
        wanted = "repeat of at least 2 beside it: growth is counted from the end of the first repetition"
        problems.add((*keys, "max_growth"), test.max_growth, wanted)
    with problems.collected(*keys, "max_growth"):
        growth = parse_size(test.max_growth, problems.place.name(*keys, "max_growth"))
        return msgspec.structs.replace(test, max_growth=growth)
    return test
