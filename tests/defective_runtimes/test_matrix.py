"""Every planted defect is convicted by a case that the sound runtime passes: the recorded one; `-m matrix`: by all."""

from __future__ import annotations

import pytest

from defective_runtimes import matrix, record
from defective_runtimes.catalogue import DEFECTS
from defective_runtimes.trial import CASES, Trial, adapter
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.engine import WasmEngine

if not record.DATA.exists():
    pytest.skip("no matrix is on record: python tests/defective_runtimes/matrix.py", allow_module_level=True)

QUICK = record.quick_cases()


def test_the_record_holds_every_defect_and_the_case_that_convicts_it():
    assert [*QUICK] == [*DEFECTS]
    assert {*QUICK.values()} <= {*CASES}


def test_a_defect_says_what_it_is():
    assert [name for name, defect in DEFECTS.items() if not defect.sentence.endswith(".")] == []


@pytest.mark.parametrize("case", sorted({*QUICK.values()}))
def test_the_sound_runtime_passes(case, engine, tmp_path):
    assert Trial(InProcessRuntime(engine), tmp_path).findings(case) == []


@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if not defect.alone])
def test_a_defect_is_convicted(name, monkeypatch, tmp_path):
    DEFECTS[name].plant(monkeypatch)
    engine = WasmEngine()
    assert Trial(InProcessRuntime(engine), tmp_path).findings(QUICK[name])
    engine.close()


@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if defect.alone])
def test_a_defect_is_convicted_in_a_process_of_its_own(name, tmp_path):
    runtime = adapter(name)
    assert Trial(runtime, tmp_path).findings(QUICK[name])
    runtime.close()


@pytest.mark.matrix
def test_every_defect_is_convicted_and_the_sound_runtime_is_not():
    assert matrix.main([]) == 0
