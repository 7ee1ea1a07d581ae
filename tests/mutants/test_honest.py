"""A runtime that names only what it has is never blamed: the mutants that lack something, and say so."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from mutants import record
from mutants.catalogue import MUTANTS
from mutants.mutant import answering
from mutants.trial import CASES, Trial
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.conformance.matching import mismatches
from pytest_airssys_wasm.conformance.runner import missing_capabilities
from pytest_airssys_wasm.protocol.messages import PARTS, promised
from pytest_airssys_wasm.runtime.engine import WasmEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_airssys_wasm.conformance.matching import Mismatch
    from pytest_airssys_wasm.conformance.model import Case
    from pytest_airssys_wasm.conformance.runner import Observation
    from pytest_airssys_wasm.protocol.messages import StepAnswer

ROWS = record.read().mutants

# What a runtime lacks, and the mutants that lack it.
LACKING = {
    "fuel-limit": ["no-fuel-limit", "no-fuel-limit-in-components", "no-fuel-limit-in-start-functions"],
    "timeout-limit": ["no-timeout-in-start-functions"],
    "timeout-in-host": ["no-timeout-in-host-functions", "no-timeout-in-wasi"],
    "timeout-10ms": ["fifty-milliseconds-late", "blocked-guests-are-given-up-late"],
    "store-memory-limit": ["a-limit-for-each-memory"],
    "gc-heap-limit": ["the-gc-heap-is-free"],
    "memory-limit": ["the-initial-size-is-free"],
    "memory-denials": ["modules-that-despair-have-trapped", "components-that-despair-have-trapped"],
    "tables-limit": ["any-number-of-tables"],
    "table-elements-limit": ["tables-of-any-size"],
    "instances-limit": ["any-number-of-instances"],
    "memories-limit": ["any-number-of-memories"],
    "transfer-limit": ["any-amount-is-transferred", "small-values-are-free", "results-are-free"],
    "output-limit": ["any-amount-is-written", "stderr-is-not-limited"],
    "deterministic-nans": ["nan-bits-are-the-machines"],
    "no-threads": ["has-threads", "threads-are-part-of-components"],
    "web-limits": [
        *("branch-tables-are-short", "expressions-are-short", "segments-are-few", "exports-are-few"),
        *("elements-are-few", "locals-are-few", "globals-are-few", "types-are-few", "fields-are-few"),
    ],
}

# What a runtime does not tell, and so answers otherwise: null, or names of its own.
SILENT: dict[str, Callable[[StepAnswer], dict[str, Any]]] = {
    "fuel-count": lambda answer: {"fuel_consumed": None},
    "memory-peak": lambda answer: {"peak_memory_bytes": None},
    "memory-denials": lambda answer: {"denied_growths": None},
    "trap-kinds": lambda answer: {} if answer.trap is None else {"trap": "something-of-the-runtime"},
}


class _Honest(InProcessRuntime):
    """A runtime that does not name some capabilities, nor those of which they are parts."""

    lacking: tuple[str, ...] = ()

    def hello(self):
        said = super().hello()
        whole = {name for name, parts in PARTS.items() if set(parts) & {*self.lacking}}
        named = [name for name in said.capabilities if name not in whole | {*self.lacking}]
        return structs.replace(said, capabilities=named)


def _blamed(lacking: Iterable[str], cases: Iterable[str], folder) -> dict[str, list[str]]:
    engine = WasmEngine()
    runtime = _Honest(engine)
    runtime.lacking = tuple(lacking)
    trial = Trial(runtime, folder)
    found = {case: findings for case in cases if (findings := trial.findings(case))}
    engine.close()
    return found


def _blamed_for_silence(cases: Iterable[str], folder) -> dict[str, list[str]]:
    """Run the cases once, and judge what was seen for each silence: it takes only fields from answers."""
    with WasmEngine() as engine:
        judge = partial(_mismatches_of_silence, engine)
        # What is left behind is measured, and no answer; and nothing hangs.
        trial = Trial(InProcessRuntime(engine), folder, soaks=False, hurries=False, judge=judge)
        return {case: findings for case in cases if (findings := trial.findings(case))}


def _mismatches_of_silence(engine: WasmEngine, case: Case, seen: Observation) -> Iterator[Mismatch]:
    for capability, change in SILENT.items():
        runtime = _Honest(engine)
        runtime.lacking = (capability,)
        if missing_capabilities(case, runtime):
            continue
        passes = []
        for one in seen.passes:
            answers = [answer and structs.replace(answer, **change(answer)) for answer in one.answers]
            passes.append(structs.replace(one, answers=tuple(answers)))
        silent = structs.replace(seen, passes=tuple(passes), capabilities=promised(runtime.hello().capabilities))
        for found in mismatches(case, silent):
            yield structs.replace(found, message=f"without {capability}: {found.message}")


def _of_each_chapter(cases: Iterable[str], most: int) -> list[str]:
    chapters: dict[str, list[str]] = {}
    for case in cases:
        if case in CASES:
            chapters.setdefault(case.partition("/")[0], []).append(case)
    return [case for found in chapters.values() for case in islice(found, most)]


def _is_slow(case: str) -> bool:
    return case.startswith(("cleanup/", "async/")) or "isolated-compile" in CASES[case].needs


PAIRS = [(capability, name) for capability, names in LACKING.items() for name in names]


@pytest.mark.parametrize(("capability", "name"), PAIRS)
def test_a_runtime_that_does_not_claim_what_it_lacks_is_not_blamed(capability, name, monkeypatch, tmp_path):
    MUTANTS[name].plant(monkeypatch)
    cases = _of_each_chapter([case for case in ROWS[name].cases if case in CASES and not _is_slow(case)], 3)
    assert _blamed([capability], cases, tmp_path) == {}


@pytest.mark.matrix
@pytest.mark.parametrize(("capability", "name"), PAIRS)
def test_no_case_blames_it(capability, name, monkeypatch, tmp_path):
    MUTANTS[name].plant(monkeypatch)
    assert _blamed([capability], [case for case in ROWS[name].cases if case in CASES], tmp_path) == {}


@pytest.mark.slow
def test_a_runtime_that_does_not_claim_to_tell_is_not_blamed_for_its_silence(tmp_path):
    every = [case for case in CASES if not _is_slow(case) and not case.startswith(("hostile/", "timeout/"))]
    assert _blamed_for_silence(_of_each_chapter(every, 4), tmp_path) == {}


@pytest.mark.matrix
@pytest.mark.parametrize("chapter", dict.fromkeys(case.partition("/")[0] for case in CASES))
def test_no_case_blames_a_silence(chapter, tmp_path):
    assert _blamed_for_silence([case for case in CASES if case.startswith(f"{chapter}/")], tmp_path) == {}


def test_what_is_told_wrongly_is_blamed_all_the_same(monkeypatch, tmp_path):
    answering(monkeypatch, lambda answer, _: {"fuel_consumed": 7, "trap": answer.trap and "stack-overflow"})
    cases = ["fuel/a-loop-is-stopped", "traps/unreachable-in-a-module"]
    assert list(_blamed(["fuel-count", "trap-kinds"], cases, tmp_path)) == cases


def test_a_runtime_with_modules_alone_still_has_much_to_pass(tmp_path):
    runtime = _Honest(WasmEngine())
    said = runtime.hello().capabilities
    runtime.lacking = tuple(name for name in said if name not in ("module", "wat"))
    assert sum(not missing_capabilities(case, runtime) for case in CASES.values()) > 50
