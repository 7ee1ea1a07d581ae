"""The record forgets what is of yesterday, and nothing else."""

from __future__ import annotations

import importlib.util

import pytest

from mutants import digests, record
from mutants.record import Record, Row


@pytest.fixture
def today(monkeypatch):
    """Tells the record of which cases and defects there are."""

    def tell(cases, defects):
        monkeypatch.setattr(record, "case_digests", lambda: cases)
        monkeypatch.setattr(record, "defect_digests", lambda: defects)

    return tell


KNOWN = Record(
    cases={"fuel/a": "1", "fuel/b": "1", "memory/c": "1"},
    defects={
        "wide": Row(digest="1", quick="fuel/a", convicted_by={"fuel": ["a", "b"], "memory": ["c"]}),
        "narrow": Row(digest="1", quick="memory/c", convicted_by={"memory": ["c"]}),
    },
)


def test_what_has_not_changed_is_known(today):
    today(KNOWN.cases, {"wide": "1", "narrow": "1"})
    assert KNOWN.of_today() == KNOWN


def test_a_changed_case_is_untried_on_each_defect(today):
    today({**KNOWN.cases, "memory/c": "2"}, {"wide": "1", "narrow": "1"})
    found = KNOWN.of_today()
    assert found.untried == {"wide": ["memory/c"], "narrow": ["memory/c"]}
    assert found.defects["wide"].cases == ["fuel/a", "fuel/b"]
    assert found.defects["narrow"].quick is None
    assert found.idle == ["memory/c"]


def test_a_changed_defect_is_untried_on_each_case(today):
    today(KNOWN.cases, {"wide": "1", "narrow": "2", "new": "1"})
    found = KNOWN.of_today()
    assert found.untried == {"narrow": [*KNOWN.cases], "new": [*KNOWN.cases]}
    assert found.defects["wide"] == KNOWN.defects["wide"]


def test_what_is_gone_is_forgotten(today):
    today({"fuel/a": "1", "fuel/b": "1"}, {"wide": "1"})
    found = KNOWN.of_today()
    assert found.untried == {}
    assert found.defects == {"wide": Row(digest="1", quick="fuel/a", convicted_by={"fuel": ["a", "b"]})}


def test_a_try_that_is_interrupted_is_still_to_be_finished(today):
    today({**KNOWN.cases, "memory/c": "2"}, {"wide": "1", "narrow": "1"})
    found = KNOWN.of_today().after_a_try("narrow", {"memory/c"}, ["memory/c"], "memory/c")
    assert found.untried == {"wide": ["memory/c"]}
    assert found.of_today() == found
    assert found.defects["narrow"] == KNOWN.defects["narrow"]


def test_a_case_that_acquits_convicts_no_more():
    found = KNOWN.after_a_try("wide", {"fuel/a", "memory/c"}, ["memory/c"], None)
    assert found.defects["wide"] == Row(digest="1", quick="fuel/b", convicted_by={"fuel": ["b"], "memory": ["c"]})
    assert found.idle == ["fuel/a"]


def test_a_defect_is_its_function_and_what_that_uses(tmp_path):
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
