"""The gates, the README and CI name the same sessions, commands, extras and files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pytest_airssys_wasm.runtime.base import toml

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "noxfile.py").exists(), reason="only in a checkout")


@pytest.fixture(scope="module")
def gates() -> ast.Module:
    """The noxfile, read and not run: nox is not among the packages of the tests."""
    return ast.parse((ROOT / "noxfile.py").read_text("utf-8"))


def sessions(gates):
    """Every session with its function."""
    for node in gates.body:
        for decorator in getattr(node, "decorator_list", ()):
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if ast.unparse(called) == "nox.session":
                keywords = {one.arg: one.value for one in getattr(decorator, "keywords", ())}
                yield ast.literal_eval(keywords["name"]) if "name" in keywords else node.name, node


def run_by_ci(gates):
    """The sessions that nox runs when it is not told which."""
    (value,) = (
        node.value
        for node in gates.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "nox.options.sessions"
    )
    return ast.literal_eval(value)


def test_ci_runs_sessions_that_exist_and_all_that_are_not_by_hand(gates):
    by_hand = {"matrix-anew", "docs", "release", "lowest", "newest"}
    assert {name for name, _ in sessions(gates)} == {*run_by_ci(gates), *by_hand}
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    named = [name for names in re.findall(r"^ *\.ci/nox -s ([^|>]+) 2?>", run, re.MULTILINE) for name in names.split()]
    assert sorted([*named, "build"]) == sorted(run_by_ci(gates))  # others require the build


def test_every_session_says_what_it_is_for(gates):
    assert [name for name, function in sessions(gates) if not ast.get_docstring(function)] == []


def test_every_file_that_a_session_names_is_there(gates):
    named = [node.value for node in ast.walk(gates) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    paths = {text.partition("=")[2] if text.startswith("--ignore=") else text for text in named}
    paths = {path for path in paths if re.fullmatch(r"(tests|docs|adapters)/[\w/.-]+", path)}
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_readme_has_two_commands_with_extras_that_exist():
    _, _, after = (ROOT / "README.md").read_text("utf-8").partition("<!-- two commands -->")
    commands = re.findall(r"^python3 .*$", after.partition("<!-- end -->")[0], re.MULTILINE)
    project = toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [extra for command in commands for extra in re.findall(r"'\.\[(\w+)\]'", command)]
    assert extras == ["fuzz", "test"]
    assert project["optional-dependencies"].keys() >= set(extras)


def test_pre_commit_runs_the_tools_of_the_session_lint(gates):
    lint = ast.unparse(dict(sessions(gates))["lint"])
    tools = set(re.findall(r"session\.run\('([\w-]+)'", lint))
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert {text.split()[0] for text in re.findall(r"entry: (.+)", hooks)} == tools
    assert re.findall(r"- repo: (.+)", hooks) == ["local"]
    assert set(re.findall(r"language: (.+)", hooks)) == {"system"}


def test_a_release_has_a_wheel_for_each_platform_on_linux_and_is_made_by_the_session(gates):
    targets = re.findall(
        r'^    "(\w+-linux-\w+)": Target', (ROOT / "native/build_guard.py").read_text("utf-8"), re.MULTILINE
    )
    (released,) = (
        ast.literal_eval(node.value)
        for node in gates.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RELEASED"
    )
    assert list(released) == targets
    workflow = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    assert re.findall(r"run: (\.ci/.+)", workflow) == [".ci/run", ".ci/nox -s release"]


def test_the_changelog_has_the_version_that_is_built():
    project = toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", project["version"]]
