"""Every mutant is killed, every case kills one, and that is on record of the mutants and cases of today.

`-m matrix` tries kills of each mutant and of each case, each mutant in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from mutants import matrix, page, record
from mutants.catalogue import MUTANTS

KNOWN = record.read()

RENEW = "python tests/mutants/matrix.py, with --renew where only texts have changed, with --new where minutes must do"


def test_the_record_is_of_the_mutants_and_cases_of_today():
    assert KNOWN.of_today() == KNOWN, RENEW


def test_the_page_is_what_the_record_says():
    assert page.PAGE.read_text("utf-8") == page.page(KNOWN), RENEW


def test_the_file_is_as_the_program_writes_it():
    assert record.DATA.read_text("utf-8") == record.text(KNOWN), RENEW


def test_every_mutant_is_killed():
    assert [name for name, row in KNOWN.mutants.items() if not row.cases or row.quick not in row.cases] == []


def test_every_case_kills_a_mutant():
    assert KNOWN.idle == []


def test_a_mutant_says_what_it_is():
    assert [name for name, mutant in MUTANTS.items() if not mutant.sentence.endswith(".")] == []


@pytest.mark.matrix
def test_what_is_on_record_happens_again():
    # A process of its own, for it is forked, which one in which tests ran must not be.
    assert subprocess.run([sys.executable, matrix.__file__, "--check"]).returncode == 0
