"""The check `worst-case[<export>]`: no arguments within `max_size` reach the fuel or the memory limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pytest_airssys_wasm.analysis import CannotRepeat, worst_case
from pytest_airssys_wasm.fuzzing.export_check import (
    allowance,
    entry_lines,
    guest_of,
    table_of,
    tell_if_cut_off,
    test_lines,
)
from pytest_airssys_wasm.fuzzing.minimising import minimise
from pytest_airssys_wasm.fuzzing.trials import call_text, try_call, unrecorded
from pytest_airssys_wasm.runtime.base.figures import percent, size
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.validation.unfit import NotChecked, Unfit, remedy

if TYPE_CHECKING:
    from pytest_airssys_wasm.analysis import WorstCase
    from pytest_airssys_wasm.fuzzing.search import Plan
    from pytest_airssys_wasm.fuzzing.trials import Guest
    from pytest_airssys_wasm.validation.candidate import Candidate

_LIMITS = (Verdict.OUT_OF_FUEL, Verdict.OUT_OF_MEMORY)


def check_worst_case(candidate: Candidate, export: str, plan: Plan) -> str:
    """Search for the arguments of an export that cost the most, and return a note about them.

    Raises `Unfit` with arguments that reach a limit, `Blocked` if the component cannot be instantiated, and
    `NotChecked` for a guest that could affect the host.
    """
    with candidate.instantiated():
        pass  # an earlier check reports the reason
    guest = guest_of(candidate)
    notes, is_cut = [], False
    for measure in ("fuel", "memory"):
        try:
            with unrecorded(guest.engine):
                worst = _search(guest, export, table_of(candidate).max_size, plan, measure)
        except CannotRepeat as error:
            raise NotChecked(f"not searched: {error}") from error
        candidate.tell(worst)
        if worst.verdict in _LIMITS:
            _raise_if_reached(candidate, guest, export, worst, plan)
        notes.append(_note(guest, worst, measure))
        is_cut |= not worst.is_complete
    tell_if_cut_off(candidate, plan, is_cut=is_cut)
    return f"{'; '.join(notes)}; seed {plan.seed}"


def _search(guest: Guest, export: str, max_size: int, plan: Plan, measure: Literal["fuel", "memory"]) -> WorstCase:
    return worst_case(
        guest.component,
        export,
        limits=guest.limits,
        max_size=max_size,
        executions=max(1, (plan.examples or 1) // 2),
        seed=plan.seed,
        measure=measure,
        time_s=plan.time_s / 2,
        host=guest.host,
        wasi=guest.wasi,
    )


def _note(guest: Guest, worst: WorstCase, measure: str) -> str:
    """Return the dearest call, with its share of the limit and the growth of the cost."""
    if measure == "memory":
        share = percent(100 * worst.peak_memory_bytes / guest.limits.memory) if guest.limits.memory else "all"
        return f"{size(worst.peak_memory_bytes)} of memory at most, {share} of the limit"
    limit = guest.limits.fuel
    share = "" if not limit else f", {percent(100 * worst.fuel / limit)} of the limit"
    growth = "" if worst.growth is None else f", growing like {worst.growth}"
    cut = "" if worst.is_complete else ", cut off"
    return f"{worst.call}: {worst.fuel:,} fuel{share}{growth} ({worst.executions:,} runs{cut})"


def _raise_if_reached(candidate: Candidate, guest: Guest, export: str, worst: WorstCase, plan: Plan) -> None:
    """Make the call again with a budget of its own, and raise `Unfit` with the smallest arguments that reach the same
    limit, unless that is allowed.
    """
    trial = try_call(guest, export, worst.arguments)
    allowed = table_of(candidate).allow.get(export, ())
    if trial.error is None or trial.verdict not in _LIMITS or not set(allowed).isdisjoint(trial.kinds):
        return
    with unrecorded(guest.engine):
        arguments = _smallest(guest, export, worst.arguments, trial.verdict, plan.shrink_s)
    trial = try_call(guest, export, arguments)
    assert trial.error is not None
    growth = "" if worst.growth is None else f"; the cost grows like {worst.growth}"
    reason = f"{call_text(guest.component, export, arguments)} ended with {trial.words}{growth}"
    details = [
        f"found in {worst.executions:,} runs (profile {plan.profile}, seed {plan.seed})",
        *entry_lines(export, arguments),
        *test_lines(candidate, guest.component, export, arguments),
    ]
    advice = f"{remedy(trial.error, candidate.origins)}; or lower max_size of [fuzz] to the sizes that are possible"
    unfit = Unfit(reason, f"{advice}; if it is right, allow it: {allowance(export, trial.kinds[0])}", details)
    raise unfit from trial.error


def _smallest(
    guest: Guest, export: str, arguments: tuple[Any, ...], verdict: Verdict, shrink_s: float
) -> tuple[Any, ...]:
    """Return arguments that reach the limit although no simpler neighbour does, or the simplest ones found in time."""
    ends_at = monotonic() + shrink_s

    def fails(args: tuple[Any, ...]) -> bool:
        return try_call(guest, export, args).verdict is verdict

    return minimise(arguments, guest.component.parameter_types(export), fails, lambda: monotonic() >= ends_at)
