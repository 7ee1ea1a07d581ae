"""A runtime that says that all is well passes nothing."""

from __future__ import annotations

import os

import pytest
from msgspec import structs

from pytest_airssys_wasm.conformance.matching import mismatches
from pytest_airssys_wasm.conformance.runner import CaseRunner, missing_capabilities
from pytest_airssys_wasm.protocol.messages import CAPABILITIES, PARTS
from support.bundled_cases import CASES

FIGURES = {"fuel_consumed": 1, "elapsed_ms": 50.0, "peak_memory_bytes": 65_536, "denied_growths": 0}
TEXTS = {"stdout": b"", "stderr": b""}
TELLING = {"fuel-count", "memory-peak", "memory-denials", "output", "trap-kinds", *PARTS, "fuel-as-wasmtime"}

# What it promises, and what it tells beside `ok` and null.
RUNTIMES = {
    "and tells nothing": (set(CAPABILITIES) - TELLING, {}),
    "and promises to tell all": (set(CAPABILITIES), {}),
    "and tells likely figures": (set(CAPABILITIES), FIGURES | TEXTS),
}


@pytest.mark.slow
@pytest.mark.usefixtures("no_guests")
@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_that_always_answers_ok_passes_no_case(name, scripted, answer, tmp_path, monkeypatch):
    monkeypatch.setattr("pytest_airssys_wasm.conformance.measure.sleep", lambda _: None)
    capabilities, told = RUNTIMES[name]
    runtime = scripted(answer(value=None, **told))
    runtime.capabilities = sorted(capabilities)
    runtime.process_ids = lambda: (os.getpid(),)
    passed = []
    for node_id, case in CASES.items():
        case = structs.replace(case, repeat=min(case.repeat, 2))
        assert missing_capabilities(case, runtime) == () or name == "and tells nothing"
        if not missing_capabilities(case, runtime):
            seen = CaseRunner(runtime, tmp_path).run(case, node_id)
            if not mismatches(case, seen):
                passed.append(node_id)
    assert passed == []
