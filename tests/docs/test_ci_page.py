"""The files for CI systems on their page do what they say: their shell commands run as the systems run them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from pytest_airssys_wasm.runtime.base import toml
from support.checkout import DOCS, ROOT
from support.documents import Folder, blocks_of

PAGE = DOCS / "ci.md"
IN_NO_HURRY = "--wasm-timeout-scale=50"
"""Costs and files are compared here, and not the speed of a busy machine."""
DEARER = ("(loop ", "(i32.store (i32.const 0) (local.get 0)) (loop ")
"""What makes the guest of the page cost a little more."""


@dataclass(kw_only=True)
class Ran:
    """What a job has done."""

    passed: bool = True
    output: str = ""
    installed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Files that the job publishes and that are not there."""


class Machine:
    """A machine on which jobs run, each in the folder of the project, with the cache that the one before has left."""

    def __init__(self, path: Path, project: Path) -> None:
        self.project = project
        self.home = path / "home"
        self.home.mkdir(mode=0o700)
        self.summary = path / "summary.md"
        self._installed = path / "installed"
        tools = path / "tools"
        tools.mkdir()
        # What is installed is the package under test, which is there already.
        (tools / "pip").write_text(f'#!/bin/sh\necho "$*" >> {shlex.quote(str(self._installed))}\n')
        (tools / "pip").chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "XDG_", "COV_"))}
        self._environment = {
            **kept,
            "HOME": str(self.home),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
            # Plugins of others take each pytest and each of its workers a second to import.
            "PYTEST_ADDOPTS": f"-p xdist -p airssys_wasm {IN_NO_HURRY}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_XDIST_AUTO_NUM_WORKERS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }

    def shell(self, job: Ran, commands: str) -> bool:
        """Run commands as both systems do, ending at the first that fails; return whether all succeeded."""
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", commands],
            cwd=self.project,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        job.output += done.stdout
        job.passed = job.passed and done.returncode == 0
        job.installed = self._installed.read_text().splitlines() if self._installed.exists() else []
        return done.returncode == 0

    def publish(self, job: Ran, names: list[str]) -> None:
        job.missing += [name for name in names if not (self.project / name).exists()]

    @property
    def cache(self):
        """The entries of the user's cache."""
        return {one.name for one in (self.home / ".cache" / "pytest-airssys-wasm").rglob("*.cwasm")}


def github(machine: Machine, text: str) -> Ran:
    """Run the job of a workflow: its steps in order, and after a failure those that always run."""
    (job,) = yaml.safe_load(text)["jobs"].values()
    ran = Ran()
    for step in job["steps"]:
        always = step.get("if") == "always()"
        assert step.get("if") in (None, "always()")
        if "run" in step and (ran.passed or always):
            machine.shell(ran, step["run"])
        elif step.get("uses", "").startswith("actions/upload-artifact@") and (ran.passed or always):
            machine.publish(ran, step["with"]["path"].split())
        elif step.get("uses", "").startswith("actions/cache@"):
            assert step["with"]["path"] == "~/.cache/pytest-airssys-wasm"
    return ran


def gitlab(machine: Machine, text: str) -> Ran:
    """Run the job of a pipeline: one script, and another one after it."""
    (job,) = yaml.safe_load(text).values()
    ran = Ran()
    machine.shell(ran, "\n".join([*job["before_script"], *job["script"]]))
    after = Ran()
    assert machine.shell(after, "\n".join(job["after_script"])), after.output
    assert job["artifacts"]["when"] == "always"
    machine.publish(ran, [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]])
    assert [path.rstrip("/") for path in job["cache"]["paths"]] == [".wasm-cache"]
    return ran


SYSTEMS = {".github/workflows/components.yml": github, ".gitlab-ci.yml": gitlab}


@pytest.fixture(scope="module")
def tried_page(tmp_path_factory, forks):
    """The project of the page, with its snapshot."""
    folder = Folder(tmp_path_factory.mktemp("page"), forks, IN_NO_HURRY)
    for block in blocks_of(PAGE):
        folder.try_block(block)
    return folder.path


@pytest.fixture
def recorded(tmp_path, tried_page):
    """A copy of that project."""
    return shutil.copytree(tried_page, tmp_path / tried_page.name, symlinks=True)


@pytest.fixture(params=SYSTEMS)
def run(request, recorded, tmp_path):
    """Run the job of a system."""
    text = (recorded / request.param).read_text()
    machine = Machine(tmp_path, recorded)
    for folder in (recorded, recorded / "counter"):
        folder.chmod(0o777)  # as GitLab checks out

    def run():
        job = SYSTEMS[request.param](machine, text)
        if request.param == ".gitlab-ci.yml":  # each job begins on a new machine, on which only the cache is restored
            job.cache = machine.cache
            subprocess.run(["rm", "-rf", str(machine.home / ".cache")], check=True)
        else:
            job.cache = machine.cache
        return job

    run.machine = machine
    return run


@pytest.mark.slow
def test_a_job_installs_this_package_validates_publishes_and_leaves_to_the_next_one_what_it_compiled(run, recorded):
    job = run()
    assert job.passed, job.output
    assert job.missing == []
    assert "4 unchanged" in job.output
    project = toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert job.installed == [f"install {project['name']}"]
    cases = ElementTree.parse(recorded / "junit.xml").iter("testcase")
    assert {case.get("classname") for case in cases} == {"counter.test_counter", "counter.Component.toml"}
    assert "CacheUnavailable" not in job.output
    assert job.cache
    second = run()
    assert second.passed, second.output
    assert second.cache == job.cache


@pytest.mark.slow
def test_a_cost_fails_the_job_and_is_in_its_summary(run, recorded):
    guest = recorded / "counter" / "counter.wat"
    guest.write_text(guest.read_text().replace(*DEARER))
    job = run()
    assert not job.passed
    assert job.missing == []
    assert re.search(r"regressed .*test_a_thousand_steps count: fuel 5,002 → 5,005 \(\+3", job.output)
    summary = run.machine.summary if run.machine.summary.exists() else recorded / "wasm.md"
    assert "regressed" in summary.read_text("utf-8")


@pytest.mark.slow
def test_a_failing_test_fails_the_job_and_is_in_its_summary(run, recorded):
    guest = recorded / "counter" / "counter.wat"
    guest.write_text(guest.read_text().replace("(loop ", "unreachable (loop "))
    job = run()
    assert not job.passed
    assert job.missing == []
    summary = run.machine.summary if run.machine.summary.exists() else recorded / "wasm.md"
    assert "trap" in summary.read_text("utf-8")
