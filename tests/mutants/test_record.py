"""The record forgets what is out of date, and nothing else."""

from __future__ import annotations

import argparse
import importlib.util
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import structs

from mutants import digests, matrix, page, record
from mutants.record import Record, Row


@pytest.fixture
def today(monkeypatch):
    """Tell the record which cases and mutants there are."""

    def tell(cases, mutants):
        monkeypatch.setattr(record, "case_digests", lambda: cases)
        monkeypatch.setattr(record, "mutant_digests", lambda: mutants)

    return tell


@pytest.fixture
def worker():
    with ThreadPoolExecutor(1) as executor:
        yield executor


KNOWN = Record(
    cases={"fuel/a": "1", "fuel/b": "1", "memory/c": "1"},
    mutants={
        "wide": Row(digest="1", quick="fuel/a", killed_by={"fuel": ["a", "b"], "memory": ["c"]}),
        "narrow": Row(digest="1", quick="memory/c", killed_by={"memory": ["c"]}),
    },
)


def test_what_has_not_changed_is_known(today):
    today(KNOWN.cases, {"wide": "1", "narrow": "1"})
    assert KNOWN.of_today() == KNOWN


def test_a_changed_case_is_untried_on_each_mutant(today):
    today({**KNOWN.cases, "memory/c": "2"}, {"wide": "1", "narrow": "1"})
    found = KNOWN.of_today()
    assert found.untried == {"wide": ["memory/c"], "narrow": ["memory/c"]}
    assert found.mutants["wide"].cases == ["fuel/a", "fuel/b"]
    assert found.mutants["narrow"].quick is None
    assert found.idle == ["memory/c"]


def test_a_changed_mutant_is_untried_on_each_case(today):
    today(KNOWN.cases, {"wide": "1", "narrow": "2", "new": "1"})
    found = KNOWN.of_today()
    assert found.untried == {"narrow": [*KNOWN.cases], "new": [*KNOWN.cases]}
    assert found.mutants["wide"] == KNOWN.mutants["wide"]


def test_a_mutant_of_which_only_the_text_changed_is_renewed_with_its_row(today):
    today({**KNOWN.cases, "memory/c": "2"}, {"wide": "2", "narrow": "2", "new": "1"})
    assert KNOWN.reworded() == {"wide": "fuel/a"}
    renewed = KNOWN.renewed(["wide"])
    assert renewed.mutants["wide"] == structs.replace(KNOWN.mutants["wide"], digest="2")
    assert renewed.mutants["narrow"] == KNOWN.mutants["narrow"]
    assert renewed.of_today().untried == {
        "wide": ["memory/c"],
        "narrow": [*KNOWN.cases],
        "new": [*KNOWN.cases],
    }


def test_a_renewal_keeps_the_rows_of_the_mutants_that_are_killed_again(today, worker, monkeypatch, tmp_path):
    today(KNOWN.cases, {"wide": "2", "narrow": "2"})
    monkeypatch.setattr(record, "DATA", tmp_path / "matrix.json")
    monkeypatch.setattr(page, "PAGE", tmp_path / "matrix.md")
    monkeypatch.setattr(page, "page", lambda known: "")
    monkeypatch.setattr(matrix, "survived", lambda name, cases: cases if name == "narrow" else [])
    assert matrix.renew(KNOWN, worker).untried == {"narrow": [*KNOWN.cases]}
    assert {name: row.digest for name, row in record.read().mutants.items()} == {"wide": "2", "narrow": "1"}


def test_a_renewal_keeps_the_columns_of_the_cases_that_kill_again(today, worker, monkeypatch, tmp_path):
    today({**KNOWN.cases, "fuel/b": "2", "memory/c": "2", "memory/new": "1"}, {"wide": "1", "narrow": "1"})
    monkeypatch.setattr(record, "DATA", tmp_path / "matrix.json")
    monkeypatch.setattr(page, "PAGE", tmp_path / "matrix.md")
    monkeypatch.setattr(page, "page", lambda known: "")
    monkeypatch.setattr(matrix, "_is_quick", lambda name: True)
    monkeypatch.setattr(matrix, "survived", lambda name, cases: [case for case in cases if case == "fuel/b"])
    assert KNOWN.reworded_cases() == {"fuel/b": ["wide"], "memory/c": ["wide", "narrow"]}
    assert matrix.renew(KNOWN, worker).untried == {"wide": ["fuel/b", "memory/new"], "narrow": ["fuel/b", "memory/new"]}
    assert record.read().cases == {"fuel/a": "1", "fuel/b": "1", "memory/c": "2"}


def test_new_mutants_are_tried_on_new_cases_first(today):
    today({**KNOWN.cases, "memory/new": "1"}, {"wide": "1", "narrow": "1", "new": "1"})
    options = argparse.Namespace(new=True, again=False, mutant=[], chapter=None)
    assert matrix._asked(KNOWN.of_today(), options) == {"new": ["memory/new"]}


def test_what_is_written_is_read_back_and_has_a_line_for_each_row(today, worker, monkeypatch, tmp_path):
    monkeypatch.setattr(record, "DATA", tmp_path / "matrix.json")
    record.write(KNOWN)
    assert record.read() == KNOWN
    assert len(record.DATA.read_text("utf-8").splitlines()) == len(KNOWN.cases) + len(KNOWN.mutants) + 6


def test_what_is_gone_is_forgotten(today):
    today({"fuel/a": "1", "fuel/b": "1"}, {"wide": "1"})
    found = KNOWN.of_today()
    assert found.untried == {}
    assert found.mutants == {"wide": Row(digest="1", quick="fuel/a", killed_by={"fuel": ["a", "b"]})}


def test_a_try_that_is_interrupted_is_still_to_be_finished(today):
    today({**KNOWN.cases, "memory/c": "2"}, {"wide": "1", "narrow": "1"})
    found = KNOWN.of_today().after_a_try("narrow", {"memory/c"}, ["memory/c"], "memory/c")
    assert found.untried == {"wide": ["memory/c"]}
    assert found.of_today() == found
    assert found.mutants["narrow"] == KNOWN.mutants["narrow"]


def test_a_case_that_a_mutant_survives_kills_it_no_more():
    found = KNOWN.after_a_try("wide", {"fuel/a", "memory/c"}, ["memory/c"], None)
    assert found.mutants["wide"] == Row(digest="1", quick="fuel/b", killed_by={"fuel": ["b"], "memory": ["c"]})
    assert found.idle == ["fuel/a"]


def test_a_mutant_is_its_function_and_what_that_uses(tmp_path):
    def reached(text):
        path = tmp_path / "room.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("room", path)
        room = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(room)
        return digests._reached("plant", digests._definitions(room))

    text = "SIZE = 1\ndef beside():\n    return 2\ndef used():\n    return SIZE\ndef plant(patch):\n    used()\n"
    assert reached(text) == reached(text.replace("2", "3"))
    assert reached(text) != reached(text.replace("1", "3"))
