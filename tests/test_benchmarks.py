"""The benchmarks run, and their tables are complete. What they measure is not tested."""

from __future__ import annotations

import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    "one-shot execute",
    "one-shot module",
    "new instance, one call",
    "repeated call",
    "module call",
    "record of 8 fields",
    "string of 121 bytes",
    "result<string, string>",
    "1,000 list<string>",
    "one-shot text",
    "host call",
    "1 MiB bytes",
    "1 MiB string",
    "100k list<u32>",
    "awaited call",
    "12 MiB instantiation",
    "1,000 x 10 host sleeps of 5 ms",
    "process call",
    "warm load of a large guest",
    "two threads",
    "idle plugin",
    "1,000 marked tests collected",
    "1,000 tests with three markers each",
    "component test, end to end",
]


def rows_of(*arguments: str) -> list[tuple[str, ...]]:
    """Return the name, the ratio and the ratio to be reached of each row that is printed."""
    command = [sys.executable, "benchmarks/reach.py", "--quick", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = [re.match(r"(.+?) {2,}([0-9.]+) +([0-9.]+)  tried ", line) for line in ran.stdout.splitlines()]
    return [match.groups() for match in found if match]


def test_the_benchmarks_do_not_import_each_other_in_a_circle():
    files = {path.stem: path for path in (ROOT / "benchmarks").glob("*.py")}
    imported = {name: {*re.findall(r"^ *from (\w+) import", path.read_text(), re.M)} for name, path in files.items()}
    order = TopologicalSorter({name: found & {*files} for name, found in imported.items()}).static_order()
    assert {*order} == {*files}


@pytest.mark.slow
def test_a_row_can_be_chosen_by_its_name():
    assert [name for name, *_ in rows_of("repeated", "module c")] == ["repeated call", "module call"]


@pytest.mark.slow
def test_each_row_of_the_table_of_ratios_can_be_measured():
    found = rows_of()
    assert [name for name, *_ in found] == ROWS
    assert all(float(ratio) > 0 and float(most) > 0 for _, ratio, most in found)


@pytest.mark.slow
def test_a_session_with_many_guests_can_be_measured():
    command = [sys.executable, "benchmarks/many_guests.py", "--guests", "10"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(re.findall(r"^\S.+?  +\d+ ", ran.stdout, re.MULTILINE)) == 4, ran.stdout
