"""The bundled suite is sound as data, and no case of it is so weak that it convicts nobody."""

from __future__ import annotations

import pytest
from msgspec import structs

from pytest_airssys_wasm.conformance.lint import faults
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.conformance.matching import mismatches
from pytest_airssys_wasm.conformance.runner import CaseRunner


@pytest.mark.slow
def test_the_suite_has_no_faults():
    assert faults() == []


def test_the_suite_covers_what_it_promises():
    chapters = {chapter.name: chapter.cases() for chapter in find_chapters()}
    assert set(chapters) >= {"config", "fuel", "timeout", "priority", "memory", "traps", "isolation"}
    assert sum(map(len, chapters.values())) >= 75


@pytest.mark.slow
@pytest.mark.usefixtures("no_guests")
@pytest.mark.parametrize("chapter", find_chapters(), ids=lambda chapter: chapter.name)
def test_a_case_convicts_runtimes_that_always_say_the_same(chapter, scripted, answer, tmp_path):
    indifferent = {
        "always fine": answer("ok", elapsed_ms=1.0),
        "always a trap": answer("trap", trap="unreachable", elapsed_ms=1.0),
        "always out of fuel": answer("out-of-fuel", elapsed_ms=1.0),
        "always late": answer("timeout", elapsed_ms=60_000.0),
        "always refused": answer("invalid-config"),
        "always dead": answer("runtime-died"),
    }
    acquitted = {}
    for file in chapter.cases():
        case = file.load()
        case = structs.replace(case, repeat=min(case.repeat, 2))
        acquitted[file.node_id] = [
            name
            for name, same in indifferent.items()
            if not mismatches(case, CaseRunner(scripted(same), tmp_path).run(case, file.node_id))
        ]
    # A case of one verdict cannot tell the runtime that knows no other; what it must not do is pass two.
    assert {case: names for case, names in acquitted.items() if len(names) > 1 or "always dead" in names} == {}
