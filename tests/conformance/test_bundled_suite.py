"""The bundled suite is sound as data, and no case of it is so weak that it convicts nobody."""

from __future__ import annotations

import pytest
from msgspec import structs

from pytest_airssys_wasm.conformance.lint import faults
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.conformance.matching import mismatches
from pytest_airssys_wasm.conformance.runner import CaseRunner

CASES = {case.node_id: case for chapter in find_chapters() for case in chapter.cases()}


def test_the_suite_has_no_faults():
    assert faults() == []


def test_the_suite_covers_what_it_promises():
    chapters = {chapter.name for chapter in find_chapters()}
    assert chapters >= {"config", "fuel", "timeout", "priority", "memory", "traps", "isolation"}
    assert len(CASES) >= 75


@pytest.mark.slow
@pytest.mark.usefixtures("no_guests")
@pytest.mark.parametrize("node_id", CASES)
def test_a_case_convicts_runtimes_that_always_say_the_same(node_id, scripted, answer, tmp_path):
    indifferent = {
        "always fine": answer("ok", elapsed_ms=1.0),
        "always a trap": answer("trap", trap="unreachable", elapsed_ms=1.0),
        "always out of fuel": answer("out-of-fuel", elapsed_ms=1.0),
        "always late": answer("timeout", elapsed_ms=60_000.0),
        "always refused": answer("invalid-config"),
        "always dead": answer("runtime-died"),
    }
    case = CASES[node_id].load()
    case = structs.replace(case, repeat=min(case.repeat, 2))
    acquitted = [
        name
        for name, same in indifferent.items()
        if not mismatches(case, CaseRunner(scripted(same), tmp_path).run(case, node_id))
    ]
    # A case of one verdict cannot tell the runtime that knows no other; what it must not do is pass two.
    assert len(acquitted) <= 1
    assert "always dead" not in acquitted
