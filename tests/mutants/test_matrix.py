"""Every planted defect is convicted, every case convicts one, and that is on record of the defects and cases of today.

`-m matrix` tries one conviction of each defect and of each case, each defect in a process of its own.
"""

from __future__ import annotations

import pytest

from mutants import matrix, page, record
from mutants.catalogue import DEFECTS
from mutants.trial import CASES, Trial
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.engine import WasmEngine

KNOWN = record.read()

RENEW = "python tests/mutants/matrix.py"

CHANCES = 5
"""On a busy machine a defect that is a race may go by."""


def test_the_record_is_of_the_defects_and_cases_of_today():
    today = KNOWN.of_today()
    assert today.untried == {}, RENEW
    assert today == KNOWN, RENEW


def test_the_page_is_what_the_record_says():
    assert page.PAGE.read_text("utf-8") == page.page(KNOWN), RENEW


def test_every_defect_is_convicted():
    assert [name for name, row in KNOWN.defects.items() if not row.cases or row.quick not in row.cases] == []


def test_every_case_convicts_a_defect():
    assert KNOWN.idle == []


def test_a_defect_says_what_it_is():
    assert [name for name, defect in DEFECTS.items() if not defect.sentence.endswith(".")] == []


@pytest.mark.parametrize("case", sorted({row.quick for row in KNOWN.defects.values()} & {*CASES}))
def test_the_sound_runtime_passes(case, engine, tmp_path):
    assert Trial(InProcessRuntime(engine), tmp_path).findings(case) == []


@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if not defect.alone])
def test_a_defect_is_convicted(name, monkeypatch, tmp_path):
    quick = KNOWN.defects[name].quick
    DEFECTS[name].plant(monkeypatch)
    engine = WasmEngine()
    trial = Trial(InProcessRuntime(engine), tmp_path)
    assert any(trial.findings(quick) for _ in range(CHANCES))
    engine.close()


@pytest.mark.matrix
def test_what_is_on_record_happens_again():
    assert matrix.main(["--check"]) == 0
