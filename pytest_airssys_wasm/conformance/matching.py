"""The comparison of the expectations of a case with an observation.

It has no side effects: mismatches are data, and a case without a mismatch passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct, structs

from pytest_airssys_wasm.conformance.model import FIGURES, MEASURES, Bounds
from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.limits import limits_on_wire
from pytest_airssys_wasm.protocol.messages import TRAP_KINDS
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pytest_airssys_wasm.conformance.model import Actor, Case, Expect, Step
    from pytest_airssys_wasm.conformance.runner import ActorPass, Observation
    from pytest_airssys_wasm.protocol.messages import StepAnswer

_VERDICT_OF_FIELD = {"trap": Verdict.TRAP, "resource": Verdict.RESOURCE_LIMIT, "code": Verdict.EXIT}
"""The only verdict with which an answer has each of these fields."""

_TOLD_IN_PINS = ("verdict", "trap", "resource", "code", "phase")
_PIN_CHARACTERS = 60
"""The maximum number of characters of a value in a pin."""


class Mismatch(Struct, frozen=True, kw_only=True):
    """A field of an answer, or of the whole case, whose value differs from the expected one."""

    field: str
    expected: str
    got: Any
    actor: str = ""
    step: int | None = None
    """The number of the step, from 1; `None` for the case as a whole."""
    step_name: str | None = None
    repetition: int = 0
    copy: int = 0
    times: int = 1
    """The number of repetitions and copies with this mismatch, of which the first one is reported."""
    message: str | None = None
    """The message of the runtime's answer."""

    @property
    def pin(self) -> str:
        """The place, the field and the answer, such as `step 2: verdict = ok`, by which known failures name it.

        An answer that differs from run to run, as most figures do, is left out.
        """
        place = f"actor {self.actor}, " if self.actor else ""
        place += f"step {self.step}: " if self.step is not None else ""
        got = _pinned(self.field, self.got)
        return f"{place}{self.field}" + ("" if got is None else f" = {got}")

    @property
    def sentence(self) -> str:
        """The mismatch as one line of text."""
        place = [f"actor {self.actor}"] if self.actor else []
        if self.step is not None:
            place.append(f"step {self.step}" + (f" ({self.step_name})" if self.step_name else ""))
        where = ", ".join(place) or "the whole case"
        text = f"{where}: {self.field}: expected {self.expected}, got {self.got!r}"
        if self.times > 1:
            text += f" ({self.times} times)"
        return text + (f": {self.message}" if self.message else "")


FIGURE_CAPABILITIES = {
    "fuel_consumed": "fuel-count",
    "peak_memory_bytes": "memory-peak",
    "denied_growths": "memory-denials",
    "stdout": "output",
    "stderr": "output",
}
"""The capability without which a runtime may answer null for a figure or a text."""


def mismatches(case: Case, observation: Observation) -> list[Mismatch]:
    """Return the mismatches in the order of the steps, then those of the whole case.

    A runtime that does not promise a figure may answer null for it, and a runtime that does not promise the kinds of
    traps may use other names for them. All other answers are compared.
    """
    actors = {actor.name: actor for actor in case.cast()}
    limits = {name: limits_on_wire(actor.limits) for name, actor in actors.items()}
    found: list[Mismatch] = []
    for one_pass in observation.passes:
        found += _in_pass(actors[one_pass.actor], limits[one_pass.actor], one_pass, observation)
    if any(one_pass.has_died for one_pass in observation.passes):
        return _counted(found)  # there is no whole to judge
    for actor in actors.values():
        found += _across_passes(actor, [one for one in observation.passes if one.actor == actor.name], observation)
    return [*_counted(found), *_in_whole_case(case, observation)]


def _pinned(field: str, got: Any) -> str | None:
    """Return the answer as it is written in a pin; `None` if the answer may differ from run to run."""
    if got is None or got is UNSET:
        return "null"
    if field in _TOLD_IN_PINS or field.startswith("limits."):
        return printable(str(got))
    if field != "value":
        return None
    text = printable(msgspec.json.encode(got).decode())
    return text if len(text) <= _PIN_CHARACTERS else None


def as_bounds(value: Any) -> Bounds | None:
    """Return the bounds that an expected value stands for, or `None` for a plain value.

    Raises `msgspec.ValidationError` for a table that has keys of `Bounds` but is not valid as `Bounds`.
    """
    if isinstance(value, Bounds):
        return value
    if not isinstance(value, dict) or not value or not value.keys() <= set(Bounds.__struct_fields__):
        return None
    return msgspec.convert(value, Bounds)


# -- one pass of an actor


def _in_pass(actor: Actor, limits: dict[str, Any], one_pass: ActorPass, seen: Observation) -> Iterator[Mismatch]:
    pairs = [*zip(actor.steps, one_pass.answers, strict=True)]
    named = {step.name: answer for step, answer in pairs if step.name and answer}
    is_over = False
    for index, (step, answer) in enumerate(pairs, 1):
        is_over = is_over and not (step.fresh or step.phase == "configure")
        if answer is None and is_over:
            continue  # it follows from the step that ended the store
        is_over = is_over or (answer is not None and answer.verdict is not Verdict.OK)
        for found in (*_in_any_answer(limits, answer, seen), *_in_answer(step.expect, answer, named, seen)):
            yield structs.replace(
                found,
                actor=actor.name,
                step=index,
                step_name=step.name or step.call or step.phase,
                repetition=one_pass.repetition,
                copy=one_pass.copy,
                message=answer.message if answer else None,
            )


def _in_any_answer(limits: dict[str, Any], answer: StepAnswer | None, seen: Observation) -> Iterator[Mismatch]:
    """Yield a mismatch for each invariant that the answer violates.

    Invariants hold for every case on a correct runtime.
    """
    if answer is None:
        return
    for name, verdict in _VERDICT_OF_FIELD.items():
        value = getattr(answer, name)
        if (value is not None) != (answer.verdict is verdict):
            yield Mismatch(field=name, expected=f"one exactly when the verdict is {verdict}", got=value)
    # A null is what many encoders write for what is absent.
    if answer.verdict is not Verdict.OK and answer.value is not UNSET and answer.value is not None:
        yield Mismatch(field="value", expected="none when the verdict is not ok", got=answer.value)
    for name, most, capability in (
        ("fuel_consumed", limits.get("fuel", ResourceLimits.DEFAULT_FUEL), "fuel-limit"),
        ("peak_memory_bytes", limits.get("memory_bytes"), "store-memory-limit"),
        ("elapsed_ms", None, None),
        ("denied_growths", None, None),
    ):
        value = getattr(answer, name)
        if value is None:
            continue
        if value < 0:
            yield Mismatch(field=name, expected="never negative", got=value)
        elif isinstance(most, int) and value > most and capability is not None and seen.promises(capability):
            yield Mismatch(field=name, expected=f"never above its limit of {most:,}", got=value)
    if answer.verdict is Verdict.OUT_OF_FUEL and limits.get("fuel") == "unlimited":
        yield Mismatch(field="verdict", expected="never out-of-fuel without a fuel limit", got=str(answer.verdict))
    if answer.verdict is Verdict.TIMEOUT and limits.get("timeout_ms") == "unlimited":
        yield Mismatch(field="verdict", expected="never timeout without a timeout", got=str(answer.verdict))


def _in_answer(
    expect: Expect, answer: StepAnswer | None, named: dict[str, StepAnswer], seen: Observation
) -> Iterator[Mismatch]:
    if answer is None:
        yield Mismatch(field="answer", expected=_any(expect.verdicts), got=None)
        return
    if answer.verdict not in expect.verdicts:
        got = str(answer.verdict) + (f" ({answer.trap})" if answer.trap else "")
        yield Mismatch(field="verdict", expected=_any(expect.verdicts), got=got)
        return  # any further mismatch follows from this one
    for name in ("trap", "resource"):
        wanted, got = getattr(expect, name), getattr(answer, name)
        if name == "trap" and got not in TRAP_KINDS and not seen.promises("trap-kinds"):
            continue
        # A list of verdicts may hold some that have no such field.
        if wanted is not None and got not in _listed(wanted) and answer.verdict is _VERDICT_OF_FIELD[name]:
            yield Mismatch(field=name, expected=_any(_listed(wanted)), got=got)
    if expect.code is not None and answer.code != expect.code:
        yield Mismatch(field="code", expected=repr(expect.code), got=answer.code)
    if expect.phase is not None and (answer.phase or "call") != expect.phase:
        yield Mismatch(field="phase", expected=repr(expect.phase), got=answer.phase)
    for text in expect.mentions:
        if text.casefold() not in (answer.message or "").casefold():
            yield Mismatch(field="message", expected=f"a text that mentions {text!r}", got=answer.message)
    yield from _in_limits(expect, answer)
    yield from _in_value(expect, answer, named)
    for name in ("stdout", "stderr"):
        text, got = getattr(expect, name), getattr(answer, name)
        if text is None or (got is None and not _is_told(name, seen)):
            continue
        wanted = text.encode() if isinstance(text, str) else text.base64
        if got != wanted:
            yield Mismatch(field=name, expected=repr(wanted), got=got)
    for name in FIGURES:
        wanted, got = getattr(expect, name), getattr(answer, name)
        if got is None and not _is_told(name, seen):
            continue
        if wanted is not None and not _holds(wanted, got, _getter(named, name)):
            yield Mismatch(field=name, expected=_in_words(wanted), got=got)


def _is_told(figure: str, seen: Observation) -> bool:
    """Return whether the runtime promises to report this figure."""
    capability = FIGURE_CAPABILITIES.get(figure)
    return capability is None or seen.promises(capability)


def _in_limits(expect: Expect, answer: StepAnswer) -> Iterator[Mismatch]:
    if expect.limits is None:
        return
    found = answer.limits or {}
    for name in ("memory_bytes", "fuel", "timeout_ms"):
        wanted = getattr(expect.limits, name)
        if wanted is not None and found.get(name) != wanted:
            yield Mismatch(field=f"limits.{name}", expected=repr(wanted), got=found.get(name))


def _in_value(expect: Expect, answer: StepAnswer, named: dict[str, StepAnswer]) -> Iterator[Mismatch]:
    if expect.value is UNSET or answer.verdict is not Verdict.OK:
        return
    got = None if answer.value is UNSET else answer.value
    bounds = as_bounds(expect.value)
    if bounds is not None:
        if not _holds(bounds, got, _getter(named, "value")):
            yield Mismatch(field="value", expected=_in_words(bounds), got=got)
    elif not wire.same(wire.from_toml(expect.value), got):
        yield Mismatch(field="value", expected=repr(wire.from_toml(expect.value)), got=got)


# -- all passes together


def _across_passes(actor: Actor, passes: Sequence[ActorPass], seen: Observation) -> Iterator[Mismatch]:
    """Yield the mismatches that show only when all repetitions and copies are compared."""
    for index, step in enumerate(actor.steps):
        given = [answer for one in passes if (answer := one.answers[index]) is not None]
        place = _placer(actor, step, index)
        for name in step.expect.steady:
            values = [getattr(answer, name) for answer in given]
            values = [None if value is UNSET else value for value in values]
            odd = next((value for value in values if not wire.same(values[0], value)), UNSET)
            if odd is not UNSET:
                yield place(Mismatch(field=name, expected=f"{values[0]!r} each time", got=odd))
            elif values and values[0] is None and name != "value" and _is_told(name, seen):
                yield place(Mismatch(field=name, expected="a figure", got=None))
        if step.expect.fastest_ms is not None:
            known = [answer.elapsed_ms for answer in given if answer.elapsed_ms is not None]
            fastest = min(known) if known else None
            if not _holds(step.expect.fastest_ms, fastest, _getter({}, "elapsed_ms")):
                yield place(Mismatch(field="fastest_ms", expected=_in_words(step.expect.fastest_ms), got=fastest))


def _in_whole_case(case: Case, observation: Observation) -> Iterator[Mismatch]:
    for name in ("elapsed_ms", *MEASURES):
        wanted, got = getattr(case.expect, name), getattr(observation, name)
        if wanted is not None and not _holds(wanted, got, _getter({}, name)):
            yield Mismatch(field=name, expected=_in_words(wanted), got=got)


def _counted(found: Iterable[Mismatch]) -> list[Mismatch]:
    """Return one mismatch, with a count, for all mismatches that differ only in repetition and copy."""
    first: dict[str, Mismatch] = {}
    for one in found:
        earlier = first.get(one.pin)
        first[one.pin] = one if earlier is None else structs.replace(earlier, times=earlier.times + 1)
    return list(first.values())


def _placer(actor: Actor, step: Step, index: int) -> Callable[[Mismatch], Mismatch]:
    name = step.name or step.call or step.phase
    return lambda found: structs.replace(found, actor=actor.name, step=index + 1, step_name=name)


# -- one figure


def _holds(expected: Any, got: Any, of_step: Callable[[str], Any]) -> bool:
    """Return whether `got` is the expected value; `of_step` returns the same field of a named step, or `None`."""
    if not isinstance(expected, Bounds):
        return wire.same(expected, got)
    if got is None:
        return expected.may_be_unknown
    if expected.same_as is not None:
        return wire.same(of_step(expected.same_as), got)
    unit = 1 if expected.of is None else wire.number(of_step(expected.of))
    figure = wire.number(got)
    if figure is None or unit is None:
        return False
    above = expected.min is None or figure >= expected.min * unit
    below = expected.max is None or figure <= expected.max * unit
    return above and below


def _in_words(expected: Any) -> str:
    """Return an expected value as a phrase for messages."""
    if not isinstance(expected, Bounds):
        return repr(expected)
    if expected.same_as is not None:
        return f"the same as in step {expected.same_as!r}"
    if expected.max is None:
        words = f"at least {expected.min:,}"
    elif expected.min is None:
        words = f"at most {expected.max:,}"
    else:
        words = f"{expected.min:,} to {expected.max:,}"
    words += f" times that of step {expected.of!r}" if expected.of is not None else ""
    return words + (" (or unknown)" if expected.may_be_unknown else "")


def _getter(named: dict[str, StepAnswer], field: str) -> Callable[[str], Any]:
    def get(step: str) -> Any:
        value = getattr(named.get(step), field, None)
        return None if value is UNSET else value

    return get


def _listed(wanted: str | list[str]) -> tuple[str, ...]:
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _any(wanted: Iterable[object]) -> str:
    return " or ".join(map(str, wanted))
