"""The check `fuzz-sequence`: a state machine of Hypothesis, whose rules are the exports of a component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from msgspec import Struct

from pytest_airssys_wasm.fuzzing.export_check import (
    found_line,
    guest_of,
    note_of,
    table_of,
    tell_if_cut_off,
    unneeded,
)
from pytest_airssys_wasm.fuzzing.growth import find_growth
from pytest_airssys_wasm.fuzzing.minimising import neighbours
from pytest_airssys_wasm.fuzzing.search import Found, Search, known_examples
from pytest_airssys_wasm.fuzzing.step_texts import encoded_steps, read_steps, sequence_lines, sequence_text
from pytest_airssys_wasm.fuzzing.steps import CallSequence, Player, Step, fault_of, play, without
from pytest_airssys_wasm.fuzzing.trials import try_call, unrecorded
from pytest_airssys_wasm.fuzzing.wit_values import all_values, size_of
from pytest_airssys_wasm.runtime.guest.constants import constants_of
from pytest_airssys_wasm.runtime.manifest.fuzz import GROWTH
from pytest_airssys_wasm.runtime.wit.handles import handles_in
from pytest_airssys_wasm.runtime.wit.types import Primitive, TupleType
from pytest_airssys_wasm.validation.exports import is_excluded, reachable_exports
from pytest_airssys_wasm.validation.unfit import Unfit, remedy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hypothesis.strategies import SearchStrategy

    from pytest_airssys_wasm.fuzzing.search import Plan
    from pytest_airssys_wasm.fuzzing.trials import Finding, Guest
    from pytest_airssys_wasm.runtime.binary.constants import Constants
    from pytest_airssys_wasm.runtime.manifest.model import FuzzTable
    from pytest_airssys_wasm.runtime.wit.types import ResourceType
    from pytest_airssys_wasm.validation.candidate import Candidate


Steps = tuple[Step, ...]

_ROUND = 50
"""The number of sequences after which Hypothesis begins anew, with other random numbers."""
_STEPS = 20
"""The maximum number of steps of a sequence."""
_GROWTH_SHARE = 0.4
"""The share of the time of the check that goes into repetitions."""
_MOST_REPEATED = 32
"""The maximum number of sequences that are repeated to see leaks."""


def check_sequences(candidate: Candidate, plan: Plan) -> str:
    """Make generated sequences of calls, each in one instance, and return a note.

    Raises `Unfit` with the shortest sequence that shows a fault, and `Blocked` if the component cannot be instantiated.
    """
    with candidate.instantiated():
        pass  # an earlier check reports the reason
    guest, table = guest_of(candidate), table_of(candidate)
    names = [one for one in reachable_exports(guest.component) if not is_excluded(one, table.exclude)]
    sequences = _Sequences(guest=guest, table=table, needed=set(), names=names)
    search = Search[CallSequence](plan=plan, judge=sequences.judge)
    with unrecorded(guest.engine):
        found = search.replay(known_examples(plan), lambda entry: read_steps(entry, guest.component))
        if found is None:
            found = _explore(sequences, search)
        if found is None:
            found = _repeat(sequences, search)
        if found is not None:
            _minimise(found, guest, search)
            search.is_cut = search.is_over()
            found = search.found
    if found is not None:
        search.keep(encoded_steps(found.example))
        raise _unfit(candidate, found, search)
    tell_if_cut_off(candidate, plan, is_cut=search.is_cut)
    others = [name for name in names if resources_of(guest, name)]  # those without handles have checks of their own
    return note_of(search, sequences.needed, unneeded(table, others, sequences.needed))


class _Sequences(Struct, frozen=True, kw_only=True):
    """The rules by which sequences of calls of a guest are judged."""

    guest: Guest
    table: FuzzTable
    needed: set[str]
    names: Sequence[str]

    def allowed(self, export: str) -> frozenset[str]:
        return frozenset(self.table.allow.get(export, ()))

    def judge(self, sequence: CallSequence, time_s: float = 1.0) -> Finding | None:
        """Return the fault that a sequence shows when it is made once, or when it is repeated for a time."""
        steps = sequence.steps
        if not sequence.is_repeated:
            found = play(self.guest, steps, self.allowed)
        elif any(GROWTH in self.allowed(step.export) for step in steps):
            return None
        else:
            found = find_growth(self.guest, steps, self.allowed, time_s=time_s)
        return None if found is not None and self.fails_alone(steps[-1], found) else found

    def fails_alone(self, step: Step, found: Finding) -> bool:
        """Return whether a call shows the same fault in a fresh instance, so that its own check reports it."""
        if step.sources():
            return False
        return found.kind in try_call(self.guest, step.export, step.args).kinds


def _explore(sequences: _Sequences, search: Search[CallSequence]) -> Found[CallSequence] | None:
    """Make new sequences, until one shows a fault."""
    plan, passed = search.plan, _Passed()
    ends_at = search.ends_at
    search.ends_at = plan.time_s * (1 - _GROWTH_SHARE)
    machine = _machine(sequences, search, passed)
    most, round_ = plan.examples, 0
    while search.found is None and not search.is_over() and (most is None or search.examples < most):
        before = search.examples
        configured = settings(
            max_examples=_ROUND if most is None else min(_ROUND, most - before),
            stateful_step_count=_STEPS,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=Verbosity.quiet,
        )
        seed(plan.seed + round_)(machine)
        try:
            run_state_machine_as_test(machine, settings=configured)
        except _Faulty:
            if search.found is None:
                raise
        except Flaky:
            pass  # the guest does not repeat itself, which other checks report: the next round begins anew
        round_ += 1
        if search.examples == before:
            break
    search.is_cut = search.found is None and search.is_over()
    search.ends_at = ends_at
    search.passed = passed.to_repeat()
    return search.found


class _Faulty(Exception):
    """The internal error for a sequence with a fault, which ends the state machine."""


class _Passed:
    """The sequences without a fault that are worth repeating."""

    def __init__(self) -> None:
        self._singles: dict[str, Step] = {}
        self._sequences: dict[frozenset[str], Steps] = {}

    def add(self, steps: Steps) -> None:
        """Keep the largest call of each export, and the shortest sequence of each set of exports."""
        for step in steps:
            known = self._singles.get(step.export)
            if not step.sources() and (known is None or size_of(known.args) < size_of(step.args)):
                self._singles[step.export] = step
        exports = frozenset(step.export for step in steps)
        if exports not in self._sequences or len(self._sequences[exports]) > len(steps):
            self._sequences[exports] = steps

    def to_repeat(self) -> list[CallSequence]:
        """Return what to repeat: single calls first, then sequences, the shortest first."""
        found = [*((step,) for step in self._singles.values()), *sorted(self._sequences.values(), key=len)]
        return [CallSequence(steps=steps) for steps in found]


def _machine(sequences: _Sequences, search: Search[CallSequence], passed: _Passed) -> type[RuleBasedStateMachine]:
    """Return a state machine with a rule for each export, which collects the sequences that passed."""
    guest = sequences.guest

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.player = Player(guest)

        def make(self, export: str, args: tuple[Any, ...]) -> None:
            if search.is_over() and search.found is None:
                return
            step = Step(number=len(self.player.made), export=export, args=args)
            trial = self.player.play(step)
            if trial is None:
                return
            if trial.error is not None:
                sequences.needed.update(sequences.allowed(export).intersection(trial.kinds))
            self._conclude(fault_of(trial, sequences.allowed(export)))

        def _conclude(self, finding: Finding | None) -> None:
            steps = tuple(self.player.made)
            if finding is None or sequences.fails_alone(steps[-1], finding):
                return
            if search.found is None:
                search.found = Found(example=CallSequence(steps=steps), finding=finding)
            raise _Faulty

        def teardown(self) -> None:
            try:
                search.examples += 1
                if not self.player.is_over and self.player.made:
                    self._conclude(
                        fault_of(self.player.drop_all(), frozenset(), "when its resources were dropped, the sequence ")
                    )
                    steps = tuple(self.player.made)
                    if not self.player.is_over:
                        passed.add(steps)
            finally:
                self.player.close()

    constants = constants_of(guest.component)
    needs = [resources_of(guest, name) for name in sequences.names]

    def is_stuck(machine: Machine) -> bool:
        player = machine.player
        return player.is_over or not any(all(map(player.live, resources)) for resources in needs)

    # Hypothesis wants a rule that can be used in every state.
    Machine.rest = precondition(is_stuck)(rule()(lambda _machine: None))
    for index, name in enumerate(sequences.names):
        setattr(Machine, f"rule_{index}", _rule(name, guest, sequences.table, constants))
    return Machine


def _rule(export: str, guest: Guest, table: FuzzTable, constants: Constants) -> Any:
    """Return a rule that calls an export. It can be used if there is a resource for each handle that it takes."""
    types = guest.component.parameter_types(export)
    resources = resources_of(guest, export)
    args = all_values(
        types, max_size=table.max_size, constants=constants, resources={one: _live(one) for one in resources}
    )

    def call(machine: Any, args: tuple[Any, ...]) -> None:
        machine.make(export, args)

    made = rule(args=args)(call)
    return precondition(
        lambda machine: not machine.player.is_over and all(machine.player.live(one) for one in resources)
    )(made)


def resources_of(guest: Guest, export: str) -> frozenset[ResourceType]:
    """Return the resources whose handles an export takes."""
    types = guest.component.parameter_types(export)
    return frozenset(resource for type_ in types for resource in handles_in(type_))


def _live(resource: ResourceType) -> SearchStrategy[Any]:
    return st.runner().flatmap(lambda machine: st.sampled_from(machine.player.live(resource)))


def _repeat(sequences: _Sequences, search: Search[CallSequence]) -> Found[CallSequence] | None:
    """Repeat the sequences that passed, until the time is up or one shows a fault."""
    for sequence in search.passed[:_MOST_REPEATED]:
        left_s = search.left_s()
        if left_s <= 0:
            search.is_cut = True
            break
        repeated = CallSequence(steps=sequence.steps, is_repeated=True)
        found = sequences.judge(repeated, min(1.0, left_s / 2))
        if found is not None:
            search.found = Found(example=repeated, finding=found)
            break
    return search.found


def _minimise(found: Found[CallSequence], guest: Guest, search: Search[CallSequence]) -> None:
    search.allow_shrinking()
    progress = True
    while progress:
        assert search.found is not None
        progress = False
        sequence = search.found.example
        for steps in _simpler(sequence.steps, guest):
            if search.is_over():
                return
            if steps and search.fails(CallSequence(steps=steps, is_repeated=sequence.is_repeated)):
                progress = True
                break


def _simpler(steps: Steps, guest: Guest) -> Iterator[Steps]:
    size = len(steps)
    while size:
        for start in range(0, len(steps), size):
            yield without(steps, steps[start : start + size])
        size //= 2
    for index, step in enumerate(steps):
        types = guest.component.parameter_types(step.export)
        type_ = TupleType(tuple(Primitive(one) if isinstance(one, str) else one for one in types))
        for args in neighbours(step.args, type_):
            yield (*steps[:index], Step(number=step.number, export=step.export, args=args), *steps[index + 1 :])


def _unfit(candidate: Candidate, found: Found[CallSequence], search: Search[CallSequence]) -> Unfit:
    component = candidate.load()
    finding, steps = found.finding, found.example.steps
    text = sequence_text(component, steps)
    details = [found_line(search), *sequence_lines(candidate, component, steps, finding)]
    last = steps[-1].export
    if finding.kind == GROWTH:
        advice = f'free what each call takes; if it is meant to stay, allow it: [fuzz.allow] "{last}" = ["{GROWTH}"]'
    else:
        assert finding.error is not None
        advice = remedy(finding.error, candidate.origins)
    unfit = Unfit(f"{text} {finding.sentence}", advice, details)
    unfit.__cause__ = finding.error
    return unfit
