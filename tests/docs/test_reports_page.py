"""The page docs/reports.md describes the reports as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_airssys_wasm.reporting import json_report
from pytest_airssys_wasm.reporting.model import FORMAT
from pytest_airssys_wasm.reporting.write import SUFFIXES, check_path, write
from support.checkout import DOCS
from support.records import execution, report

TEXT = (DOCS / "reports.md").read_text("utf-8")
TYPES = {"integer": "integer", "number": "number", "string": "string", "boolean": "boolean", "array": "list"}


def documented(heading):
    """Fields and types below this heading."""
    section = TEXT.partition(f"### {heading}\n")[2].partition("\n###")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE))


def named(schema):
    if "$ref" in schema:
        return "object"
    if "anyOf" in schema:
        return " or ".join(named(each) for each in schema["anyOf"])
    return TYPES.get(schema["type"], schema["type"])


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("The report", "Report"),
        ("`session`", "SessionInfo"),
        ("`tests`", "TestRecord"),
        ("`requirements`", "RequirementRecord"),
        ("`executions`", "ExecutionRecord"),
    ],
)
def test_every_field_is_documented_with_its_type(heading, name):
    properties = json_report.schema()["$defs"][name]["properties"]
    assert documented(heading) == {field: named(schema) for field, schema in properties.items()}


def test_the_format_and_the_suffixes_are_the_documented_ones():
    assert f"`format` is {FORMAT};" in TEXT
    assert tuple(re.findall(r"^\| `(\.\w+)` \|", TEXT, re.MULTILINE)) == SUFFIXES
    for path in re.findall(r"--wasm-report (\S+\.\w+)", TEXT):
        check_path(Path(path))


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(report(executions=[execution(fuel_consumed=900), execution(fuel_limit=None)]), Path("report.json"))
    (example,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    exec(compile(example, "docs/reports.md", "exec"), {})
    assert capsys.readouterr().out == "tests/test_a.py::test_a: run used 900 of 1,000\n"
