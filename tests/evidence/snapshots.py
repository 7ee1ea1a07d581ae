"""Trials of fuel snapshots: of a project in which something was changed, and of one in which nothing was, run otherwise."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from evidence.claim import Claim
from evidence.planted import EDITS, Project
from steadiness.steadiness import busy_cores
from support.checkout import ROOT
from support.fork_server import plain_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.fork_server import Forks

NAME = ".fuel-snapshot.json"
_LINE = re.compile(
    r"^(regressed|incomparable|new|removed|tolerated|improved|not-run) +(\S+) (\S+): (?:fuel ([\d,]+) → ([\d,]+))?",
    re.M,
)
_CONFTEST = """
import os, random

def pytest_collection_modifyitems(items):
    if "SHUFFLED" in os.environ:
        random.Random(os.environ["SHUFFLED"]).shuffle(items)
"""
_MOST_S = 300
_WAYS = ("-n1", "--wasm-isolation=process", "shuffled", "")


@dataclass(frozen=True, slots=True)
class Ran:
    """The end of a run of pytest."""

    status: int
    text: str

    @property
    def told(self) -> dict[tuple[str, str], tuple[str, int | None]]:
        """The states that the run has told, and the difference in fuel, by test and export."""
        return {
            (test, export): (state, _number(after) - _number(before) if before else None)
            for state, test, export, before, after in _LINE.findall(self.text)
        }


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _arguments(*arguments: str) -> list[str]:
    """Return the arguments for pytest, without plugins of others, which take a second to import in each process."""
    return ["-pxdist", "-pairssys_wasm", "-pno:cacheprovider", *arguments]


def _environment(shuffled: int | None) -> dict[str, str]:
    more = {"COLUMNS": "200", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    if shuffled is not None:
        more["SHUFFLED"] = str(shuffled)
    return {**plain_environment(), **more}


def edits(trials: int, forks: Forks) -> Claim:
    """Plant changes in a project whose costs were recorded, and compare what a check tells with what was changed."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        recorded = Path(scratch, "recorded")
        project = Project()
        project.write(recorded)
        recorded.joinpath("conftest.py").write_text(_CONFTEST)

        def run(folder: Path, *arguments: str, shuffled: int | None = None) -> Ran:
            environment = _environment(shuffled)
            return Ran(*forks.run(_arguments(*arguments), cwd=folder, environment=environment, timeout_s=_MOST_S))

        ran = run(recorded, "--wasm-fuel-snapshot=update")
        if ran.status:
            return Claim(text="a project is recorded", trials=1, wrong=(ran.text,))
        costs = project.read(recorded / NAME)
        ways = cycle(_WAYS)
        for seed, name in zip(range(trials), cycle(EDITS)):
            planted = EDITS[name](project, costs, random.Random(seed))
            way = planted.way if planted.way is not None else next(ways)
            folder = Path(scratch, f"{seed}")
            shutil.copytree(recorded, folder)
            planted.write(folder)
            ran = run(
                folder,
                *("--wasm-fuel-snapshot=check", "-v", *planted.arguments),
                *([way] if way.startswith("-") else []),
                shuffled=seed if way == "shuffled" else None,
            )
            difference = planted.contradiction(ran.told, ran.status)
            if difference:
                wrong.append(f"{seed}, {name} {way}: {difference}\n{ran.text}")
            shutil.rmtree(folder)
    return Claim(
        text="a change of costs or tests is told as what it is, by a run of pytest, and nothing else is told",
        trials=trials,
        wrong=tuple(wrong),
        note=f"{len(EDITS)} kinds of changes, run in {len(_WAYS)} ways",
    )


def pairs(trials: int, pythons: Sequence[Path]) -> Claim:
    """Record the costs of a project in one way, and check them in another; the records have to be equal, too."""
    chance = random.Random(0)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch, "project")
        shutil.copytree(ROOT / "examples", folder, ignore=shutil.ignore_patterns("python", "javascript", "__pycache__"))
        Project().write(folder / "kernels-of-all-shapes")
        folder.joinpath("conftest.py").write_text(_CONFTEST)
        ways = [
            (python, options, is_shuffled)
            for python in pythons
            for options in ((), ("-n1",), ("-n2",), ("--wasm-isolation=process",))
            for is_shuffled in (False, True)
        ]
        first: bytes | None = None
        for number in range(trials):
            if number == (trials + 1) // 2:
                stack.enter_context(busy_cores())
            for option, (python, options, is_shuffled) in zip(("update", "check"), chance.sample(ways, 2)):
                if option == "update":
                    folder.joinpath(NAME).unlink(missing_ok=True)
                # Costs are compared here, and not the speed of a busy machine.
                patient = "--wasm-timeout-scale=50"
                arguments = ("--airssys-wasm", "--wasm-conformance=never", patient, ".", *options)
                done = subprocess.run(
                    [str(python), "-m", "pytest", *_arguments(*arguments, f"--wasm-fuel-snapshot={option}")],
                    cwd=folder,
                    env=_environment(number if is_shuffled else None),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                )
                ran = Ran(done.returncode, done.stdout)
                way = f"{number}, {option} by {python} {' '.join(options)}{' shuffled' if is_shuffled else ''}"
                content = folder.joinpath(NAME).read_bytes() if folder.joinpath(NAME).exists() else b""
                first = first or content
                if ran.status or content != first or (option == "check" and ran.told):
                    wrong.append(
                        f"{way}: status {ran.status}, the record is {'' if content == first else 'not '}equal\n{ran.text}"
                    )
    return Claim(
        text="costs that are recorded in one way and checked in another are equal to the byte, without a false alarm",
        trials=trials,
        wrong=tuple(wrong),
        note=f"{len(pythons)} Pythons, -n, isolation, shuffled; half of them beside busy cores",
    )
