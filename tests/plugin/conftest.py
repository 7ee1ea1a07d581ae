"""A project of its own for each test, in which pytest runs as a process of its own.

A process, because in one process a second pytest enables faulthandler again, after which the next hardware
trap of a guest would kill both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from support.fork_server import plain_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.fork_server import Forks

WAT = """(module (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "count") (param i32) (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0))
  (func (export "grow") (param i32) (result i32) local.get 0 memory.grow)
  (func (export "must-grow") (param i32) local.get 0 memory.grow i32.const -1 i32.eq (if (then unreachable)))
  (func $inner unreachable)
  (func (export "boom") call $inner)
  (global $calls (mut i32) (i32.const 0))
  (func (export "calls") (result i32)
    global.get $calls i32.const 1 i32.add global.set $calls global.get $calls))"""

_RESULT = re.compile(r"^(PASSED|FAILED|ERROR|XFAIL|XPASS) (\S+::.*?|\S+)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Ran:
    """The result of a pytest run."""

    code: int
    text: str

    @property
    def results(self) -> dict[str, str]:
        """Outcome of each test by node id; errors of fixtures and of collection too."""
        return {node_id: outcome.lower() for outcome, node_id in _RESULT.findall(self.text)}

    def count(self, what: str) -> int:
        """The number before `passed`, `failed`, `errors` … in pytest's last line."""
        found = re.search(rf"\b(\d+) {what}", self.text.splitlines()[-1])
        return int(found[1]) if found else 0


class Project:
    """A folder with tests, and pytest in it."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.folder = folder
        self.forks = forks
        self.environment = plain_environment()
        self.environment["XDG_CACHE_HOME"] = str(folder.parent / "user-cache")
        self.plugins: tuple[str, ...] | None = ("xdist", "hypothesispytest", "airssys_wasm")
        """The plugins that are loaded; `None` loads all that are installed.

        Those of others double the time of a short run, and of each worker in it.
        """

    def write(self, **files: str) -> None:
        """Write files; `test_a` is `test_a.py`, `pytest_ini` is `pytest.ini`, `x_wat` is `x.wat`."""
        for name, content in files.items():
            for ending in ("ini", "toml", "wat", "wit"):
                if name.endswith("_" + ending):
                    self.path(f"{name.removesuffix('_' + ending)}.{ending}").write_text(dedent(content))
                    break
            else:
                self.path(f"{name}.py").write_text(dedent(content))

    def path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def run(self, *arguments: str, cwd: Path | None = None) -> Ran:
        """Run pytest with `-W error`."""
        environment = dict(self.environment)
        if self.plugins is not None:
            environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        code, text = self.forks.run(
            ["-rA", "-W", "error", *(f"-p{plugin}" for plugin in self.plugins or ()), *arguments],
            cwd=cwd or self.folder,
            environment=environment,
            timeout_s=120,
        )
        return Ran(code, text)


@pytest.fixture
def project(tmp_path: Path, forks: Forks) -> Project:
    """An empty project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder, forks)


@pytest.fixture
def guest(project: Project) -> Project:
    """A project with the guest `kernels.wat`."""
    project.path("kernels.wat").write_text(WAT)
    return project


@pytest.fixture(scope="session")
def guest_at(forks: Forks) -> Callable[[Path], Project]:
    """Makes such a project in a new folder, for several tests."""

    def make(folder: Path) -> Project:
        folder.mkdir()
        project = Project(folder, forks)
        project.path("kernels.wat").write_text(WAT)
        return project

    return make


CASES = {
    "alpha/adds-up": ("One and one are two", "call = 'add'\nargs = [1, 1]\nexpect = { value = 2 }"),
    "alpha/traps-are-fatal": (
        "A trap is a trap",
        "call = 'boom'\nexpect = { verdict = 'trap', trap = 'unreachable' }",
    ),
    "alpha/wants-three": ("One and one are three", "call = 'add'\nargs = [1, 1]\nexpect = { value = 3 }"),
    "beta/needs-a-session": ("Is skipped'\nneeds = ['session']#", "call = 'add'"),
    "beta/is-not-read": ("Has a key too many'\nrequirment = 'X", "call = 'add'"),
}


@pytest.fixture
def suite(project: Project) -> Project:
    """A project whose plugin finds a suite of its own."""
    return add_suite(project)


@pytest.fixture(scope="session")
def suite_at(forks: Forks) -> Callable[[Path], Project]:
    """Makes such a project in a folder, for several tests."""
    return lambda folder: add_suite(Project(folder, forks))


def add_suite(project: Project) -> Project:
    """Give it a suite of its own: cases that pass, fail, skip or are wrong; laws."""
    for place, (summary, step) in CASES.items():
        name = place.partition("/")[0].upper() + "-1"
        project.path(f"data/conformance/{place}.toml").write_text(
            f"requirement = '{name}'\nsummary = '{summary}'\nwat = '''{WAT}'''\n"
            f"limits = {{ memory = '1 MiB', timeout_ms = 20000 }}\n[[steps]]\n{step}\n"
        )
        project.path(f"data/conformance/{place}").with_name("chapter.toml").write_text(
            f"title = 'A chapter'\n[requirements.{name}]\nsentence = 'It is as {name} says'\norigin = 'a test'\n"
        )
    project.write(
        conftest="""
            from pathlib import Path
            from pytest_airssys_wasm.conformance import loader
            from pytest_airssys_wasm.fuzzing import laws
            from pytest_airssys_wasm.plugin.suite import laws as names
            from hypothesis import given, settings, strategies

            @settings(database=None, report_multiple_bugs=False)
            @given(strategies.integers(0, 20))
            def broken(number):
                assert number < 10

            def never(test):
                "No number is greater than nine"
                broken()

            loader.data_folder = lambda name: Path(__file__).parent / "data" / name
            laws.LAWS = {"never": never, "always": lambda test: None}
            names.LAW_NAMES = ("always", "never")
        """
    )
    return project
