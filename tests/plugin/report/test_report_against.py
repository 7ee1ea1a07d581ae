"""`--wasm-report-against`: what differs from an earlier report is told in the terminal, in Markdown and in HTML."""

from __future__ import annotations

import json

import pytest

HEAD = """
import pytest
pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB"), pytest.mark.timeout_ms(20_000)]
def test_other(component): component.add(1, 2)
"""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory, guest_at):
    """The report of an earlier run, which is the same for every test."""
    project = guest_at(tmp_path_factory.mktemp("earlier") / "project")
    project.write(test_a=HEAD + "def test_count(component): component.count(10)\ndef test_fine(): pass\n")
    assert project.run("--wasm-report=old.json").code == 0
    return project.path("old.json").read_bytes()


@pytest.fixture
def recorded(guest, earlier):
    """A project with a report of an earlier run, in which one test was cheaper and another one passed."""
    guest.path("old.json").write_bytes(earlier)
    guest.write(test_a=HEAD + "def test_count(component): component.count(20)\ndef test_fine(): assert not 'fine'\n")
    return guest


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_differences_are_in_the_terminal_and_in_both_reports(recorded, workers):
    ran = recorded.run("--wasm-report-against=old.json", "--wasm-report=x.md", "--wasm-report=x.html", "-n", workers)
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert "WebAssembly: changes since old.json" in ran.text
    assert "1 test with another outcome, 1 cost differs" in ran.text
    assert "outcome  test_a.py::test_fine: passed before, failed now" in ran.text
    assert "cost     test_a.py::test_count: kernels.wat count: 51 fuel before, 101 fuel (+50, +98.0 %) now" in ran.text
    text = recorded.path("x.md").read_text("utf-8")
    assert "### Changes since <code>old.json</code>" in text
    assert "| 51 fuel | 101 fuel (+50, +98.0 %) |" in text
    assert "101 fuel (+50, +98.0 %)" in recorded.path("x.html").read_text("utf-8")


@pytest.mark.slow
def test_a_partial_run_tells_nothing_of_the_tests_that_it_left_out(recorded):
    ran = recorded.run("--wasm-report-against=old.json", "test_a.py::test_other")
    assert ran.code == 0
    assert "2 tests not run this time" in ran.text
    assert "removed" not in ran.text
    assert "outcome" not in ran.text


@pytest.mark.slow
def test_the_report_may_replace_the_one_that_it_is_compared_with(recorded):
    options = ("--wasm-report=old.json", "--wasm-report-against=old.json")
    assert "1 test with another outcome, 1 cost differs" in recorded.run(*options).text
    assert "no differences" in recorded.run(*options).text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "expected JSON, as --wasm-report x.json writes it, got something else at line 1, column 2"),
        ("\udcff", "expected JSON, as --wasm-report x.json writes it, got a file that is not text in UTF-8"),
        ("[]", "old.json"),
        (json.dumps({"format": 2}), "old.json: format: expected 1, which this version reads, got 2"),
    ],
)
def test_a_file_that_is_not_a_report_is_a_usage_error_that_names_it(project, content, told):
    project.path("old.json").write_text(content, errors="surrogateescape")
    ran = project.run("--wasm-report-against=old.json")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --wasm-report-against: " in ran.text
    assert "old.json" in ran.text
    assert told in ran.text
    assert "Traceback" not in ran.text
    project.write(pytest_ini="[pytest]\nwasm_report_against = old.json\n")
    assert "ERROR: ini value wasm_report_against: " in project.run().text
