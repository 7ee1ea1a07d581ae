"""JSON: what is written is read back, and what cannot be read says where."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from pytest_airssys_wasm.reporting import json_report
from pytest_airssys_wasm.reporting.model import Report
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from support.records import execution, outcome, report, reports

SAMPLE = report(tests=[outcome()], executions=[execution(), execution(fuel_limit=None, export=None)])


def has_surrogates(text):
    return any("\ud800" <= character <= "\udfff" for character in text)


@pytest.mark.slow
@given(reports)
def test_what_is_written_is_read_back(written):
    text = json_report.render(written)
    assert not has_surrogates(text)
    read = msgspec.convert(json.loads(text), Report)
    if not has_surrogates(json.dumps(msgspec.to_builtins(written), ensure_ascii=False)):
        assert read == written


def test_a_file_is_read_back(tmp_path):
    (tmp_path / "report.json").write_text(json_report.render(SAMPLE), "utf-8")
    assert json_report.read(tmp_path / "report.json") == SAMPLE


def test_the_format_is_the_first_thing_in_it():
    assert json_report.render(SAMPLE).startswith('{\n "format": 1,')


def test_fields_that_came_later_are_no_error(tmp_path):
    data = json.loads(json_report.render(SAMPLE)) | {"colour": "blue"}
    (tmp_path / "report.json").write_text(json.dumps(data))
    assert json_report.read(tmp_path / "report.json") == SAMPLE


@pytest.mark.parametrize(
    ("old", "new", "place", "wanted"),
    [
        ('"fuel_consumed": 100', '"fuel_consumed": -1', "executions[0].fuel_consumed", "`int` >= 0"),
        ('"fuel_consumed": 100', '"fuel_consumed": "x"', "executions[0].fuel_consumed", "`int`, got 'x'"),
        ('"outcome": "passed"', '"outcome": "great"', "tests[0].outcome", "passed|failed|skipped"),
        ('"limits"', '"limitz"', "session.limits", "this key, got 'nothing'"),
        ('"format": 1', '"format": 2', "format", "1, which this version reads, got 2"),
        ('"format": 1,', "", "format", "got 'nothing'"),
        ('"wall_ms": 1.0', '"wall_ms": NaN', "executions[0].wall_ms", "got nan"),
        ("{", "[", "report.json", "expected JSON"),
    ],
)
def test_an_error_names_file_and_place(tmp_path, old, new, place, wanted):
    path = tmp_path / "report.json"
    text = json_report.render(SAMPLE)
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(InvalidConfiguration) as raised:
        json_report.read(path)
    assert str(raised.value).startswith(str(path))
    assert place in str(raised.value)
    assert wanted in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\xff", b"7", b"null", b"[" * 100_000])
def test_what_is_no_report_is_an_error(tmp_path, content):
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(InvalidConfiguration, match=r"report\.json"):
        json_report.read(tmp_path / "report.json")


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InvalidConfiguration, match="a readable file"):
        json_report.read(tmp_path / "none.json")


def test_a_report_without_end_is_an_error():
    with pytest.raises(InvalidConfiguration, match="a device, not a regular file"):
        json_report.read(Path("/dev/zero"))


def test_the_schema_describes_every_field():
    schema = json_report.schema()
    definitions = schema["$defs"]
    for name, struct in json_report_structs().items():
        assert set(definitions[name]["properties"]) == set(struct.__struct_fields__)
    assert "units of fuel" in definitions["ExecutionRecord"]["properties"]["fuel_consumed"]["description"]


def json_report_structs():
    from pytest_airssys_wasm.reporting import model

    return {
        name: value
        for name, value in vars(model).items()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct
    }
