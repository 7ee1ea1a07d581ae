"""A slice of the evidence; `python tests/evidence/evidence.py` makes all of the trials."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from evidence import exceptions, laws, limits, profiles, snapshots
from evidence.claim import Claim
from evidence.evidence import CLAIMS, main
from evidence.planted import EDITS, KERNELS, Project
from support.kernels import EDIT, N, function, module, times


@pytest.mark.slow
@pytest.mark.parametrize("make", [exceptions.exceptions, laws.coefficients, profiles.splits, profiles.slowdowns])
def test_a_few_trials_show_no_fault(engine, make):
    claim = make(engine, 3)
    assert (claim.trials, claim.wrong) == (3, ())


@pytest.mark.slow
def test_a_guest_without_a_law_is_counted(engine, tmp_path, monkeypatch):
    guest = tmp_path / "chaos.wat"
    mixed = f"(i32.mul {N} (i32.const 0x9E3779B1))"
    guest.write_text(
        module(
            function(times(f"(i32.and (i32.xor {mixed} (i32.shr_u {mixed} (i32.const 13))) (i32.const 1023))", EDIT))
        )
    )
    monkeypatch.setattr(laws, "GUESTS", {})
    claim = laws.of_guests(engine, 1, [(guest, "f")])
    assert len(claim.wrong) == 1
    assert claim.wrong[0].startswith("chaos.wat f has no law: ")


def _with(**changed):
    """Return a search for the tightest limits whose result is wrong."""
    search = limits.analysis.tightest_limits

    def wrong(*args, **options):
        found = search(*args, **options)
        for name, change in changed.items():
            object.__setattr__(found, name, change(getattr(found, name)))
        return found

    return wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"fuel": lambda fuel: fuel - 1}, ["some call ends otherwise under"]),
        ({"memory": lambda memory: memory + 65_537}, ["changes nothing, but the witness is wasi:cli"]),
        ({"witnesses": lambda _: {}}, ["the witness is None"]),
    ],
    ids=["right", "too low", "too high", "without witnesses"],
)
def test_limits_that_are_not_the_tightest_are_counted(engine, monkeypatch, changed, said):
    name = "C, a command"
    monkeypatch.setattr(limits, "GUESTS", {name: limits.GUESTS[name]})
    monkeypatch.setattr(limits.analysis, "tightest_limits", _with(**changed))
    claim = limits.tightest(engine, 1)
    assert claim.trials > 4
    assert bool(claim.wrong) == bool(said)
    for text in said:
        assert any(text in one for one in claim.wrong), claim.wrong


@pytest.mark.slow
def test_a_few_planted_changes_are_told_as_what_they_are(forks):
    assert snapshots.edits(4, forks).wrong == ()


@pytest.mark.slow
def test_a_pair_of_runs_gives_no_false_alarm():
    assert snapshots.pairs(1, [Path(sys.executable)]).wrong == ()


@pytest.mark.parametrize("name", EDITS)
def test_a_change_that_is_told_as_another_one_is_seen(name):
    project = Project()
    costs = dict.fromkeys(project.entries(*KERNELS), 1000)
    planted = EDITS[name](project, costs, random.Random(1))
    told = {key: (state, planted.more) for key, state in planted.expected.items()}
    status = int(planted.is_to_fail)
    assert planted.contradiction(told, status) == ""
    assert planted.contradiction(told, 1 - status) != ""
    assert planted.contradiction({**told, ("test_9.py::test_other", "f"): ("regressed", 1)}, status) != ""
    if told:
        assert planted.contradiction({}, status) != ""


def test_a_claim_that_does_not_hold_makes_the_exit_status_1(monkeypatch, capsys):
    def wrong(options):
        yield Claim(text="snow is black", trials=3, wrong=("it is white",))

    monkeypatch.setitem(CLAIMS, "splits", wrong)
    assert main(["splits"]) == 1
    assert "| snow is black | 3 | 1 |" in capsys.readouterr().out
