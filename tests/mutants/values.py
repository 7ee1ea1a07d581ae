"""Values that are altered on their way out of a guest, or into one."""

from __future__ import annotations

import unicodedata

from msgspec import UNSET, structs

from mutants.mutant import Family, answering, around, is_component
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.protocol.messages import RunAnswer, StepAnswer
from pytest_airssys_wasm.runtime.base.outcome import Verdict

FAMILY = Family("values")


def _within(value, change):
    """Return the value with `change(part)` in the place of each part, the innermost first."""
    if isinstance(value, dict):
        value = {key: _within(part, change) for key, part in value.items()}
    elif isinstance(value, list):
        value = [_within(part, change) for part in value]
    return change(value)


def _telling(patch, change):
    answering(patch, lambda answer, _: {} if answer.value is UNSET else {"value": _within(answer.value, change)})


def _number(value):
    return isinstance(value, int) and not isinstance(value, bool)


@FAMILY.mutant
def everything_is_ok(patch):
    """Nothing is run, and all that is asked is said to have returned nothing."""
    ok = StepAnswer(verdict=Verdict.OK, value=None)

    def run(_original, _self, request):
        return RunAnswer(id=request.id, steps=[ok for _ in request.steps])

    around(patch, InProcessRuntime, "run", run)


@FAMILY.mutant
def unsigned_integers_have_a_sign(patch):
    """A u64 is told as the s64 of the same bits."""
    _telling(patch, lambda value: value - 2**64 if _number(value) and value >= 2**63 else value)


@FAMILY.mutant
def integers_are_told_as_doubles(patch):
    """What is over 53 bits is rounded."""
    _telling(patch, lambda value: int(float(value)) if _number(value) else value)


@FAMILY.mutant
def integers_are_passed_as_doubles(patch):
    """What is over 53 bits is rounded on its way in."""

    def run(original, self, request):
        steps = [
            structs.replace(step, args=_within(step.args, lambda value: int(float(value)) if _number(value) else value))
            for step in request.steps
        ]
        return original(self, structs.replace(request, steps=steps))

    around(patch, InProcessRuntime, "run", run)


@FAMILY.mutant
def options_within_options_are_one(patch):
    """What an option holds is told in its place, whatever that is."""
    _telling(patch, lambda value: value["some"] if isinstance(value, dict) and value.keys() == {"some"} else value)


@FAMILY.mutant
def of_several_results_one_is_told(patch):
    """A function of a module returns its first result."""
    answering(
        patch,
        lambda answer, request: (
            {"value": answer.value[0]} if isinstance(answer.value, list) and not is_component(request) else {}
        ),
    )


@FAMILY.mutant
def several_results_are_told_backwards(patch):
    """The results of a function of a module are told as they lie on the stack."""
    answering(
        patch,
        lambda answer, request: (
            {"value": answer.value[::-1]} if isinstance(answer.value, list) and not is_component(request) else {}
        ),
    )


def _telling_text(patch, change):
    _telling(patch, lambda value: change(value) if isinstance(value, str) else value)


@FAMILY.mutant
def text_is_normalised(patch):
    """Accents and the letters that they stand on become one."""
    _telling_text(patch, lambda text: unicodedata.normalize("NFC", text))


@FAMILY.mutant
def text_ends_at_a_zero(patch):
    """A text is told as one of C."""
    _telling_text(patch, lambda text: text.partition("\0")[0])


@FAMILY.mutant
def text_is_stripped(patch):
    """Blanks around a text are left out."""
    _telling_text(patch, str.strip)


@FAMILY.mutant
def marks_of_byte_order_are_left_out(patch):
    """A text that begins with one is told without it."""
    _telling_text(patch, lambda text: text.removeprefix("\ufeff"))


@FAMILY.mutant
def characters_have_sixteen_bits(patch):
    """What is beyond the first plane is told as a question mark."""
    _telling_text(patch, lambda text: "".join(one if ord(one) < 2**16 else "?" for one in text))


@FAMILY.mutant
def truth_is_a_number(patch):
    """True is told as 1."""
    _telling(patch, lambda value: int(value) if isinstance(value, bool) else value)


@FAMILY.mutant
def zero_and_one_are_truths(patch):
    """1 is told as true."""
    _telling(patch, lambda value: bool(value) if _number(value) and value in (0, 1) else value)


@FAMILY.mutant
def errors_are_successes(patch):
    """The case of a result is not looked at."""
    _telling(patch, lambda value: {"ok": value["err"]} if isinstance(value, dict) and "err" in value else value)


@FAMILY.mutant
def variants_are_their_payloads(patch):
    """The case of a variant is left out."""
    _telling(patch, lambda value: value["value"] if isinstance(value, dict) and "case" in value else value)
