"""The check `fuzz-limits`: the laws of limits hold for every export of a component, under any limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.fuzzing.export_check import cut_off_text, guest_of, table_of, tell_if_cut_off
from pytest_airssys_wasm.fuzzing.law_tests import LawTest, Subject, run
from pytest_airssys_wasm.fuzzing.laws import OF_RUNS
from pytest_airssys_wasm.fuzzing.trials import unrecorded
from pytest_airssys_wasm.fuzzing.wit_values import all_values
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.guest.constants import constants_of
from pytest_airssys_wasm.validation.exports import callable_exports, is_excluded
from pytest_airssys_wasm.validation.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.fuzzing.search import Plan
    from pytest_airssys_wasm.runtime.budget.limits import Ceilings
    from pytest_airssys_wasm.validation.candidate import Candidate

_MOST_SIZE = 16
"""The maximum size of arguments here: the limits are tried, not the inputs."""


def check_limit_laws(candidate: Candidate, plan: Plan, ceilings: Ceilings) -> str:
    """Test each law of limits with calls of the exports, and return a note.

    Raises `Unfit` with the smallest example that violates a law, and `Blocked` if the component cannot be instantiated.
    Guests whose calls differ from run to run are left to the check `fuzz[<export>]`.
    """
    with candidate.instantiated():
        pass  # an earlier check reports the reason
    clock = plan.stopwatch()
    test = LawTest(
        subjects=[*_subjects(candidate)],
        examples=plan.examples or 1,
        seed=plan.seed,
        ceilings=ceilings,
        is_over=lambda: clock.seconds() >= plan.time_s,
    )
    tested = 0
    with unrecorded(candidate.engine):
        for name, law in OF_RUNS.items():
            if test.is_over():
                break
            try:
                law(test)
            except AssertionError as error:
                if _is_deterministic(test):
                    raise _unfit(name, law.__doc__ or name, error) from None
            tested += 1
    is_cut = tested < len(OF_RUNS)
    tell_if_cut_off(candidate, plan, is_cut=is_cut)
    cut = f", {cut_off_text(plan)}" if is_cut else ""
    return f"{counted(tested, 'law')} of limits, {counted(test.examples, 'example')} each, seed {plan.seed}{cut}"


def _subjects(candidate: Candidate) -> Iterator[Subject]:
    guest, table = guest_of(candidate), table_of(candidate)
    constants = constants_of(guest.component)
    for name in callable_exports(guest.component):
        if not is_excluded(name, table.exclude):
            types = guest.component.parameter_types(name)
            arguments = all_values(types, max_size=min(table.max_size, _MOST_SIZE), constants=constants)
            yield Subject(guest=guest, function=name, arguments=arguments)


def _is_deterministic(test: LawTest) -> bool:
    """Return whether the calls of the last example are the same in several runs under the same limits."""
    return all(len({run(call, test.ample()).behaviour_text for _ in range(4)}) == 1 for call in test.tried)


def _unfit(name: str, sentence: str, error: AssertionError) -> Unfit:
    sentence = " ".join(sentence.partition("\n\n")[0].split()).removeprefix("Assert that ")
    lines = [line for note in (str(error), *getattr(error, "__notes__", ())) for line in note.splitlines() if line]
    return Unfit(f"the law {name} does not hold: {sentence}", "report it: a limit of this package does not hold", lines)
