"""A command line runs what it names: the conformance suite if it is named, or if nothing is."""

from __future__ import annotations

import re

import pytest

SUITE = {
    "conformance/alpha/adds-up": "passed",
    "conformance/alpha/traps-are-fatal": "passed",
    "conformance/alpha/wants-three": "failed",
    "conformance/beta/is-not-read": "failed",
    "conformance/laws/always": "passed",
    "conformance/laws/never": "failed",
}
ALPHA = {node_id: outcome for node_id, outcome in SUITE.items() if "/alpha/" in node_id}
OWN = {"own/test_own.py::test_own": "passed", "own/Component.toml::loads": "passed"}
ELSEWHERE = {"other/test_other.py::test_other": "passed"}
MANIFEST = """
[component]
name = "kernels"
version = "1.0.0"
wasm = "kernels.wat"
[resources.memory]
max_bytes = 1048576
"""


@pytest.fixture
def both(suite):
    """A project with a suite, a component with a test in the folder `own`, and a test in another folder."""
    suite.path("own/test_own.py").write_text("def test_own(): pass")
    suite.path("own/Component.toml").write_text(MANIFEST)
    suite.path("own/kernels.wat").write_text("(module)")
    suite.path("other/test_other.py").write_text("def test_other(): pass")
    return suite


def ran(project, *arguments):
    """The outcomes without those of the checks other than `loads`."""
    done = project.run("--airssys-wasm", *arguments)
    checks = re.compile("::(manifest|imports|limits|instantiates|deterministic)$")
    return {node_id: outcome for node_id, outcome in done.results.items() if not checks.search(node_id)}


@pytest.mark.slow
def test_without_paths_the_suite_and_everything_below_the_folder_run(both):
    assert ran(both) == {**SUITE, **OWN, **ELSEWHERE}


@pytest.mark.slow
def test_a_path_runs_what_is_below_it_and_nothing_else(both):
    assert ran(both, "own") == OWN
    assert ran(both, "own/Component.toml::loads") == {"own/Component.toml::loads": "passed"}
    assert ran(both, ".") == {**OWN, **ELSEWHERE}


@pytest.mark.slow
def test_the_testpaths_of_the_ini_file_are_not_path_arguments(both):
    both.write(pytest_ini="[pytest]\ntestpaths = own\n")
    assert ran(both) == {**SUITE, **OWN}


@pytest.mark.slow
def test_the_suite_runs_by_name_beside_paths(both):
    assert ran(both, "own", "conformance") == {**SUITE, **OWN}
    assert ran(both, "conformance/alpha", "other") == {**ALPHA, **ELSEWHERE}


@pytest.mark.slow
def test_always_adds_the_suite_to_paths(both):
    assert ran(both, "--wasm-conformance=always", "own") == {**SUITE, **OWN}
    assert ran(both, "--wasm-conformance=always", "own", "conformance/alpha") == {**ALPHA, **OWN}
    assert both.run("--wasm-conformance=always", "other").results == {**SUITE, **ELSEWHERE}


@pytest.mark.slow
def test_never_leaves_the_suite_out(both):
    assert ran(both, "--wasm-conformance=never") == {**OWN, **ELSEWHERE}
    done = both.run("--airssys-wasm", "--wasm-conformance=never", "conformance/alpha")
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: conformance/alpha is a part of the suite, which --wasm-conformance=never leaves out" in done.text


@pytest.mark.slow
def test_the_ini_file_can_say_never_and_the_command_line_overrules_it(both):
    both.write(pytest_ini="[pytest]\nwasm_conformance = never\n")
    assert ran(both) == {**OWN, **ELSEWHERE}
    assert ran(both, "--wasm-conformance=auto") == {**SUITE, **OWN, **ELSEWHERE}


def test_a_folder_of_that_name_without_chapters_is_the_projects_own(both):
    both.path("conformance/test_it.py").write_text("def test_it(): pass")
    assert ran(both, "conformance") == {"conformance/test_it.py::test_it": "passed"}


@pytest.mark.slow
def test_a_folder_with_chapters_names_the_suite_although_it_is_another_copy(both):
    both.path("conformance/alpha/chapter.toml").write_text("title = 'A copy, which is not read'")
    both.path("conformance/alpha/adds-up.toml").write_text("")
    assert ran(both, "conformance") == SUITE
    assert ran(both, "conformance/alpha/") == ALPHA
    assert ran(both, "conformance/alpha/adds-up.toml") == {"conformance/alpha/adds-up": "passed"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_run_of_a_path_does_not_read_the_suite(both, workers):
    both.path("conftest.py").write_text(
        "from pytest_airssys_wasm.conformance import loader\n"
        "def find_chapters(): raise AssertionError('the suite was read')\n"
        "loader.find_chapters = find_chapters\n"
    )
    assert ran(both, "own", *workers) == OWN


@pytest.mark.slow
def test_a_chapter_takes_one_line_of_the_terminal(both):
    both.path("own/Component.toml").unlink()
    lines = both.run("--airssys-wasm").text.splitlines()
    shown = [line.split()[:2] for line in lines if line.endswith("%]")]
    assert shown == [
        ["other/test_other.py", "."],
        ["own/test_own.py", "."],
        ["conformance/alpha", "..F"],
        ["conformance/beta", "Fs"],
        ["conformance/laws", ".F"],
    ]


@pytest.mark.slow
def test_verbose_names_every_case(both):
    text = both.run("--airssys-wasm", "-v", "conformance/alpha").text
    assert "conformance/alpha/adds-up PASSED" in text


@pytest.mark.slow
def test_a_binary_without_a_manifest_gets_an_empty_wasi_when_asked(project):
    project.path("clock.wat").write_text(
        '(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))) (memory (export "memory") 1))'
    )
    refused = project.run("--wasm-component=clock.wat", "--wasm-memory=1 MiB", "-k", "clock")
    assert refused.results["clock.wat::imports"] == "failed"
    assert "so does --wasm-wasi, for guests without one" in refused.text
    given = project.run("--wasm-component=clock.wat", "--wasm-memory=1 MiB", "--wasm-wasi", "-k", "clock")
    assert set(given.results.values()) == {"passed"}


def test_a_failure_of_such_a_binary_is_run_again_with_wasi(project):
    project.path("boom.wat").write_text(
        '(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))'
        ' (memory (export "memory") 1) (func $s unreachable) (start $s))'
    )
    text = project.run("--wasm-component=boom.wat", "--wasm-memory=1 MiB", "--wasm-wasi").text
    assert "rerun    pytest --airssys-wasm --wasm-wasi --wasm-memory '1 MiB' boom.wat::instantiates" in text
