"""Judges what was seen against what a case expects. Pure: findings are data, and an empty list is a pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from pytest_airssys_wasm.conformance.bounds import as_bounds, holds, in_words
from pytest_airssys_wasm.conformance.invariants import broken
from pytest_airssys_wasm.conformance.model import FIGURES
from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pytest_airssys_wasm.conformance.model import Actor, Case, Expect, Step
    from pytest_airssys_wasm.conformance.observation import Observation, Seen
    from pytest_airssys_wasm.protocol.messages import StepAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was not as expected."""

    field: str
    expected: str
    got: Any
    actor: str = ""
    step: int | None = None
    """From 1; `None` of the case as a whole."""
    step_name: str | None = None
    repetition: int = 0
    copy: int = 0
    times: int = 1
    """In how many repetitions and copies it was found; the first is shown."""
    message: str | None = None
    """What the runtime said."""

    @property
    def sentence(self) -> str:
        """The finding as one line of text."""
        place = [f"actor {self.actor}"] if self.actor else []
        if self.step is not None:
            place.append(f"step {self.step}" + (f" ({self.step_name})" if self.step_name else ""))
        where = ", ".join(place) or "the whole case"
        text = f"{where}: {self.field}: expected {self.expected}, got {self.got!r}"
        if self.times > 1:
            text += f" ({self.times} times)"
        return text + (f": {self.message}" if self.message else "")


def judge(case: Case, observation: Observation) -> list[Finding]:
    """The findings, in the order of the steps; those of the whole case last."""
    actors = {actor.name: actor for actor in case.cast()}
    findings: list[Finding] = []
    for seen in observation.seen:
        findings += _judge_pass(actors[seen.actor], seen)
    for actor in actors.values():
        findings += _judge_together(actor, [seen for seen in observation.seen if seen.actor == actor.name])
    return [*_counted(findings), *_judge_whole(case, observation)]


def _judge_pass(actor: Actor, seen: Seen) -> Iterator[Finding]:
    pairs = [*zip(actor.steps, seen.answers, strict=True)]
    named = {step.name: answer for step, answer in pairs if step.name and answer}
    for index, (step, answer) in enumerate(pairs, 1):
        for finding in (*_judge_always(actor, answer), *_judge_step(step.expect, answer, named)):
            yield replace(
                finding,
                actor=actor.name,
                step=index,
                step_name=step.name or step.call or step.phase,
                repetition=seen.repetition,
                copy=seen.copy,
                message=answer.message if answer else None,
            )


def _judge_always(actor: Actor, answer: StepAnswer | None) -> Iterator[Finding]:
    if answer is not None:
        for name, truth, got in broken(actor, answer):
            yield Finding(field=name, expected=truth, got=got)


def _judge_step(expect: Expect, answer: StepAnswer | None, named: dict[str, StepAnswer]) -> Iterator[Finding]:
    if answer is None:
        yield Finding(field="answer", expected=_any(expect.verdicts), got=None)
        return
    if answer.verdict not in expect.verdicts:
        got = str(answer.verdict) + (f" ({answer.trap})" if answer.trap else "")
        yield Finding(field="verdict", expected=_any(expect.verdicts), got=got)
        return  # the rest would only say the same again
    for name in ("trap", "resource"):
        wanted, got = getattr(expect, name), getattr(answer, name)
        # A list of verdicts may hold some that have no such field.
        if wanted is not None and got not in _listed(wanted) and str(answer.verdict) == _OWNERS[name]:
            yield Finding(field=name, expected=_any(_listed(wanted)), got=got)
    if expect.code is not None and answer.code != expect.code:
        yield Finding(field="code", expected=repr(expect.code), got=answer.code)
    if expect.phase is not None and (answer.phase or "call") != expect.phase:
        yield Finding(field="phase", expected=repr(expect.phase), got=answer.phase)
    for text in expect.mentions:
        if text.casefold() not in (answer.message or "").casefold():
            yield Finding(field="message", expected=f"a text that mentions {text!r}", got=answer.message)
    yield from _judge_limits(expect, answer)
    yield from _judge_value(expect, answer, named)
    for name in FIGURES:
        wanted, got = getattr(expect, name), getattr(answer, name)
        if wanted is not None and not holds(wanted, got, _getter(named, name)):
            yield Finding(field=name, expected=in_words(wanted), got=got)


_OWNERS = {"trap": Verdict.TRAP.value, "resource": Verdict.RESOURCE_LIMIT.value}


def _judge_limits(expect: Expect, answer: StepAnswer) -> Iterator[Finding]:
    if expect.limits is None:
        return
    found = answer.limits or {}
    for name in ("memory_bytes", "fuel", "timeout_ms"):
        wanted = getattr(expect.limits, name)
        if wanted is not None and found.get(name) != wanted:
            yield Finding(field=f"limits.{name}", expected=repr(wanted), got=found.get(name))


def _judge_value(expect: Expect, answer: StepAnswer, named: dict[str, StepAnswer]) -> Iterator[Finding]:
    if expect.value is UNSET or answer.verdict is not Verdict.OK:
        return
    got = None if answer.value is UNSET else answer.value
    bounds = as_bounds(expect.value)
    if bounds is not None:
        if not holds(bounds, got, _getter(named, "value")):
            yield Finding(field="value", expected=in_words(bounds), got=got)
    elif not wire.same(wire.from_toml(expect.value), got):
        yield Finding(field="value", expected=repr(wire.from_toml(expect.value)), got=got)


def _judge_together(actor: Actor, passes: Sequence[Seen]) -> Iterator[Finding]:
    """What only all repetitions and copies together can show."""
    for index, step in enumerate(actor.steps):
        answers = [seen.answers[index] for seen in passes]
        given = [answer for answer in answers if answer is not None]
        place: Callable[[Finding], Finding] = _placer(actor, step, index)
        for name in step.expect.steady:
            values = [getattr(answer, name) for answer in given]
            values = [None if value is UNSET else value for value in values]
            odd = next((value for value in values if not wire.same(values[0], value)), UNSET)
            if odd is not UNSET:
                yield place(Finding(field=name, expected=f"{values[0]!r} each time", got=odd))
            elif values and values[0] is None and name != "value":
                yield place(Finding(field=name, expected="a figure", got=None))
        if step.expect.fastest_ms is not None:
            known = [answer.elapsed_ms for answer in given if answer.elapsed_ms is not None]
            fastest = min(known) if known else None
            if not holds(step.expect.fastest_ms, fastest, _getter({}, "elapsed_ms")):
                yield place(Finding(field="fastest_ms", expected=in_words(step.expect.fastest_ms), got=fastest))


def _judge_whole(case: Case, observation: Observation) -> Iterator[Finding]:
    for name in ("elapsed_ms", "host_rss_growth_mib", "open_files_growth"):
        wanted, got = getattr(case.expect, name), getattr(observation, name)
        if wanted is not None and not holds(wanted, got, _getter({}, name)):
            yield Finding(field=name, expected=in_words(wanted), got=got)


def _counted(findings: Iterable[Finding]) -> list[Finding]:
    """The same finding of many repetitions, said once."""
    first: dict[tuple[str, int | None, str], Finding] = {}
    for finding in findings:
        key = (finding.actor, finding.step, finding.field)
        earlier = first.get(key)
        first[key] = finding if earlier is None else replace(earlier, times=earlier.times + 1)
    return list(first.values())


def _placer(actor: Actor, step: Step, index: int) -> Callable[[Finding], Finding]:
    name = step.name or step.call or step.phase
    return lambda finding: replace(finding, actor=actor.name, step=index + 1, step_name=name)


def _getter(named: dict[str, StepAnswer], field: str) -> Callable[[str], Any]:
    def get(step: str) -> Any:
        value = getattr(named.get(step), field, None)
        return None if value is UNSET else value

    return get


def _listed(wanted: str | list[str]) -> tuple[str, ...]:
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _any(wanted: Iterable[object]) -> str:
    return " or ".join(map(str, wanted))
