"""Writing: the suffix names the format, and nobody sees half a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_airssys_wasm.reporting import json_report, write
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from support.records import execution, outcome, report

SAMPLE = report(tests=[outcome()], executions=[execution(export="größe")])


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.json", "{"), ("a.md", "## "), ("a.html", "<!doctype html>"), ("A.JSON", "{"), ("a.b.md", "## ")],
)
def test_the_suffix_names_the_format(tmp_path, name, start):
    path = tmp_path / "some" / "folder" / name
    write.write(SAMPLE, path)
    assert path.read_text("utf-8").startswith(start)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["report", "report.txt", "json", ".json", "report.json.gz", "report.htm"])
def test_another_name_is_refused(tmp_path, name):
    with pytest.raises(InvalidConfiguration, match=r"^report: expected a file name that ends in \.json, \.md, \.html"):
        write.write(SAMPLE, tmp_path / "new" / name)
    assert not (tmp_path / "new").exists()


def test_a_folder_is_refused_and_the_option_named(tmp_path):
    (tmp_path / "report.md").mkdir()
    with pytest.raises(InvalidConfiguration, match=r"^--wasm-report: "):
        write.check_path(tmp_path / "report.md", "--wasm-report")


def test_a_good_name_is_accepted_before_its_folder_exists():
    write.check_path(Path("nowhere/report.html"))


def test_an_older_report_is_replaced_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("old")
    seen = []
    replace = Path.replace

    def watched(self, target):
        seen.append((path.read_text(), json_report.read(self)))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write.write(SAMPLE, path)
    assert seen == [("old", SAMPLE)]
    assert json_report.read(path) == SAMPLE


def test_a_failed_write_leaves_the_older_report_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("old")

    def full(self, data):
        self.touch()
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="space"):
        write.write(SAMPLE, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
