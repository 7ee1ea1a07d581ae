"""The texts of sequences of calls: for messages, for people to paste, and for the database of examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.fuzzing.export_check import python_test
from pytest_airssys_wasm.fuzzing.pasteable import as_json, as_python, quoted, toml_of
from pytest_airssys_wasm.fuzzing.steps import CallSequence, Saved, Step, replaced
from pytest_airssys_wasm.protocol.values import decode
from pytest_airssys_wasm.runtime.manifest.fuzz import GROWTH
from pytest_airssys_wasm.runtime.wave import write_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.fuzzing.trials import Finding
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.validation.candidate import Candidate

_MARK = "\0saved"
"""The text that stands for a resource while a value is written as JSON. No key of a record begins with it."""


def sequence_text(component: Component, steps: Sequence[Step]) -> str:
    """Return the calls of a sequence in WAVE, on one line. A resource is written as the name of the step that gave it,
    such as `<r0>`.
    """
    used = {number for step in steps for number in step.sources()}
    return "; ".join(
        (f"r{step.number} = " if step.number in used else "") + _call_text(component, step) for step in steps
    )


def _call_text(component: Component, step: Step) -> str:
    return write_call(step.export, step.args, component.parameter_types(step.export)).replace("<… Saved>", "<resource>")


def sequence_lines(candidate: Candidate, component: Component, steps: Sequence[Step], finding: Finding) -> list[str]:
    """Return the lines of a `[[tests]]` entry, if the sequence can be written as one, and of a Python test."""
    return [*_entry_lines(steps, finding), *_test_lines(candidate, steps, finding)]


def _entry_lines(steps: Sequence[Step], finding: Finding) -> list[str]:
    if any(saved.path for step in steps for saved in _saved(step)):
        return []  # a resource inside another value has no name in a manifest
    used = {number for step in steps for number in step.sources()}
    lines = [
        f"    {{ call = {quoted(step.export)}"
        + (f", args = [{', '.join(_toml(one) for one in step.args)}]" if step.args else "")
        + (f', save = "r{step.number}"' if step.number in used else "")
        + " },"
        for step in steps
    ]
    return [
        "to keep it, in Component.toml:",
        "  [[tests]]",
        f"  name = {quoted('fuzz: ' + ', '.join(step.export for step in steps)[:70])}",
        "  steps = [",
        *lines,
        "  ]",
        *([f"  repeat = {finding.repetitions}"] if finding.repetitions > 1 else []),
        *(["  max_growth = 0"] if finding.kind == GROWTH else []),
    ]


def _saved(step: Step) -> list[Saved]:
    found: list[Saved] = []
    replaced(step.args, lambda saved: found.append(saved))
    return found


def _toml(value: Any) -> str:
    return toml_of(as_json(replaced(value, lambda saved: {"saved": f"r{saved.step}"})))


class _Expression(int):
    """A Python expression in the place of a resource, which `as_python` writes by its `repr`."""

    def __new__(cls, text: str) -> _Expression:
        made = super().__new__(cls, 0)
        made.text = text
        return made

    text: str

    def __repr__(self) -> str:
        return self.text


def _test_lines(candidate: Candidate, steps: Sequence[Step], finding: Finding) -> list[str]:
    used = {number for step in steps for number in step.sources()}
    texts, statements = [], []
    for step in steps:
        args = [as_python(replaced(one, lambda saved: _Expression(repr(saved)))) for one in step.args]
        texts += args
        name = f"r{step.number} = " if step.number in used else ""
        statements.append(f"{name}component.call({', '.join([repr(step.export), *args])})")
    if finding.repetitions > 1:
        loop = [f"for _ in range({finding.repetitions:_}):", *(f"    {statement}" for statement in statements)]
        size = "component.store.usage.peak_memory_bytes"
        if finding.kind == GROWTH:
            loop = [*statements, f"before = {size}", *loop, f"assert {size} == before"]
        statements = loop
    return ["in Python:", *(f"  {line}" for line in python_test(candidate, texts, statements))]


def encoded_steps(sequence: CallSequence) -> dict[str, Any]:
    """Return a sequence as JSON for the database of examples."""
    return {
        "is_repeated": sequence.is_repeated,
        "steps": [
            {
                "number": step.number,
                "export": step.export,
                "args": [as_json(replaced(one, lambda saved: {_MARK: [saved.step, saved.path]})) for one in step.args],
            }
            for step in sequence.steps
        ],
    }


def read_steps(entry: Any, component: Component) -> CallSequence | None:
    """Return the sequence that `encoded_steps` has written; `None` if the component does not have all of its exports.

    Raises `TypeError`, `ValueError` or `KeyError` for anything else.
    """
    known, steps = component.function_names(), []
    for written in entry["steps"]:
        export, args, number = written["export"], written["args"], written["number"]
        if export not in known or not isinstance(args, list) or not isinstance(number, int):
            return None
        types = component.parameter_types(export)
        if len(args) != len(types):
            return None
        decoded = tuple(decode(one, type_, _read_saved) for one, type_ in zip(args, types))
        steps.append(Step(number=number, export=export, args=decoded))
    return CallSequence(steps=tuple(steps), is_repeated=entry["is_repeated"] is True) if steps else None


def _read_saved(written: Any, _type: Any) -> Saved:
    step, path = written[_MARK]
    return Saved(int(step), str(path))
