"""The file of `--wasm-suggest-limits`: the tightest limits of components as TOML, each with its witness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from pytest_airssys_wasm.analysis.limit_evidence import Evidence
from pytest_airssys_wasm.runtime.base.figures import percent
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.validation.limit_evidence_lines import (
    headroom_lines,
    law_lines,
    needs_beyond,
    timeout_lines,
    worst_case_lines,
)
from pytest_airssys_wasm.validation.placeholders import toml_string

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_airssys_wasm.analysis.suggestions import Found, Suggestion, Unrepeated

FIRST_LINE = "# Written by pytest --wasm-suggest-limits, which replaces this file."
"""The first line of the file, by which it is recognised before it is replaced."""
KEYS = {"fuel": ("resources.cpu", "max_fuel"), "memory": ("resources.memory", "max_bytes")}
"""The table and the key of each limit in a manifest."""
_HEAD = """
# For each component: the lowest limits under which all calls of its tests end as they did in this run. The calls
# were made again under these limits. For each limit there is a witness: a test with a call that ends differently
# if the limit is one unit lower. `headroom` is the share of the present limit that no test needs; keep some if the
# component may change. The timeout has a margin, because time depends on the machine.
"""
_MOST_NAMED = 3
_MOST_CHARACTERS = 300
_MOST_CALL = 80


class ComponentLimits(Struct, frozen=True, kw_only=True):
    """The limits of one component."""

    name: str
    """The path of its manifest, or of its binary if it has none."""
    suggestion: Suggestion
    failed: Sequence[str] = ()
    """The tests of the component that failed."""
    evidence: Evidence = field(default_factory=Evidence)
    """The laws, the worst cases and the times of the component."""

    @property
    def refusals(self) -> dict[str, str]:
        """The reason why nothing is suggested, by the name of the limit."""
        reason = None
        if self.failed:
            reason = f"{_named(self.failed)} failed"
        elif self.suggestion.obstacle:
            reason = self.suggestion.obstacle
        if reason is not None:
            return dict.fromkeys(KEYS, reason)
        return {name: refusal for name in KEYS if (refusal := self._refusal(name)) is not None}

    def _refusal(self, name: str) -> str | None:
        found = self.suggestion.found.get(name)
        value = 0 if found is None else found.value
        dearer = [one for one in self.suggestion.unrepeated if one.used.get(name, 0) > value]
        if dearer:
            worst = max(dearer, key=lambda one: one.used[name])
            return f"{_named(worst.tests)} used {worst.used[name]:,} at least, and cannot be repeated: {worst.reason}"
        return None if found is not None else "no test needs any"

    @property
    def suggested(self) -> dict[str, Found]:
        """The limits that are suggested, by their names."""
        refusals = self.refusals
        found = self.suggestion.found
        return {name: found[name] for name in KEYS if name in found and name not in refusals}


def render(components: Sequence[ComponentLimits], lowest_memory: int) -> str:
    """Return the content of the file. `lowest_memory` is the smallest limit in bytes that a manifest may declare."""
    lines = [FIRST_LINE, _HEAD.strip()]
    for one in sorted(components, key=lambda one: one.name):
        lines += ["", *_component(one, lowest_memory)]
    return "\n".join(lines) + "\n"


def _component(one: ComponentLimits, lowest_memory: int) -> Iterator[str]:
    done = one.suggestion
    yield _comment(f"{one.name}: {counted(done.tests, 'test')}, {counted(done.steps, 'execution')}")
    yield from (_comment(_not_repeated(left)) for left in done.unrepeated)
    table, suggested = toml_string(one.name), one.suggested
    for name, reason in one.refusals.items():
        yield _comment(f"no {KEYS[name][1]}: {reason}")
    for name, found in suggested.items():
        group, key = KEYS[name]
        yield f"[{table}.{group}]"
        if name == "memory" and found.value < lowest_memory:
            yield _comment(f"a Component.toml must declare {lowest_memory:,} or more (wasm_memory_range)")
        yield from map(_comment, needs_beyond(one.evidence, name, found))
        given = f"  # {percent(100 * found.value / found.given)} of {found.given:,}" if found.given else ""
        yield f"{key} = {found.value}{given}"
        if name == "fuel":
            yield from timeout_lines(one.evidence.longest)
    if suggested:
        yield f"[{table}.witness]"
        yield from _witnesses(suggested)
        yield from headroom_lines(table, suggested, KEYS)
        yield from worst_case_lines(table, one.evidence)
        yield from law_lines(table, one.evidence)


def _witnesses(suggested: Mapping[str, Found]) -> Iterator[str]:
    for name, found in suggested.items():
        yield _comment(f"with {found.value - 1:,}: {_cut(printable(found.call), _MOST_CALL)} {found.ending}")
        yield f"{KEYS[name][1]} = {toml_string(found.test)}"


def _not_repeated(left: Unrepeated) -> str:
    used = ", ".join(f"{value:,} of {name}" for name, value in left.used.items())
    return f"not repeated: {_named(left.tests)} (used {used}): {left.reason}"


def _named(tests: Sequence[str]) -> str:
    more = f" and {len(tests) - _MOST_NAMED:,} more" if len(tests) > _MOST_NAMED else ""
    return ", ".join(tests[:_MOST_NAMED]) + more


def _comment(text: str) -> str:
    """Return a comment of one line, in which text of guests and paths is escaped."""
    return f"# {_cut(printable(text), _MOST_CHARACTERS)}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
