"""Without the extra `fuzz` everything but the limit laws works, and the laws say what they need."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pytest_airssys_wasm.plugin.extras import missing_extra
from pytest_airssys_wasm.plugin.suite.laws import LAW_NAMES

NEEDS = "needs pytest-airssys-wasm[fuzz]"
HIDE_HYPOTHESIS = """
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec

@classmethod
def visible(cls, name, *rest):
    return None if name.partition(".")[0] == "hypothesis" else find_spec(name, *rest)

PathFinder.find_spec = visible
"""


class Processes:
    """Starts pytest as a process of its own, and not as a fork of one that has imported Hypothesis."""

    def run(self, arguments, *, cwd, environment, timeout_s):
        """Return the exit status and the output."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
        )
        return done.returncode, done.stdout


@pytest.fixture
def bare(project):
    """A project in whose Python processes `import hypothesis` fails, as where it is not installed."""
    path = project.folder.parent / "without-hypothesis"
    path.mkdir()
    (path / "sitecustomize.py").write_text(HIDE_HYPOTHESIS)
    project.environment["PYTHONPATH"] = str(path)
    project.forks = Processes()
    project.plugins = ("xdist", "airssys_wasm")
    return project


@pytest.mark.slow
def test_the_laws_are_skipped_with_the_name_of_the_extra(bare):
    ran = bare.run("--airssys-wasm", "conformance/laws")
    assert ran.code == pytest.ExitCode.OK
    assert ran.count("skipped") == len(LAW_NAMES) == 10
    assert re.search(rf"^SKIPPED \[10\] .*{re.escape(NEEDS)}$", ran.text, re.MULTILINE)


@pytest.mark.slow
def test_fuzzing_is_a_usage_error_that_names_the_extra(bare):
    ran = bare.run("--airssys-wasm", "--wasm-fuzz=quick", ".")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert f"--wasm-fuzz: expected off, because it {NEEDS}, got 'quick'" in ran.text
    assert bare.run("--airssys-wasm", "--wasm-fuzz=off", "conformance/laws").code == pytest.ExitCode.OK


@pytest.mark.slow
def test_cases_and_checks_run_as_ever(bare):
    bare.path("guest.wat").write_text('(module (memory 1) (func (export "one") (result i32) i32.const 1))')
    bare.write(
        Component_toml="""
            [component]
            name = "a"
            version = "1"
            wasm = "guest.wat"
            [resources.memory]
            max_bytes = 1048576
        """
    )
    ran = bare.run("--airssys-wasm", "-k", "budget or Component", "conformance/fuel", ".")
    assert ran.code == pytest.ExitCode.OK
    assert ran.count("passed") > 5


@pytest.mark.slow
def test_a_test_with_a_component_runs_as_ever(bare):
    bare.write(
        test_a="""
            import pytest

            @pytest.mark.component("(module (memory 1) (func (export \\"one\\") (result i32) i32.const 1))")
            @pytest.mark.memory("1 MiB")
            def test_one(component):
                assert component.one() == 1
        """
    )
    assert bare.run("-v").results == {"test_a.py::test_one": "passed"}


@pytest.mark.slow
def test_collecting_the_suite_imports_neither_hypothesis_nor_the_package_of_the_laws(tmp_path):
    command = (sys.executable, "-X", "importtime", "-m", "pytest", "--collect-only", "-q", "-p", "no:hypothesispytest")
    done = subprocess.run(
        [*command, "--airssys-wasm", "conformance/laws"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert f"conformance/laws/{LAW_NAMES[0]}" in done.stdout
    assert "pytest_airssys_wasm.plugin.suite.laws" in done.stderr
    assert not re.search(r"\|\s+(hypothesis|pytest_airssys_wasm\.fuzzing)\b", done.stderr)


def test_an_extra_that_is_installed_is_not_missing(monkeypatch):
    assert missing_extra("fuzz") is None
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert missing_extra("fuzz") == NEEDS
