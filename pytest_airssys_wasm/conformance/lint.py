"""The rules that the data of a suite must follow, for the suite as a whole and for each case."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from pytest_airssys_wasm.conformance.guests import source_text
from pytest_airssys_wasm.conformance.host_library import HOST_LIBRARY
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.conformance.matching import FIGURE_CAPABILITIES, as_bounds
from pytest_airssys_wasm.conformance.model import FIGURES, Bounds
from pytest_airssys_wasm.protocol.limits import limits_on_wire
from pytest_airssys_wasm.protocol.messages import CAPABILITIES, PARTS
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_airssys_wasm.conformance.loader import CaseFile, ChapterFile
    from pytest_airssys_wasm.conformance.model import Actor, Case, Expected

_KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NEEDED_FOR_VERDICT = {
    Verdict.OUT_OF_FUEL: "fuel-limit",
    Verdict.TIMEOUT: "timeout-limit",
    Verdict.OUT_OF_MEMORY: "memory-limit",
}
_NEEDED_FOR_RESOURCE = {"host-transfer": "transfer-limit"}
"""The capabilities that limit resources, for those that are not called after the resource, as `tables-limit` is."""
_BULK = re.compile(r"\b(memory\.(fill|copy|init)|data\.drop|table\.(fill|copy|init)|elem\.drop)\b")
_COMMENT = re.compile(r"\s*;;[^\n]*\n|\s*\(;.*?;\)", re.DOTALL)


def faults(root: Path | None = None, fixtures: Path | None = None) -> list[str]:
    """Return the faults of the suite under `root` (the bundled suite if `None`), as one sentence each that names the
    file.
    """
    found: list[str] = []
    owners: dict[str, str] = {}
    names: Counter[str] = Counter()
    for chapter in find_chapters(root):
        found += _chapter_faults(chapter, owners, fixtures)
        names.update(case.name for case in chapter.cases())
    found += [f"the case name {name!r} is used {count} times" for name, count in names.items() if count > 1]
    return found


def _chapter_faults(chapter: ChapterFile, owners: dict[str, str], fixtures: Path | None) -> Iterator[str]:
    try:
        requirements = chapter.load().requirements
    except InvalidConfiguration as error:
        yield str(error)
        return
    for identifier in requirements:
        if identifier in owners:
            yield f"{chapter.path}: requirement {identifier} is also one of {owners[identifier]}"
        owners[identifier] = chapter.name
    unproved = set(requirements)
    for file in chapter.cases():
        try:
            case = file.load()
            problems = [*_case_faults(case, file, fixtures)]
        except InvalidConfiguration as error:
            yield str(error)
            continue
        unproved.discard(case.requirement)
        if case.requirement not in requirements:
            problems.append(f"requirement: {case.requirement} is not in {chapter.path.name}")
        yield from (f"{file.path}: {problem}" for problem in problems)
    yield from (f"{chapter.path}: requirement {identifier} has no case" for identifier in sorted(unproved))


def _case_faults(case: Case, file: CaseFile, fixtures: Path | None) -> Iterator[str]:
    if not _KEBAB_CASE.fullmatch(file.name):
        yield "the file's name is not in kebab case"
    for need in case.needs:
        if need not in CAPABILITIES:
            yield f"needs: {need!r} is not a capability"
        elif need in PARTS:
            parts = ", ".join(PARTS[need])
            yield f"needs: {need!r} stands for several capabilities: name those that it needs of {parts}"
    needed = {*case.needs}
    actors = case.cast()
    for name, count in Counter(actor.name for actor in actors).items():
        if count > 1:
            yield f"actors: {name!r} is used {count} times"
    for actor in actors:
        yield from _actor_faults(actor, str(file.path), fixtures)
        missing = {*_implied(actor, str(file.path), fixtures)} - needed
        yield from (f"needs: {need!r} is missing" for need in sorted(missing))
    yield from (f"needs: {need!r} is missing" for need in sorted({*_figures_without_claims(case)} - needed))
    at_once = case.concurrency > 1 or (len(actors) > 1 and case.schedule == "at-once")
    if at_once and "concurrent" not in needed:
        yield "needs: 'concurrent' is missing"
    if case.expect.is_measured and "host-rss" not in needed:
        yield "needs: 'host-rss' is missing"


def _actor_faults(actor: Actor, where: str, fixtures: Path | None) -> Iterator[str]:
    for name in actor.imports or ():
        if name not in HOST_LIBRARY:
            yield f"imports: {name!r} is not in the host library"
    known: set[str] = set()
    for index, step in enumerate(actor.steps, 1):
        before = actor.steps[index - 2] if index > 1 else None
        if before and not before.expect.may_go_on and not step.fresh and step.phase != "configure":
            yield f"steps[{index - 1}]: the store of the previous step has ended: `fresh = true` is missing"
        if step.name in known:
            yield f"steps[{index - 1}].name: {step.name!r} is used twice"
        if step.name:
            known.add(step.name)
    for index, step in enumerate(actor.steps):
        expectations = [getattr(step.expect, name) for name in FIGURES]
        try:
            expectations.append(as_bounds(step.expect.value))
        except msgspec.ValidationError as error:
            yield f"steps[{index}].expect.value: {error}"
        for bounds in expectations:
            if isinstance(bounds, Bounds):
                for other in (bounds.of, bounds.same_as):
                    if other is not None and other not in known:
                        yield f"steps[{index}].expect: there is no step {other!r}"
    if not actor.steps:
        yield f"actor {actor.name!r} has no steps"


def _is_exact_fuel(expected: Expected | None, actor: Actor) -> bool:
    """Return whether this amount of fuel depends on wasmtime's costs.

    Zero and the whole budget are the same on every runtime.
    """
    if expected is None or isinstance(expected, Bounds):
        return False
    budget = limits_on_wire(actor.limits).get("fuel", ResourceLimits.DEFAULT_FUEL)
    return expected not in (0, budget)


def _implied(actor: Actor, where: str, fixtures: Path | None) -> Iterator[str]:
    """Yield the capabilities that an actor needs, derived from its guest, imports and expectations."""
    if any(step.phase == "configure" for step in actor.steps):
        yield "manifest"
    if all(step.phase == "configure" for step in actor.steps):
        return
    yield from _implied_by_answers(actor)
    if any(_is_exact_fuel(step.expect.fuel_consumed, actor) for step in actor.steps):
        yield "fuel-as-wasmtime"
    text = source_text(actor, where, fixtures)
    while comment := _COMMENT.match(text):
        text = text[comment.end() :]
    is_component = text.lstrip().startswith("(component")
    yield "component" if is_component else "module"
    if _BULK.search(text):
        yield "bulk-memory"
    if actor.imports:
        yield "imports"
    if actor.wasi is not None:
        yield "wasi-p2" if is_component else "wasi-p1"
        if actor.wasi.folder:
            yield "open-files-limit"


def _implied_by_answers(actor: Actor) -> Iterator[str]:
    """Yield the capabilities without which no runtime can give the expected answers."""
    for step in actor.steps:
        expect = step.expect
        if len(expect.verdicts) == 1 and expect.verdicts[0] in _NEEDED_FOR_VERDICT:
            yield _NEEDED_FOR_VERDICT[expect.verdicts[0]]
        if expect.verdicts == (Verdict.OUT_OF_MEMORY,) and "instantiate" not in (expect.phase, step.phase):
            yield "memory-denials"
        if expect.verdicts == (Verdict.RESOURCE_LIMIT,):
            resources = [expect.resource] if isinstance(expect.resource, str) else expect.resource or ()
            yield from (_NEEDED_FOR_RESOURCE.get(resource, f"{resource}-limit") for resource in resources)
        if expect.fastest_ms is not None:
            yield "timeout-10ms"


def _figures_without_claims(case: Case) -> Iterator[str]:
    """Yield the capabilities for the figures of a case that has no other expectations.

    Null is a right answer for a figure that a runtime does not promise. Every runtime would pass a case that only
    expects figures, so such a case needs the capabilities that promise them.
    """
    steps = [step.expect for actor in case.cast() for step in actor.steps]
    whole = case.expect
    if any(
        expect.verdicts != (Verdict.OK,)
        or expect.value is not UNSET
        or expect.limits is not None
        or expect.elapsed_ms is not None
        or "value" in expect.steady
        for expect in steps
    ) or (whole.is_measured or whole.elapsed_ms is not None):
        return
    for expect in steps:
        for figure, capability in FIGURE_CAPABILITIES.items():
            expected = getattr(expect, figure)
            may_be_unknown = expected is None or (isinstance(expected, Bounds) and expected.may_be_unknown)
            if figure in expect.steady or not may_be_unknown:
                yield capability
