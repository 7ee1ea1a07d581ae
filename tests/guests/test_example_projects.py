"""The example projects, as their authors have them: built by the command of their README, in a folder of their own, and tested."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.checkout import EXAMPLES

PROJECTS = ["assemblyscript", "c", "javascript", "python", "rust"]
COMMITTED = {"assemblyscript": "sparkline.wasm", "c": "json-minify.wasm"}
"""Binaries that come out byte for byte the same with the pinned toolchains."""


def build_command(project):
    _, _, section = (EXAMPLES / project / "README.md").read_text("utf-8").partition("## Build\n")
    (block,) = re.findall(r"^```sh\n(.*?)^```", section.partition("\n## ")[0], re.DOTALL | re.MULTILINE)
    return block.strip()


def missing_tools(project):
    """Return the requirements of this project that the system lacks. The extra `guests` promises the rest."""
    needs = {
        "assemblyscript": ["node", "npm"],
        "c": ["make", "node", "npm"],
        "javascript": ["node", "npm"],
        "python": [],
        "rust": ["make", "node", "npm"],
    }
    absent = [command for command in needs[project] if not shutil.which(command)]
    if project == "rust" and not has_rust_target("wasm32-unknown-unknown"):
        absent.append("cargo and rustc with the target wasm32-unknown-unknown")
    return ", ".join(absent)


def has_rust_target(target):
    if not shutil.which("cargo") or not shutil.which("rustc"):
        return False
    asked = subprocess.run(["rustc", "--print", "target-libdir", "--target", target], capture_output=True, text=True)
    return asked.returncode == 0 and Path(asked.stdout.strip()).is_dir()


def run(command, folder):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "PYTHON": sys.executable}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout


@pytest.mark.guests
@pytest.mark.parametrize("project", PROJECTS)
def test_a_project_is_built_by_its_command_and_its_tests_pass(project, tmp_path):
    if missing := missing_tools(project):
        pytest.skip(f"not here: {missing}")
    folder = tmp_path / project
    built = shutil.ignore_patterns("*.wasm", "node_modules", "build", "target", "__pycache__")
    shutil.copytree(EXAMPLES / project, folder, ignore=built)
    run(["sh", "-euc", build_command(project)], folder)
    (guest,) = folder.glob("*.wasm")
    if guest.name == COMMITTED.get(project):
        assert guest.read_bytes() == (EXAMPLES / project / guest.name).read_bytes()
    # With the checks of its Component.toml, but without the conformance suite.
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "--airssys-wasm", "--wasm-conformance=never"]
    output = run([sys.executable, "-m", "pytest", *options], folder)
    assert re.search(r"\d+ passed", output)
    assert "skipped" not in output


def test_the_examples_pin_the_toolchains_of_the_fixtures(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES.parent / "fixtures" / "guests")
    toolchains = importlib.import_module("toolchains")
    pinned = [line for file in EXAMPLES.glob("*/requirements.txt") for line in file.read_text().split() if "==" in line]
    assert len(pinned) == 2
    assert set(pinned) <= {f"{name}=={version}" for name, version in toolchains.PYPI.items()}
    packages = [json.loads(file.read_text())["devDependencies"] for file in EXAMPLES.glob("*/package.json")]
    assert len(packages) == 4
    versions = {pin for package in packages for pin in package.items()}
    assert all(toolchains.NPM.get(name, version) == version for name, version in versions)
    assert all(version[0].isdigit() for _, version in versions), "exact"
