"""One project, whatever pytest is asked to do with it, and whichever plugins of others are there."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest

from support.project_of_all import (
    CONFTEST,
    CONFTEST_OF_HOSTED,
    FAILED,
    GUEST,
    HOSTED,
    MANIFEST,
    MANIFEST_OF_HOSTED,
    SHOUTS,
    TESTS_OF_HOSTED,
    TESTS_OF_TEXT,
    TITLE_CASES,
    Session,
)


@pytest.fixture(scope="module")
def project(tmp_path_factory, suite_at):
    """Two components with manifests, tests in Python, host functions, and a suite: some of each fail."""
    folder = tmp_path_factory.mktemp("sessions") / "project"
    folder.mkdir()
    project = suite_at(folder)
    project.plugins = None
    project.environment["COLUMNS"] = "200"  # then no column of the table is left out
    with project.path("conftest.py").open("a") as conftest:
        conftest.write(CONFTEST)
    project.write(
        pytest_ini="""
            [pytest]
            markers = slow: takes long
            asyncio_default_fixture_loop_scope = function
            """
    )
    shutil.copy(GUEST, project.path("text/text-transform.wasm"))
    project.write(
        **{
            "text/Component_toml": MANIFEST,
            "text/test_text": TESTS_OF_TEXT,
            "host/hosted_wat": HOSTED,
            "host/Component_toml": MANIFEST_OF_HOSTED,
            "host/test_host": TESTS_OF_HOSTED,
            "host/conftest": CONFTEST_OF_HOSTED,
        }
    )
    return project


@pytest.fixture(scope="module")
def plain(project):
    """The session that all others are compared with."""
    session = Session(project, "-v", "-p", "no:randomly")
    assert session.code == pytest.ExitCode.TESTS_FAILED
    assert {test for test, outcome in session.in_order if outcome == "failed"} == FAILED
    assert len(session.tests) == len(session.in_order) == 33
    return session


@pytest.mark.slow
def test_the_records_tell_what_pytest_tells(plain):
    assert plain.told == {test: "skipped" if outcome == "xfailed" else outcome for test, outcome in plain.in_order}
    transforms = [one for one in plain.executions.elements() if json.loads(one)["export"] == "transform"]
    assert ["transform", str(len(transforms))] in [row[:2] for row in plain.table]


@pytest.mark.slow
def test_what_a_check_found_is_shown_with_v_alone(project, plain):
    note = "declares 131,072 of 1,048,576 bytes of memory"
    assert f"  limits: {note}" in plain.ran.text
    quiet = Session(project, "text/Component.toml::limits").ran
    assert quiet.results == {"text/Component.toml::limits": "passed"}
    assert note not in quiet.text


def slow(argument):
    """Return a case that the gates alone try: with workers a session takes seconds."""
    return pytest.param(argument, marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        "-s --import-mode=importlib --doctest-modules --strict-markers --strict-config -p no:cacheprovider",
        "-q --asyncio-mode=auto --cov=text --timeout=60 --timeout-method=thread --randomly-seed=2 -p no:xdist",
        slow("-n2 --dist=load --cov=text --asyncio-mode=auto --randomly-seed=3"),
        slow("-n2 --dist=loadscope -p no:randomly -p no:cacheprovider -o junit_family=xunit1 --junitxml=out.xml"),
        slow("-n2 --dist=loadfile --import-mode=importlib --timeout=60"),
        slow("-n2 --dist=loadgroup --doctest-modules -p no:timeout -p no:cov -p no:rerunfailures"),
        slow("-n2 --dist=worksteal -v --strict-markers --strict-config --maxfail=99"),
    ],
)
def test_an_arrangement_changes_neither_outcomes_nor_records(project, plain, arguments):
    session = Session(project, *arguments.split())
    assert session.code == plain.code
    assert session.outcomes == plain.outcomes
    assert session.executions == plain.executions
    assert session.table == (plain.table if "-v" in arguments.split() else [])


@pytest.mark.slow
def test_each_worker_runs_everything_with_dist_each(project, plain):
    session = Session(project, "--dist=each", "--tx=2*popen")
    assert session.code == plain.code
    assert session.outcomes == plain.outcomes + plain.outcomes
    assert session.executions == plain.executions + plain.executions
    assert session.told == plain.told


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), slow(("-n2",))], ids=["here", "workers"])
def test_last_failed_runs_exactly_what_failed(project, plain, workers):
    Session(project, "--cache-clear", *workers)
    again = Session(project, "--lf", *workers)
    assert again.tests == FAILED
    assert again.code == pytest.ExitCode.TESTS_FAILED
    if not workers:
        first = Session(project, "--ff", "-p", "no:randomly")
        assert {test for test, _ in first.in_order[: len(FAILED)]} == FAILED
        assert first.outcomes == plain.outcomes


@pytest.mark.slow
def test_stepwise_goes_on_at_the_check_that_failed(project):
    arguments = ("--sw", "-p", "no:randomly", "text/Component.toml", "--deselect=conformance")
    stopped = Session(project, "--cache-clear", *arguments)
    assert stopped.code == pytest.ExitCode.INTERRUPTED
    assert stopped.in_order[-1] == [SHOUTS, "failed"]
    assert len(stopped.in_order) > 1
    assert Session(project, *arguments).in_order == [[SHOUTS, "failed"]]


@pytest.mark.slow
def test_x_stops_at_the_first_failure(project, plain):
    session = Session(project, "-x", "-p", "no:randomly")
    assert session.code == pytest.ExitCode.TESTS_FAILED
    failing = [outcome for _, outcome in plain.in_order].index("failed")
    assert session.in_order == plain.in_order[: failing + 1]
    assert session.told == {test: plain.told[test] for test, _ in session.in_order}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        (("-k", "shouts or four"), {SHOUTS, "host/test_host.py::TestHost::test_four"}),
        (("-m", "slow"), {"text/test_text.py::test_wrong", "host/test_host.py::TestHost::test_wrong"}),
        ((TITLE_CASES, SHOUTS, "-n2"), {SHOUTS, TITLE_CASES}),
        (
            (SHOUTS, TITLE_CASES, "conformance/alpha/adds-up", f"--deselect={TITLE_CASES}"),
            {SHOUTS, "conformance/alpha/adds-up"},
        ),
    ],
    ids=["-k", "-m", "node-ids", "--deselect"],
)
def test_checks_are_selected_as_tests_are(project, plain, arguments, selected):
    session = Session(project, *arguments)
    assert session.tests == selected
    assert session.told == {test: plain.told[test] for test in selected}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), slow(("-n2",))], ids=["here", "workers"])
def test_named_binaries_outside_the_rootdir_have_node_ids_of_their_own(project, tmp_path, workers):
    sound, broken = tmp_path / "guest.wasm", tmp_path / "größer, aber kaputt" / "guest.wasm"
    shutil.copy(GUEST, sound)
    broken.parent.mkdir()
    broken.write_bytes(b"no component")
    named = [f"--wasm-component={path}" for path in (sound, sound, broken)]
    where = (f"--rootdir={project.folder}", f"-c{project.folder}/pytest.ini")
    others = ("conformance/alpha/adds-up", "host/test_host.py::TestHost::test_four")
    limits = ("--wasm-memory=1MiB", "--wasm-timeout-ms=10000")
    arguments = (*named, *where, *limits, *others, str(tmp_path), *workers)
    session = Session(project, "--cache-clear", *arguments)
    checks = ("loads", "imports", "limits", "instantiates", "deterministic")
    expected = {f"{path}::{check}" for path in (sound, broken) for check in checks}
    assert session.tests == {*expected, *others}
    assert len(session.in_order) == len(session.tests)
    assert Session(project, "--lf", *arguments).in_order == [[f"{broken}::loads", "failed"]]


@pytest.mark.slow
def test_a_binary_that_goes_after_collection_is_told_by_the_check_loads(project):
    shutil.copytree(project.folder / "text", project.folder / "gone")
    project.path("gone/conftest.py").write_text(
        "from pathlib import Path\n"
        "def pytest_collection_finish(session):\n"
        "    for name in ('Component.toml', 'text-transform.wasm'):\n"
        "        Path(__file__).with_name(name).unlink()\n"
    )
    try:
        session = Session(project, "gone/Component.toml", "--deselect=conformance")
    finally:
        shutil.rmtree(project.folder / "gone")
    gone = dict(session.in_order)
    assert gone.pop("gone/Component.toml::manifest") == "passed"
    assert gone.pop("gone/Component.toml::loads") == "failed"
    assert set(gone.values()) == {"skipped"}


@pytest.mark.parametrize("workers", [(), slow(("-n2",))], ids=["here", "workers"])
def test_node_ids_select_from_another_folder(project, workers):
    session = Session(project, "../text/Component.toml::tests[shouts, wrongly]", *workers, cwd=project.folder / "host")
    assert session.in_order == [[SHOUTS, "failed"]]
    assert "rerun    pytest --airssys-wasm '../text/Component.toml::tests[shouts, wrongly]'" in session.ran.text


@pytest.mark.slow
def test_collecting_runs_nothing(project, plain):
    session = Session(project, "--collect-only", "-q", "-p", "no:randomly", "-n2")
    assert session.code == pytest.ExitCode.OK
    assert session.in_order == []
    assert not session.executions
    assert [line for line in session.ran.text.splitlines() if line in plain.tests] == [
        test for test, _ in plain.in_order
    ]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["", slow("-n2 --reruns=1 -o junit_family=xunit1")])
def test_junit_has_the_sums_of_each_test_once(project, plain, arguments):
    session = Session(project, "--junitxml=out.xml", *arguments.split())
    expected = Counter(json.loads(one)["test"] for one in plain.executions.elements())
    told = {}
    for case in ElementTree.parse(project.folder / "out.xml").iter("testcase"):
        properties = {one.get("name"): one.get("value") for one in case.iter("property")}
        assert len(properties) == len(case.findall(".//property"))
        told[f"{case.get('classname')}.{case.get('name')}"] = int(properties.get("wasm_executions", 0))
    assert {test: count for test, count in told.items() if count} == {
        re.sub(r"\.py::|::|/", ".", test): count for test, count in expected.items()
    }
    # Of several attempts the last one decides; all are recorded.
    assert session.told == plain.told
    attempts = {json.loads(one)["test"] for one in session.executions - plain.executions}
    assert attempts == ({test for test in FAILED if test in expected} if "--reruns=1" in arguments else set())
