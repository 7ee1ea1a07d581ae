"""Every execution is recorded with the test that caused it: in the summary, in files and in JUnit."""

from __future__ import annotations

import json
import re

import pytest

TESTS = """
import pytest
pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB"), pytest.mark.timeout_ms(20_000)]

def test_adds(component):
    assert [component.add(n, n) for n in range(3)] == [0, 2, 4]

@pytest.mark.fuel(100)
def test_counts(component):
    component.count(1_000)

def test_alone(wasm_engine, wasm_limits):
    wasm_engine.execute(wasm_engine.load("kernels.wat"), "add", 1, 2, limits=wasm_limits)

@pytest.mark.skip(reason="not today")
def test_skipped(component): ...

@pytest.mark.xfail(reason="known", strict=True)
def test_expected(component):
    component.boom()
"""
REPORTS = ("--wasm-report=out/r.json", "--wasm-report", "a/r.md", "--wasm-report", "r.html", "--junitxml=j.xml")


@pytest.fixture(scope="module", params=[(), ("-n", "1")], ids=["alone", "in a worker"])
def reported(request, tmp_path_factory, guest_at):
    """A project after a run that wrote every report, and that run."""
    project = guest_at(tmp_path_factory.mktemp("reported") / "project")
    project.write(test_a=TESTS)
    return project, project.run(*REPORTS, *request.param)


def executions(data):
    return sorted((one["test"].partition("::")[2], one["export"] or "", one["verdict"]) for one in data["executions"])


@pytest.mark.slow
def test_each_execution_is_recorded_once_wherever_it_ran(reported):
    project, ran = reported
    data = json.loads(project.path("out/r.json").read_text())
    assert ran.code == 1
    assert executions(data) == [
        ("test_adds", "", "ok"),
        *[("test_adds", "add", "ok")] * 3,
        ("test_alone", "add", "ok"),
        ("test_counts", "", "ok"),
        ("test_counts", "count", "out-of-fuel"),
        ("test_expected", "", "ok"),
        ("test_expected", "boom", "trap"),
    ]
    (failed,) = (one for one in data["executions"] if one["verdict"] == "out-of-fuel")
    assert failed["call"] == "count(1000)"
    assert (failed["fuel_consumed"], failed["fuel_limit"], failed["memory_limit_bytes"]) == (100, 100, 2**20)
    assert failed["component"] == "kernels.wat"
    outcomes = {one["test"].partition("::")[2]: (one["outcome"], one["reason"]) for one in data["tests"]}
    assert outcomes["test_adds"] == ("passed", None)
    assert outcomes["test_skipped"] == ("skipped", "not today")
    assert outcomes["test_expected"] == ("skipped", "expected to fail: known")
    assert outcomes["test_counts"][0] == "failed"
    assert outcomes["test_counts"][1].startswith("pytest_airssys_wasm.OutOfFuel: the fuel budget of 100")


@pytest.mark.slow
def test_without_an_option_there_is_no_summary(reported):
    assert "WebAssembly executions" not in reported[1].text


@pytest.mark.slow
def test_the_summary_is_shown_when_it_is_asked_for(guest):
    guest.write(test_a=TESTS)
    for flag in ("-v", "--wasm-summary"):
        text = guest.run(flag).text.partition("= WebAssembly executions =")[2]
        assert re.search(r"^  add +4 ", text, re.MULTILINE)
        assert "out-of-fuel 1" in text


@pytest.mark.slow
def test_records_reach_junit_as_properties(reported):
    xml = reported[0].path("j.xml").read_text()
    (case,) = re.findall(r'<testcase [^>]*name="test_counts".*?</testcase>', xml, re.DOTALL)
    for name, value in (("executions", "2"), ("verdicts", "ok, out-of-fuel"), ("fuel", "100")):
        assert f'<property name="wasm_{name}" value="{value}" />' in case


@pytest.mark.slow
def test_each_format_is_written_and_told(reported):
    project, ran = reported
    assert "out-of-fuel" in project.path("a/r.md").read_text()
    assert project.path("r.html").read_text().startswith("<!doctype html>")
    assert f"wasm report: {project.folder}/out/r.json, {project.folder}/a/r.md, {project.folder}/r.html" in ran.text


def test_a_report_that_cannot_be_written_fails_the_run(guest):
    guest.write(test_a="def test_a(): pass")
    guest.path("file").write_text("")
    ran = guest.run("--wasm-report=file/r.json")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert f"wasm report {guest.folder}/file/r.json could not be written" in ran.text
    assert "Traceback" not in ran.text


@pytest.mark.slow
def test_the_suite_is_recorded_by_requirement_and_not_by_execution(suite):
    suite.run("--airssys-wasm", "--wasm-report=r.json")
    data = json.loads(suite.path("r.json").read_text())
    assert data["executions"] == []
    kinds = {one["test"]: (one["kind"], one["requirement"], one["outcome"]) for one in data["tests"]}
    assert kinds["conformance/alpha/adds-up"] == ("case", "ALPHA-1", "passed")
    assert kinds["conformance/alpha/wants-three"] == ("case", "ALPHA-1", "failed")
    assert kinds["conformance/laws/always"][0] == "law"
    assert {one["id"] for one in data["requirements"]} == {"ALPHA-1", "BETA-1"}
