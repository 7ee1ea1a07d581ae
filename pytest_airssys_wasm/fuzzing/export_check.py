"""The check `fuzz[<export>]`: an export ends well, and always the same, whatever arguments of its types it gets."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.fuzzing.guidance import guided
from pytest_airssys_wasm.fuzzing.minimising import minimise
from pytest_airssys_wasm.fuzzing.pasteable import as_json, as_python, as_toml, python_call, python_imports, quoted
from pytest_airssys_wasm.fuzzing.search import Search, known_examples
from pytest_airssys_wasm.fuzzing.trials import Finding, Guest, call_text, judge, probe, unrecorded
from pytest_airssys_wasm.fuzzing.varying import Variations
from pytest_airssys_wasm.fuzzing.wit_values import all_values
from pytest_airssys_wasm.protocol.values import decode
from pytest_airssys_wasm.runtime.base.figures import seconds
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.guest.constants import constants_of
from pytest_airssys_wasm.runtime.manifest.fuzz import GROWTH
from pytest_airssys_wasm.runtime.manifest.model import FuzzTable
from pytest_airssys_wasm.validation.cut_off import SearchCutOff
from pytest_airssys_wasm.validation.unfit import Unfit, remedy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_airssys_wasm.fuzzing.search import Found, Plan
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.validation.candidate import Candidate


class UnneededAllowance(UserWarning):
    """The warning that `[fuzz.allow]` accepts an end that no example had."""


_REMEDIES = {
    "misfit": "correct the component: its result does not have the declared type",
    "differs": "find what differs from run to run: a clock, a random number, or a host function that remembers",
    "overrun": "report it: a limit of this package does not hold",
}


def check_export(candidate: Candidate, export: str, plan: Plan) -> str:
    """Call an export with generated arguments, each time in fresh instances, and return a note.

    Raises `Unfit` with the smallest arguments that show a fault, and `Blocked` if the component cannot be instantiated.
    """
    with candidate.instantiated():
        pass  # an earlier check reports the reason
    guest, table = guest_of(candidate), table_of(candidate)
    allowed, needed = frozenset(table.allow.get(export, ())), set[str]()
    types = guest.component.parameter_types(export)

    def tried(args: tuple[Any, ...]) -> Finding | None:
        return judge(guest, export, args, allowed, needed)

    constants = constants_of(guest.component)
    variations = Variations(types, constants=constants, max_size=table.max_size, random=Random(plan.seed))
    trials = guided(guest) if plan.is_guided and types else None
    with unrecorded(guest.engine), trials or nullcontext():

        def probed(args: tuple[Any, ...]) -> Finding | None:
            return (trials.probe if trials else partial(probe, guest))(export, args, allowed, needed)

        search = Search[tuple[Any, ...]](
            plan=plan,
            judge=tried,
            vary=variations.of,
            probe=probed,
            pick=trials.pick if trials else None,
        )
        read = partial(_read, types=types)
        found = search.replay(known_examples(plan), read)
        if found is None:
            found = search.generate(all_values(types, max_size=table.max_size, constants=constants))
        if found is not None:
            search.allow_shrinking()
            minimise(found.example, types, search.fails, search.is_over)
            search.is_cut = search.is_over()
            found = search.found
    if found is not None:
        search.keep({"args": [as_json(one) for one in found.example]})
        raise _unfit(candidate, guest, export, found, search)
    tell_if_cut_off(candidate, plan, is_cut=search.is_cut)
    return note_of(search, needed, unneeded(table, [export], needed), trials.note if trials else None)


def tell_if_cut_off(candidate: Candidate, plan: Plan, *, is_cut: bool) -> None:
    """Tell the candidate that a search without a fault was cut off by its time.

    Searches of the profile `nightly` go on until their time is up, so these are never cut off.
    """
    if is_cut and plan.profile != "nightly":
        candidate.tell(SearchCutOff(time_s=plan.time_s))


def cut_off_text(plan: Plan) -> str:
    """Return the words of a note about a search that went on until its time was up."""
    return f"{'searched for' if plan.profile == 'nightly' else 'cut off after'} {seconds(plan.time_s)} s"


def guest_of(candidate: Candidate) -> Guest:
    """Return the guest of a candidate that can be instantiated."""
    component = candidate.load()
    return Guest(
        engine=candidate.engine,
        component=component,
        limits=candidate.limits,
        host=candidate.served(component).host,
        wasi=candidate.wasi,
    )


def table_of(candidate: Candidate) -> FuzzTable:
    """Return the table `[fuzz]` of a candidate's manifest, or its defaults."""
    return FuzzTable() if candidate.manifest is None else candidate.manifest.fuzz


def unneeded(table: FuzzTable, exports: Sequence[str], needed: set[str]) -> list[str]:
    """Return the allowances for these exports that nothing needed."""
    return [
        f"{export}: {one}"
        for export in exports
        for one in table.allow.get(export, ())
        if one not in needed and one != GROWTH
    ]


def note_of(search: Search[Any], needed: set[str], not_needed: Sequence[str], reached: str | None = None) -> str:
    """Return the note of a search that found nothing; `reached` are the blocks that a guided one has reached."""
    parts = [f"{counted(search.examples, 'example')}, seed {search.plan.seed}"]
    if reached:
        parts.append(reached)
    if search.is_cut:
        parts.append(cut_off_text(search.plan))
    if needed:
        parts.append(f"as allowed: {', '.join(sorted(needed))}")
    if not_needed:
        text = f"[fuzz.allow] has allowances that no example needed: {', '.join(not_needed)}"
        parts.append(text)
        if search.plan.profile != "quick" and not search.is_cut:
            warnings.warn(UnneededAllowance(text), stacklevel=2)
    return "; ".join(parts)


def _read(entry: Any, types: Sequence[Any]) -> tuple[Any, ...] | None:
    args = entry["args"]
    if not isinstance(args, list) or len(args) != len(types):
        return None
    return tuple(map(decode, args, types))


def _unfit(candidate: Candidate, guest: Guest, export: str, found: Found[Any], search: Search[Any]) -> Unfit:
    finding, args = found.finding, found.example
    component = guest.component
    reason = f"{call_text(component, export, args)} {finding.sentence}"
    details = [
        found_line(search),
        *entry_lines(export, args),
        *test_lines(candidate, component, export, args),
    ]
    unfit = Unfit(reason, _advice(finding, export, candidate.origins), details)
    unfit.__cause__ = finding.error
    return unfit


def found_line(search: Search[Any]) -> str:
    """Return the line that says how an example was found, and how to find it again."""
    plan = search.plan
    cut = f"; the search for a smaller one was cut off after {plan.shrink_s:g} s" if search.is_cut else ""
    if search.is_known:
        return f"found by an example that an earlier run has kept{cut}"
    return f"found among {counted(search.examples, 'example')} (profile {plan.profile}, seed {plan.seed}){cut}"


def entry_lines(export: str, args: Sequence[Any]) -> list[str]:
    """Return the lines of a `[[tests]]` entry that fails as long as the call does not return."""
    name = f"fuzz: {export}({', '.join(map(as_toml, args))})"
    return [
        "to keep it, in Component.toml:",
        "  [[tests]]",
        f"  name = {quoted(name if len(name) <= 80 else name[:79] + '…')}",
        f"  call = {quoted(export)}",
        f"  args = [{', '.join(map(as_toml, args))}]",
        '  verdict = "ok"',
    ]


def test_lines(candidate: Candidate, component: Component, export: str, args: Sequence[Any]) -> list[str]:
    """Return the lines of a Python test that makes the call."""
    texts = [as_python(one) for one in args]
    return ["or in Python:", *(f"  {line}" for line in python_test(candidate, texts, [python_call(export, texts)]))]


def python_test(candidate: Candidate, texts: Sequence[str], statements: Sequence[str]) -> list[str]:
    """Return the lines of a Python test with these statements; `texts` are expressions in them."""
    lines = [*python_imports(texts), "", f'@pytest.mark.component("{candidate.wasm.name}")']
    if candidate.manifest is None:
        limits = candidate.limits
        lines.append(f"@pytest.mark.memory({limits.memory})")
        lines.append(f"@pytest.mark.fuel({limits.fuel})")
    return [*lines, "def test_found_by_fuzzing(component):", *(f"    {one}" for one in statements)]


def _advice(finding: Finding, export: str, origins: Mapping[str, str]) -> str:
    if finding.kind in _REMEDIES:
        return _REMEDIES[finding.kind]
    assert isinstance(finding.error, WasmError)
    return f"{remedy(finding.error, origins)}; if it is right, allow it: {allowance(export, finding.kind)}"


def allowance(export: str, kind: str) -> str:
    """Return the line of `[fuzz.allow]` that accepts this kind of end."""
    return f"[fuzz.allow] {quoted(export)} = [{quoted(kind)}]"
