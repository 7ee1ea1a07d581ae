"""The update of an expectations file from a run, for `--wasm-expectations-update`."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

from pytest_airssys_wasm.conformance.known_failures import FailureGroup, Pin
from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNEXPLAINED = "Not explained yet"
"""The reason that is written for new failures."""

_MOST_PINS = 4
"""The maximum number of different answers in one place that are written as separate pins. More answers are written as
one pin.
"""
_COLUMNS = 118


def updated(text: str, groups: Sequence[FailureGroup], seen: Mapping[str, Sequence[str]]) -> str:
    """Return the text of an expectations file, updated after a run.

    `text` and `groups` are the present file, and `seen` are the pins of the findings of every case that ran; a case
    without pins passed. Reasons, the comment at the top, pins that cover a finding, and cases that did not run are
    kept. A case that passed is left out, unless its group fails only sometimes.
    """
    listed = {case for group in groups for case in group.cases}
    kept = [one for group in groups if (one := _updated_group(group, seen)) is not None]
    added = {case: _written_pins(pins) for case, pins in seen.items() if pins and case not in listed}
    if added and kept and kept[-1].reason.strip() == UNEXPLAINED:
        added |= kept.pop().cases
    if added:
        kept.append(FailureGroup(reason=UNEXPLAINED, cases=added))
    head = text.partition("[[failures]]")[0].strip()
    tables = ["\n".join(_group_lines(group)) for group in kept]
    return "\n\n".join([*([head] if head else []), *tables]) + "\n"


def _updated_group(group: FailureGroup, seen: Mapping[str, Sequence[str]]) -> FailureGroup | None:
    cases: dict[str, list[str]] = {}
    for case, texts in group.cases.items():
        found = seen.get(case)
        if found is None or (group.sometimes and not found):
            cases[case] = texts
        elif found:
            pins, present = [Pin.read(text) for text in texts], [Pin.read(text) for text in found]
            still = [pin for pin in pins if group.sometimes or any(pin.covers(one) for one in present)]
            more = [one.text for one in present if not any(pin.covers(one) for pin in still)]
            cases[case] = [*(pin.text for pin in still), *_written_pins(more)]
    return FailureGroup(reason=group.reason, cases=cases, sometimes=group.sometimes) if cases else None


def _written_pins(pins: Sequence[str]) -> list[str]:
    """Return the pins to write for these findings. Many findings in one place become one pin without the answer."""
    places: dict[str, list[str]] = {}
    for text in dict.fromkeys(pins):
        places.setdefault(text.partition(" = ")[0], []).append(text)
    return [
        text
        for place, texts in places.items()
        for text in (texts if len(texts) <= _MOST_PINS or any(map(_is_death, texts)) else [place])
    ]


def _is_death(text: str) -> bool:
    return text.endswith(f" = {Verdict.RUNTIME_DIED}")


def _group_lines(group: FailureGroup) -> Iterator[str]:
    reason = " ".join(group.reason.split())
    yield "[[failures]]"
    one_line = f"reason = {_quoted(reason)}"
    if len(one_line) <= _COLUMNS:
        yield one_line
    else:
        yield 'reason = """'
        yield _quoted("\n".join(textwrap.wrap(reason, _COLUMNS)))[1:-1].replace("\\n", "\n") + '"""'
    if group.sometimes:
        yield "sometimes = true"
    yield "[failures.cases]"
    for case in sorted(group.cases):
        yield f"{_quoted(case)} = [{', '.join(map(_quoted, group.cases[case]))}]"


def _quoted(text: str) -> str:
    """Return the text as a basic string of TOML: a JSON string with one more character escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
