"""Conformance cases are real pytest items, in any folder, whatever pytest is asked to do with them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

ADDS, TRAPS, WRONG = (f"conformance/alpha/{name}" for name in ("adds-up", "traps-are-fatal", "wants-three"))
SKIPPED, UNREADABLE = (f"conformance/beta/{name}" for name in ("needs-a-session", "is-not-read"))
HOLDS, BROKEN = (f"conformance/laws/{name}" for name in ("always", "never"))
ENDINGS = {
    ADDS: "passed",
    TRAPS: "passed",
    WRONG: "failed",
    UNREADABLE: "failed",
    HOLDS: "passed",
    BROKEN: "failed",
}


def test_without_the_option_nothing_of_the_suite_is_there(suite):
    suite.write(test_own="def test_own(): pass")
    assert suite.run().results == {"test_own.py::test_own": "passed"}


@pytest.mark.slow
def test_the_suite_runs_in_a_folder_without_tests(suite):
    ran = suite.run("--airssys-wasm")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert ran.results == ENDINGS
    assert ran.count("skipped") == 1
    assert "the runtime does not name session" in ran.text
    assert "collected 7 items" in ran.text


@pytest.mark.slow
def test_the_ini_file_can_ask_for_the_suite(suite):
    suite.write(pytest_ini="[pytest]\nairssys_wasm = true\n")
    assert suite.run().results == ENDINGS


@pytest.mark.slow
def test_the_projects_own_tests_run_beside_it(suite):
    suite.write(test_own="def test_own(): pass")
    assert suite.run("--airssys-wasm").results == {"test_own.py::test_own": "passed", **ENDINGS}
    assert suite.run("--airssys-wasm", "test_own.py").results == {"test_own.py::test_own": "passed"}


@pytest.mark.slow
def test_a_failure_is_told_from_data(suite):
    text = suite.run("--airssys-wasm").text
    for line in (
        "One and one are three",
        "ALPHA-1: It is as ALPHA-1 says",
        "step 1 (add): value: expected 3, got 2",
        f"rerun: pytest --airssys-wasm {WRONG}",
        "beta/is-not-read.toml",
        "requirment",
    ):
        assert line in text
    assert "beta/needs-a-session.toml:1: the runtime does not name session" in text
    assert "Traceback" not in text
    assert "plugin/items.py" not in text


@pytest.mark.slow
def test_a_broken_law_is_told_with_its_smallest_example(suite):
    text = suite.run("--airssys-wasm", BROKEN).text
    for line in ("No number is greater than nine", "number=10", f"--airssys-wasm {BROKEN}"):
        assert line in text
    assert "runner.py" not in text


@pytest.mark.slow
def test_two_workers_give_the_same_verdicts(suite):
    suite.write(test_own="def test_own(): pass")
    ran = suite.run("--airssys-wasm", "-n", "2")
    assert ran.results == {"test_own.py::test_own": "passed", **ENDINGS}
    assert suite.run("--airssys-wasm", "-n", "2", ADDS, WRONG).results == {ADDS: "passed", WRONG: "failed"}


@pytest.mark.slow
def test_a_worker_is_dealt_all_laws_and_then_some_of_each_chapter(suite):
    suite.write(test_own="def test_own(): pass")
    text = suite.run("--airssys-wasm", "-n", "1", "-v").text
    places = [
        text.index(f" {name}") for name in ("test_own.py", HOLDS, BROKEN, ADDS, UNREADABLE, TRAPS, SKIPPED, WRONG)
    ]
    assert places == sorted(places)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((ADDS,), {ADDS: "passed"}),
        (("conformance/alpha/",), {ADDS: "passed", TRAPS: "passed", WRONG: "failed"}),
        (("conformance",), ENDINGS),
        ((ADDS, UNREADABLE), {ADDS: "passed", UNREADABLE: "failed"}),
        ((ADDS, "test_own.py"), {ADDS: "passed", "test_own.py::test_own": "passed"}),
        (("data/conformance/alpha/adds-up.toml",), {ADDS: "passed"}),
        (("data/conformance",), ENDINGS),
        (("data/conformance/alpha",), {ADDS: "passed", TRAPS: "passed", WRONG: "failed"}),
        (("-k", "adds"), {ADDS: "passed"}),
        (("-k", "always"), {HOLDS: "passed"}),
        (("-k", "alpha and not wants"), {ADDS: "passed", TRAPS: "passed"}),
        (("-m", "conformance"), ENDINGS),
        (("-m", "not conformance"), {"test_own.py::test_own": "passed"}),
        (
            (
                f"--deselect={WRONG}",
                "--deselect=conformance/beta",
                "--deselect=conformance/laws",
                "-m",
                "conformance",
            ),
            {ADDS: "passed", TRAPS: "passed"},
        ),
        (("-x", "-p", "no:randomly", "conformance"), {ADDS: "passed", TRAPS: "passed", WRONG: "failed"}),
    ],
    ids=str,
)
def test_cases_are_selected_as_tests_are(suite, arguments, expected):
    suite.write(test_own="def test_own(): pass")
    assert suite.run("--airssys-wasm", *arguments).results == expected


@pytest.mark.slow
def test_from_a_subfolder_the_ids_that_pytest_shows_select_too(suite):
    suite.write(pytest_ini="[pytest]\n")
    below = suite.folder / "below"
    below.mkdir()
    shown = suite.run("--airssys-wasm", "-v", "-c", "../pytest.ini", cwd=below)
    assert f"../{ADDS} PASSED" in shown.text
    ran = suite.run("--airssys-wasm", "-c", "../pytest.ini", f"../{ADDS}", cwd=below)
    assert ran.count("passed") == 1, ran.text


def test_an_unknown_case_is_a_usage_error_that_names_the_near_ones(suite):
    for argument in ("conformance/alpha/add-up", "conformance/alhpa"):
        ran = suite.run("--airssys-wasm", argument)
        assert ran.code == pytest.ExitCode.USAGE_ERROR
        assert f"ERROR: there is no conformance case or chapter {argument}; did you mean conformance/alpha" in ran.text


@pytest.mark.slow
def test_a_folder_of_the_same_name_stays_the_projects_own(suite):
    suite.path("conformance/test_own.py").write_text("def test_own(): pass")
    ran = suite.run("--airssys-wasm", "conformance/test_own.py::test_own", "-m", "not conformance")
    assert ran.results == {"conformance/test_own.py::test_own": "passed"}
    assert "conformance/test_own.py::test_own" in suite.run("--airssys-wasm", "conformance").results


@pytest.mark.slow
def test_last_failed_comes_back_alone_or_first(suite):
    suite.write(test_own="def test_own(): assert 1 == 2", test_fine="def test_fine(): pass")
    suite.run("--airssys-wasm")
    again = suite.run("--airssys-wasm", "--lf")
    wrong = ("test_own.py::test_own", WRONG, UNREADABLE, BROKEN)
    assert again.results == dict.fromkeys(wrong, "failed")
    assert "rerun previous 4 failures" in again.text
    first = suite.run("--airssys-wasm", "--ff", "-v").text
    assert first.index(f"{WRONG} FAILED") < first.index(f"{ADDS} PASSED")


@pytest.mark.slow
def test_collect_only_lists_the_node_ids(suite):
    listed = suite.run("--airssys-wasm", "--collect-only", "-q").text.splitlines()
    assert listed[:7] == sorted([*ENDINGS, SKIPPED], key=listed.index)
    tree = suite.run("--airssys-wasm", "--collect-only").text
    assert "<SuiteCollector conformance>" in tree
    assert "<CaseItem adds-up>" in tree


@pytest.mark.slow
def test_junit_has_every_case(suite):
    suite.run("--airssys-wasm", "--junitxml=out.xml")
    cases = ElementTree.parse(suite.folder / "out.xml").findall(".//testcase")
    assert {case.get("name") for case in cases} == {one.replace("/", ".") for one in (*ENDINGS, SKIPPED)}
    failed = {case.get("name") for case in cases if case.find("failure") is not None}
    assert failed == {one.replace("/", ".") for one in (WRONG, UNREADABLE, BROKEN)}


@pytest.mark.slow
def test_strict_markers_pass(suite):
    assert suite.run("--airssys-wasm", "--strict-markers", "--strict-config", ADDS).code == 0


def test_the_bundled_suite_is_found_without_a_checkout_beside_it(project):
    ran = project.run("--airssys-wasm", "--collect-only", "-q")
    assert "conformance/fuel/" in ran.text
    assert "conformance/laws/more-never-hurts" in ran.text
