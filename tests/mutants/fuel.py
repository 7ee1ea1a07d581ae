"""Fuel that is not limited, not counted, or counted wrongly."""

from __future__ import annotations

import re
from _thread import get_ident
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from msgspec import structs

from mutants.mutant import Family, answering, around, ending, is_component, reading
from mutants.python_memories import set_fuel
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.execution import run as run_module
from pytest_airssys_wasm.runtime.guest import linking
from pytest_airssys_wasm.runtime.store.store import LimitedStore

FAMILY = Family("fuel")


@FAMILY.mutant
def no_fuel_limit(patch):
    """The budget is never set."""
    patch.setattr(LimitedStore, "_budget", lambda self: None)


@FAMILY.mutant
def no_fuel_limit_in_start_functions(patch):
    """The budget is set before the first call, after the instantiation."""
    around(patch, LimitedStore, "_budget", lambda budget, self: budget(self) if self._ledger.executions else None)


@FAMILY.mutant
def no_fuel_limit_in_components(patch):
    """Only core modules are metered."""

    def run(original, self, operation):
        if operation.component.kind == "component":
            self._fuel_left, self.fuel_per = None, "store"
        return original(self, operation)

    around(patch, LimitedStore, "run", run)


@FAMILY.mutant
def one_unit_too_much(patch):
    """The counter starts one above the budget, and the account does not show it."""
    around(
        patch,
        run_module,
        "begin_run",
        lambda begin, run, fuel, timeout_ms: begin(run, min(fuel + 1, MAX_U64), timeout_ms),
    )


@FAMILY.mutant
def one_unit_too_little(patch):
    """The last unit of the budget cannot be used."""
    around(
        patch, run_module, "begin_run", lambda begin, run, fuel, timeout_ms: begin(run, max(fuel - 1, 0), timeout_ms)
    )


@FAMILY.mutant
def a_shared_budget_is_given_anew(patch):
    """Each call has the whole budget where all calls should share it."""
    around(patch, InProcessRuntime, "_store", lambda store, self, ask, limits: store(self, _per(ask, "step"), limits))


@FAMILY.mutant
def every_budget_is_shared(patch):
    """What one call consumed is missing in the next."""
    around(patch, InProcessRuntime, "_store", lambda store, self, ask, limits: store(self, _per(ask, "run"), limits))


def _per(request: Any, per: str) -> Any:
    return structs.replace(request, fuel_per=per)


@FAMILY.mutant
def instantiation_eats_the_first_calls_budget(patch):
    """The first call has what the start function left over."""

    def budget(original, self):
        whole = original(self)
        return whole - self.usage.fuel.consumed if self._ledger.executions == 1 and whole is not None else whole

    around(patch, LimitedStore, "_budget", budget)


@FAMILY.lasting_mutant
def an_exhausted_budget_stays_exhausted(patch):
    """The store after one that ran out of fuel begins with none."""
    exhausted: set[int] = set()

    def budget(original, self):
        if id(self.engine) in exhausted:
            exhausted.discard(id(self.engine))
            return 0
        return original(self)

    def note(store, error):
        if getattr(error, "verdict", None) is Verdict.OUT_OF_FUEL:
            exhausted.add(id(store.engine))

    around(patch, LimitedStore, "_budget", budget)
    ending(patch, note)


@FAMILY.mutant
def a_host_call_refills_the_budget(patch):
    """Coming back from the host, the guest has all its fuel again."""

    def serve_import(original, name, function, lift, lower, runs):
        serve = original(name, function, lift, lower, runs)

        def serve_and_refill(*args):
            serve(*args)
            run = runs[get_ident()]
            set_fuel(run.account.context, run.fuel_at_start)

        return serve_and_refill

    around(patch, linking, "serve_import", serve_import)


@FAMILY.mutant
def no_fuel_means_unlimited(patch):
    """A budget of zero is taken for the lack of one."""
    reading(patch, lambda limits: {"fuel": "unlimited"} if limits.get("fuel") == 0 else {})


@FAMILY.mutant
def unlimited_means_the_default(patch):
    """A run without a fuel limit is stopped at a million units."""
    reading(patch, lambda limits: {"fuel": 1_000_000} if limits.get("fuel") == "unlimited" else {})


@FAMILY.mutant
def unlimited_fuel_is_not_counted(patch):
    """Without a limit nothing is counted, and zero is told."""
    answering(patch, lambda _, request: {"fuel_consumed": 0} if request.limits.get("fuel") == "unlimited" else {})


@FAMILY.mutant
def consumed_fuel_is_negative(patch):
    """What is told is what is left less what there was."""
    answering(patch, lambda answer, _: {"fuel_consumed": -(answer.fuel_consumed or 0)})


@FAMILY.mutant
def the_budget_is_told_as_consumed(patch):
    """Every execution is said to have consumed its whole budget."""
    answering(patch, lambda _, request: {"fuel_consumed": _number(request.limits.get("fuel", 1_000_000))})


def _number(fuel: Any) -> int:
    return fuel if isinstance(fuel, int) else 0


@FAMILY.mutant
def what_is_left_is_told_as_consumed(patch):
    """The counter is told as it stands, though it counts down."""
    answering(
        patch,
        lambda answer, request: {
            "fuel_consumed": _number(request.limits.get("fuel", 1_000_000)) - (answer.fuel_consumed or 0)
        },
    )


@FAMILY.mutant
def fuel_is_not_counted_after_a_failure(patch):
    """An execution that fails is said to have consumed nothing."""
    answering(patch, lambda answer, _: {} if answer.verdict is Verdict.OK else {"fuel_consumed": 0})


@FAMILY.lasting_mutant
def equal_runs_count_differently(patch):
    """Every second execution is charged one unit more."""
    odd = count()
    answering(patch, lambda answer, _: _more(answer, next(odd) % 2))


@FAMILY.mutant
def what_runs_beside_is_counted_too(patch):
    """An execution is charged for the others that run at the same time."""
    running, lock = [0], Lock()

    def run(original, self, request):
        with lock:
            running[0] += 1
            beside = running[0]
        answer = original(self, request)
        with lock:
            running[0] -= 1
        return structs.replace(answer, steps=[structs.replace(one, **_more(one, beside - 1)) for one in answer.steps])

    around(patch, InProcessRuntime, "run", run)


@FAMILY.mutant
def what_ran_before_is_counted_too(patch):
    """The count of a call goes on from that of the call before."""

    def add(store, error):
        consumed = store.total.fuel.consumed
        store._ledger._last = replace(store.usage, fuel=replace(store.usage.fuel, consumed=consumed))

    ending(patch, add)


def _more(answer: Any, units: int) -> dict[str, Any]:
    return {} if answer.fuel_consumed is None else {"fuel_consumed": answer.fuel_consumed + units}


@FAMILY.mutant
def fuel_is_counted_in_thousands(patch):
    """The counter is looked at every thousand units only, and rounded up."""
    answering(
        patch,
        lambda answer, _: (
            {} if answer.fuel_consumed is None else {"fuel_consumed": -(-answer.fuel_consumed // 1_000) * 1_000}
        ),
    )


@FAMILY.mutant
def fuel_is_a_floating_point_number(patch):
    """Budget and rest are subtracted as doubles, which are exact up to 2^53."""

    def consumed(answer, request):
        budget = request.limits.get("fuel")
        if not isinstance(budget, int) or answer.fuel_consumed is None:
            return {}
        return {"fuel_consumed": int(float(budget) - float(budget - answer.fuel_consumed))}

    answering(patch, consumed)


@FAMILY.mutant
def fuel_counts_calls_and_not_work(patch):
    """A call costs one unit, whatever it does."""
    answering(patch, lambda answer, _: {"fuel_consumed": 1} if answer.verdict is Verdict.OK else {})


@FAMILY.mutant
def components_cost_extra(patch):
    """Entering a component is charged to it, a little more each time."""
    extra = count(0, 1_000)
    answering(patch, lambda answer, request: _more(answer, next(extra)) if is_component(request) else {})


@FAMILY.mutant
def bulk_operations_cost_nothing(patch):
    """Filling and copying are single instructions, so a guest that fills and copies is not stopped."""

    def run(original, self, request):
        text = Path(request.component).read_text("utf-8")
        if not re.search(r"(memory|table)\.(fill|copy|init)", text) or request.limits.get("fuel") == "unlimited":
            return original(self, request)
        answer = original(self, structs.replace(request, limits={**request.limits, "fuel": "unlimited"}))
        return structs.replace(answer, steps=[structs.replace(one, fuel_consumed=10) for one in answer.steps])

    around(patch, InProcessRuntime, "run", run)


@FAMILY.lasting_mutant
def the_call_after_an_exhausted_one_has_no_budget(patch):
    """What ran out of fuel leaves the counter at zero for the next call, in whatever store."""
    exhausted: list[bool] = []

    def budget(original, self):
        if exhausted and self._ledger.executions:
            exhausted.clear()
            return 0
        return original(self)

    def note(store, error):
        if getattr(error, "verdict", None) is Verdict.OUT_OF_FUEL:
            exhausted.append(True)

    around(patch, LimitedStore, "_budget", budget)
    ending(patch, note)
