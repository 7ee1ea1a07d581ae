"""One case against one runtime, in bounded time."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from pytest_airssys_wasm.conformance.adapter import AdapterRuntime, Patience
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.conformance.matching import mismatches
from pytest_airssys_wasm.conformance.model import WholeExpect
from pytest_airssys_wasm.conformance.runner import CaseRunner, missing_capabilities
from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_airssys_wasm.conformance.matching import Mismatch
    from pytest_airssys_wasm.conformance.model import Case, CaseLimits
    from pytest_airssys_wasm.conformance.runner import Observation
    from pytest_airssys_wasm.protocol.messages import Runtime

_SLOW = ("cleanup", "hostile")

CASES: dict[str, Case] = {
    f"{chapter.name}/{case.name}": case.load()
    for chapter in sorted(find_chapters(), key=lambda chapter: chapter.name in _SLOW)
    for case in chapter.cases()
}
"""The suite; what takes long comes last."""

_LONG_MS, _HOURS_MS = 5_000, 1_000_000
_HURRIED_MS, _HURRIED_LOOP_MS = 3_000, 500
_LITTLE_FUEL = 100_000
"""A loop spends it in a few milliseconds, whatever on."""
_CASE_S = 30.0


def adapter(name: str) -> AdapterRuntime:
    """Return the runtime that `adapter.py` serves under this name, in a process of its own."""
    command = (sys.executable, str(Path(__file__).with_name("adapter.py")), name)
    return AdapterRuntime(command, patience=Patience(unlimited_s=5.0))


@dataclass(frozen=True, slots=True)
class Trial:
    """Cases that are tried on a runtime."""

    runtime: Runtime
    scratch: Path
    soaks: bool = True
    """Whether a case that looks for what is left behind runs in full length; else it runs once."""
    hurries: bool = True
    """Whether long timeouts are cut."""
    judge: Callable[[Case, Observation], Iterable[Mismatch]] = mismatches
    """What is wrong with the observation of a case."""

    def findings(self, name: str) -> list[str]:
        """What the case of this name finds: nothing, or one sentence a finding."""
        case = hurried(CASES[name]) if self.hurries else CASES[name]
        if missing_capabilities(case, self.runtime):
            return []
        # What the first repetition shows, three hundred show as well; but the fastest of them may be in time.
        if case.repeat > 2 and not any(step.expect.fastest_ms for actor in case.cast() for step in actor.steps):
            once = structs.replace(case, repeat=1, expect=WholeExpect())
            found = self._findings(once, name)
            if found or (case.expect.is_measured and not self.soaks):
                return found
        return self._findings(case, name)

    def _findings(self, case: Case, name: str) -> list[str]:
        runner = CaseRunner(_Bounded(self.runtime), self.scratch)
        try:
            return [finding.sentence for finding in self.judge(case, runner.run(case, name))]
        except _Over as over:
            return [str(over)]


def hurried(case: Case) -> Case:
    """The case with a shorter timeout, where nothing is meant to run into it: what hangs is sat out."""
    ends = [step.expect for actor in case.cast() for step in actor.steps]
    if any(Verdict.TIMEOUT in end.verdicts for end in ends):
        return case
    loops = all(end.verdicts == (Verdict.OUT_OF_FUEL,) for end in ends)
    return structs.replace(
        case,
        limits=_hurried(case.limits, loops=loops),
        actors=[structs.replace(actor, limits=_hurried(actor.limits, loops=loops)) for actor in case.actors],
    )


def _hurried(limits: CaseLimits, *, loops: bool) -> CaseLimits:
    timeout_ms, fuel = limits.timeout_ms, limits.fuel
    if not isinstance(timeout_ms, (int, float)) or not _LONG_MS <= timeout_ms < _HOURS_MS:
        return limits
    is_soon = loops and isinstance(fuel, int) and fuel <= _LITTLE_FUEL
    return structs.replace(limits, timeout_ms=_HURRIED_LOOP_MS if is_soon else _HURRIED_MS)


class _Over(Exception):
    """Nothing more is to be learned from the case."""


class _Bounded:
    """A runtime that is asked nothing more after it died, or when it has had enough time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._until = time.monotonic() + _CASE_S
        self.hello, self.process_ids = runtime.hello, runtime.process_ids
        self.temporary_folder = runtime.temporary_folder

    def run(self, request: Any) -> Any:
        return self._checked(self._runtime.run(request))

    def configure(self, request: Any) -> Any:
        return self._checked(self._runtime.configure(request))

    def _checked(self, answer: Any) -> Any:
        last = answer.steps[-1]
        if last.verdict is Verdict.RUNTIME_DIED:
            raise _Over(f"runtime-died: {last.message}")
        if time.monotonic() > self._until:
            raise _Over(f"not through after {_CASE_S:g} s")
        return answer
