"""What is on record is confirmed by few kills, and where one fails by others."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mutants import matrix, record
from mutants.kills import Kills
from mutants.proof import Proof
from mutants.record import Record, Row

WIDE = Row(digest="1", quick="memory/c", killed_by={"fuel": ["a", "b"], "memory": ["c"]})
NARROW = Row(digest="1", quick="fuel/a", killed_by={"fuel": ["a"]})


def proof_of(shy=(), **rows):
    return Proof(Record(cases=dict.fromkeys(["fuel/a", "fuel/b", "memory/c"], "1"), mutants=rows), shy=shy)


def test_in_each_cell_a_kill_is_asked_for_and_of_each_case():
    proof = proof_of(wide=WIDE, narrow=NARROW)
    assert proof.asked() == {"wide": ["fuel/a", "memory/c", "fuel/b"], "narrow": ["fuel/a"]}


def test_a_cell_asks_for_a_case_that_no_other_has():
    proof = proof_of(narrow=NARROW, wide=WIDE)
    assert proof.asked() == {"narrow": ["fuel/a"], "wide": ["fuel/b", "memory/c"]}


def test_a_mutant_that_is_shy_is_asked_no_more_than_its_cells():
    row = Row(digest="1", quick="fuel/a", killed_by={"fuel": ["a", "b"]})
    for shy, other in (("first", "second"), ("second", "first")):
        asked = proof_of(shy={shy}, first=row, second=row, third=NARROW).asked()
        assert asked[shy] == ["fuel/a"]
        assert asked[other] == ["fuel/a", "fuel/b"]


def test_what_is_found_is_asked_no_more():
    proof = proof_of(wide=WIDE, narrow=NARROW)
    asked = proof.asked()
    proof.add(asked, dict.fromkeys(asked, ()))
    assert proof.asked() == {}
    assert [*proof.open_cells] == []
    assert proof.open_cases == set()


def test_where_a_mutant_survives_another_case_is_asked_for():
    proof = proof_of(narrow=NARROW, wide=WIDE)
    asked = proof.asked()
    proof.add(asked, {"narrow": [], "wide": ["fuel/b", "memory/c"]})
    assert [*proof.open_cells] == [("wide", ["fuel/a", "fuel/b"]), ("wide", ["memory/c"])]
    assert proof.open_cases == {"fuel/b", "memory/c"}
    assert proof.open_mutants == ["wide"]
    assert proof.asked() == {"wide": ["fuel/a"]}
    proof.add({"wide": ["fuel/a"]}, {"wide": []})
    assert [*proof.open_cells] == [("wide", ["memory/c"])]
    assert proof.open_mutants == []
    assert proof.asked() == {}


def test_a_mutant_whose_only_kill_was_missed_is_tried_again():
    proof = proof_of(narrow=NARROW)
    proof.add({"narrow": ["fuel/a"]}, {"narrow": ["fuel/a"]})
    assert proof.asked() == {"narrow": ["fuel/a"]}
    proof.add({"narrow": ["fuel/a"]}, {"narrow": []})
    assert proof.open_mutants == []
    assert proof.asked() == {}


def test_an_unknown_mutant_is_not_taken_for_the_sound_runtime():
    asked = [sys.executable, str(Path(__file__).with_name("adapter.py")), "no_timeout"]
    ran = subprocess.run(asked, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert ran.returncode == 1
    assert "there is no mutant 'no_timeout'" in ran.stderr


@pytest.mark.parametrize("findings", [{}, {"fuel/a": "expected ok, got a trap"}])
def test_the_sound_runtime_must_pass_what_mutants_are_killed_by(monkeypatch, capsys, findings):
    """The mutants are not tried here: each counts as killed."""
    tried = []

    def find_kills(name, cases):
        tried.extend(cases)
        return Kills(name=name, findings=findings, quick=None, took_s=0.0)

    monkeypatch.setattr(matrix, "find_kills", find_kills)
    monkeypatch.setattr(matrix, "survived", lambda name, cases: [])
    known = record.read()
    with ThreadPoolExecutor(1) as worker:
        assert matrix.check(known, worker) is (not findings)
    assert {*tried} == {*known.cases}
    assert ("sound, fuel/a: expected ok, got a trap" in capsys.readouterr().out) is bool(findings)
