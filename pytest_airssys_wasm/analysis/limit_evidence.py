"""The evidence about limits that tests do not give: laws, worst cases, and the time that executions took."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from pytest_airssys_wasm.analysis.laws.difference import spread
from pytest_airssys_wasm.analysis.snapshots.law_lines import LawLine, law_line, record_law
from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from pytest_airssys_wasm.analysis.laws.law import CostLaw, Law
    from pytest_airssys_wasm.analysis.worst.search import WorstCase
    from pytest_airssys_wasm.runtime.base.usage import Usage

MARGIN = 20
"""The factor between the processor time of the longest execution and the suggested timeout."""
WAITING_MARGIN = 4
"""The factor between the wall-clock time of the longest execution that may wait and the suggested timeout."""
_LEAST_MS = 5
"""The time in milliseconds that executions are assumed to take at least, because shorter times vary too much."""
_STEPS = (1, 2, 5)


class DearestCall(Struct, frozen=True, kw_only=True):
    """The dearest call of an export that the check `worst-case[<export>]` has found."""

    fuel: int
    fuel_call: str
    """The call with this fuel, in WAVE notation."""
    memory_bytes: int
    """The highest peak memory of a call."""
    memory_call: str
    """The call with this peak memory, in WAVE notation."""
    ended_by: str | None
    """The verdict of the limit that ended one of the calls, which then needs more than its figure; `None` if both
    returned.
    """
    growth: str | None
    """How the fuel grows with the size of the arguments: `1`, `n`, `n^2`, `n^3`, or `None` if it is not known."""

    def most(self, name: str) -> int:
        """Return the highest figure for the limit `fuel` or `memory`."""
        return self.fuel if name == "fuel" else self.memory_bytes


class Longest(Struct, frozen=True, kw_only=True):
    """The longest times of the executions of a component."""

    cpu_ms: float = 0.0
    """The longest processor time, in milliseconds."""
    cpu_test: str = ""
    """The test that took it."""
    waiting_ms: float = 0.0
    """The longest wall-clock time, in milliseconds, of a guest that may wait because it has imports."""
    waiting_test: str = ""
    """The test that took it."""


class Evidence(Struct, frozen=True, kw_only=True):
    """The evidence about one component."""

    laws: dict[str, str] = field(default_factory=dict)
    """The law of each export, as the line of a fuel snapshot in JSON."""
    dearest: dict[str, DearestCall] = field(default_factory=dict)
    """The dearest call of each export."""
    longest: Longest = Longest()

    def with_law(self, law: CostLaw) -> Evidence:
        """Return the evidence with one more law."""
        line = msgspec.json.encode(law_line("", law.export, record_law(law))).decode()
        return Evidence(laws={**self.laws, law.export: line}, dearest=self.dearest, longest=self.longest)

    def with_worst_case(self, worst: WorstCase) -> Evidence:
        """Return the evidence with one more worst case: of fuel, or of memory."""
        return self.plus(
            Evidence(
                dearest={
                    worst.export: DearestCall(
                        fuel=worst.fuel,
                        fuel_call=worst.call,
                        memory_bytes=worst.peak_memory_bytes,
                        memory_call=worst.call,
                        ended_by=None if worst.verdict is Verdict.OK else str(worst.verdict),
                        growth=worst.growth,
                    )
                }
            )
        )

    def with_execution(self, usage: Usage, test: str, *, may_wait: bool) -> Evidence:
        """Return the evidence with the times of one more execution."""
        taken_ms = usage.wall_ms if usage.cpu_ms is None else usage.cpu_ms
        longest = Longest(
            cpu_ms=taken_ms,
            cpu_test=test,
            waiting_ms=usage.wall_ms if may_wait else 0.0,
            waiting_test=test if may_wait else "",
        )
        return self.plus(Evidence(longest=longest))

    def plus(self, other: Evidence) -> Evidence:
        """Return the evidence of two processes, or of two searches, together."""
        dearest = {**self.dearest}
        for export, one in other.dearest.items():
            known = dearest.get(export, one)
            by_fuel = max(known, one, key=lambda call: call.fuel)
            by_memory = max(known, one, key=lambda call: call.memory_bytes)
            dearest[export] = DearestCall(
                fuel=by_fuel.fuel,
                fuel_call=by_fuel.fuel_call,
                memory_bytes=by_memory.memory_bytes,
                memory_call=by_memory.memory_call,
                ended_by=by_fuel.ended_by or by_memory.ended_by,
                growth=by_fuel.growth,
            )
        by_cpu = max(self.longest, other.longest, key=lambda one: one.cpu_ms)
        by_wait = max(self.longest, other.longest, key=lambda one: one.waiting_ms)
        longest = Longest(
            cpu_ms=by_cpu.cpu_ms,
            cpu_test=by_cpu.cpu_test,
            waiting_ms=by_wait.waiting_ms,
            waiting_test=by_wait.waiting_test,
        )
        return Evidence(laws={**self.laws, **other.laws}, dearest=dearest, longest=longest)


class SuggestedTimeout(Struct, frozen=True, kw_only=True):
    """A timeout with the figures from which it was computed."""

    timeout_ms: int
    margin: int
    """The factor between the time of the longest execution and the timeout."""
    taken_ms: int
    """The time of the longest execution, rounded up to 5, 10, 20, 50 and so on."""
    test: str
    """The test that took it; empty if it is so short that it could be any of them."""
    is_waiting: bool
    """Whether it is wall-clock time, of a guest that may wait, and not processor time."""


def suggested_timeout(longest: Longest) -> SuggestedTimeout:
    """Return a timeout for executions that take as long as the longest one.

    It is 20 times the processor time, which hardly depends on how busy the machine is. A guest that may wait for the
    host gets four times its wall-clock time, if that is more.
    """
    cpu_ms, waiting_ms = _rounded_up(longest.cpu_ms), _rounded_up(longest.waiting_ms)
    if WAITING_MARGIN * waiting_ms > MARGIN * cpu_ms:
        margin, taken_ms, test, is_waiting = WAITING_MARGIN, waiting_ms, longest.waiting_test, True
    else:
        margin, taken_ms, test, is_waiting = MARGIN, cpu_ms, longest.cpu_test, False
    return SuggestedTimeout(
        timeout_ms=margin * taken_ms,
        margin=margin,
        taken_ms=taken_ms,
        test=test if taken_ms > _LEAST_MS else "",
        is_waiting=is_waiting,
    )


def _rounded_up(time_ms: float) -> int:
    """Round a time up to 5, 10, 20, 50 and so on, so that two runs mostly agree."""
    power = 1
    while True:
        for step in _STEPS:
            if step * power >= max(time_ms, _LEAST_MS):
                return step * power
        power *= 10


def laws_of(evidence: Evidence) -> dict[str, Law]:
    """Return the laws, by export, sorted."""
    return {
        export: msgspec.json.decode(evidence.laws[export], type=LawLine).recorded().law
        for export in sorted(evidence.laws)
    }


def first_size_over(law: Law, name: str, limit: int) -> int | None:
    """Return the smallest size for which a law needs more than a limit, `fuel` or `memory`; `None` if there is none.

    Only laws of one size are looked at. In a range with more than 4,096 sizes, 4,096 of them are tried, and then those
    between the first one that needs more and the one before it, as far as halving needs them.
    """
    if len(law.sizes) != 1:
        return None
    fits = law.pieces[0].low[0] - 1
    for piece in law.pieces:
        formula = piece.fuel if name == "fuel" else piece.memory
        if formula is None:
            return None
        for x in spread(piece.low[0], piece.high[0]):
            if formula.at((x,)) > limit:
                low, over = max(fits, piece.low[0] - 1), x
                while over - low > 1:
                    middle = (low + over) // 2
                    low, over = (low, middle) if formula.at((middle,)) > limit else (middle, over)
                return over
            fits = x
    return None
