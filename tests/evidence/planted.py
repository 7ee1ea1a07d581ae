"""A project with known costs, and changes of it with the states that a check of its snapshot has to tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from support.kernels import ONE_SIZE, function, module

if TYPE_CHECKING:
    import random
    from pathlib import Path

KERNELS = ("count", "hash", "square", "triangle", "thirds", "halves", "twice", "cube", "fill", "pages")
SIZES = (3, 30)
UNIT = "(drop (i32.const 0))"
"""A statement that costs one unit of fuel."""
_UNITS = 200
"""The number of units that each function has to begin with, so that it can become cheaper, too."""
_FAILING = frozenset({"regressed", "new", "removed", "incomparable"})

Key = tuple[str, str]
"""A test, and an export or `instantiation`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A guest with a function for each kernel, and a file with a test for two of them each."""

    units: Mapping[str, int] = field(default_factory=dict)
    """The units of fuel that functions cost more or less than at first."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Statements that functions begin with."""
    tests: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            f"test_{number}.py": KERNELS[2 * number : 2 * number + 2] for number in range(len(KERNELS) // 2)
        }
    )
    """The kernels that the tests of each file call, by its name."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The names of tests that are not called after their kernel, by the kernel."""
    bodies: Mapping[str, str] = field(default_factory=dict)
    """What tests do after the call, by the kernel."""
    guests: Mapping[str, str] = field(default_factory=dict)
    """The guests of files that do not use `kernels.wat`."""

    def write(self, folder: Path) -> None:
        """Write the files of the project."""
        folder.mkdir(exist_ok=True)
        for guest in {"kernels.wat", *self.guests.values()}:
            folder.joinpath(guest).write_text(self._guest())
        for name, kernels in self.tests.items():
            lines = [
                f"""
                import pytest
                pytestmark = [
                    pytest.mark.component("{self.guests.get(name, "kernels.wat")}"),
                    pytest.mark.memory("1 MiB"),
                    pytest.mark.timeout_ms(20_000),
                ]
            """
            ]
            lines += [f"""
                @pytest.mark.parametrize("n", {SIZES})
                def test_{self.names.get(kernel, kernel)}(component, n):
                    component.{kernel}(n)
                    {self.bodies.get(kernel, "")}
            """ for kernel in kernels]  # fmt: skip
            folder.joinpath(name).write_text("".join(map(dedent, lines)))

    def _guest(self) -> str:
        return module(
            *(
                function(
                    self.extra.get(kernel, "") + UNIT * (_UNITS + self.units.get(kernel, 0)) + ONE_SIZE[kernel], kernel
                )
                for kernel in KERNELS
            )
        )

    def file_of(self, kernel: str) -> str:
        """Return the file with the test of a kernel."""
        return next(name for name, kernels in self.tests.items() if kernel in kernels)

    def node_ids(self, kernel: str) -> list[str]:
        """Return the node ids of the tests of a kernel."""
        return [f"{self.file_of(kernel)}::test_{self.names.get(kernel, kernel)}[{n}]" for n in SIZES]

    def calls(self, *kernels: str) -> list[Key]:
        """Return the entries for the calls of kernels."""
        return [(test, kernel) for kernel in kernels for test in self.node_ids(kernel)]

    def entries(self, *kernels: str) -> list[Key]:
        """Return all entries of the tests of kernels."""
        return [
            (test, label) for kernel in kernels for test in self.node_ids(kernel) for label in (kernel, "instantiation")
        ]

    def read(self, snapshot: Path) -> dict[Key, int]:
        """Return the fuel of each entry of a snapshot."""
        lines = [line for line in json.loads(snapshot.read_text()) if line["line"] == "cost"]
        return {(line["test"], line.get("export", "instantiation")): line["fuel"] for line in lines}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A change of a project, and what a check of its snapshot has to tell."""

    project: Project
    expected: Mapping[Key, str]
    """The states, by entry. Whatever is not among them must not be told."""
    more: int | None = None
    """The difference in fuel of every changed entry, if it is known."""
    arguments: tuple[str, ...] = ()
    """The arguments for pytest."""
    way: str | None = None
    """The way in which pytest has to run; `None` if it may run in any way."""
    fails: bool | None = None
    """Whether the run fails; `None` if that follows from the states."""
    header: Mapping[str, Any] = field(default_factory=dict)
    """Changes of the first line of the snapshot: the engine with which it was recorded."""

    def write(self, folder: Path) -> None:
        """Plant the change."""
        for file in folder.glob("test_*.py"):
            file.unlink()
        self.project.write(folder)
        if self.header:
            snapshot = folder / ".fuel-snapshot.json"
            lines = snapshot.read_text().splitlines(keepends=True)
            lines[1] = json.dumps({**json.loads(lines[1]), **self.header}) + "\n"
            snapshot.write_text("".join(lines))

    @property
    def is_to_fail(self) -> bool:
        """Whether the run has to fail."""
        return not _FAILING.isdisjoint(self.expected.values()) if self.fails is None else self.fails

    def contradiction(self, told: Mapping[Key, tuple[str, int | None]], status: int) -> str:
        """Return how a run differs from what was expected; empty if it does not."""
        states = {key: state for key, (state, _) in told.items()}
        if states != dict(self.expected):
            return f"told {states}, expected {dict(self.expected)}"
        if status != int(self.is_to_fail):
            return f"exit status {status}, expected {int(self.is_to_fail)}"
        differences = {more for _, more in told.values()}
        if self.more is not None and differences != {self.more}:
            return f"differences {differences}, expected {self.more}"
        return ""


def _one(chance: random.Random) -> str:
    return chance.choice(KERNELS)


def _dearer(project: Project, kernel: str, units: int) -> Project:
    return replace(project, units={kernel: units})


def _by_units(units: int, state: str) -> Plant:
    def plant(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
        kernel = _one(chance)
        expected = dict.fromkeys(project.calls(kernel), state)
        return Planted(project=_dearer(project, kernel, units), expected=expected, more=units)

    return plant


def _by_share(percent: int, over: int, tolerance: int) -> Plant:
    """Return a plant that adds a share of the cost of the dearest call, and `over` units more."""

    def plant(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
        kernel = _one(chance)
        calls = project.calls(kernel)
        units = abs(percent) * max(costs[call] for call in calls) // 100 + over
        if percent < 0:
            units = -min(units, _UNITS)
        states = {
            call: "improved" if units < 0 else "tolerated" if 100 * units <= tolerance * costs[call] else "regressed"
            for call in calls
        }
        return Planted(
            project=_dearer(project, kernel, units),
            expected=states,
            more=units,
            arguments=(f"--wasm-fuel-tolerance={tolerance} %",),
        )

    return plant


def _more_memory(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    kernel = _one(chance)
    extra = {kernel: "(drop (memory.grow (i32.const 1)))"}
    return Planted(project=replace(project, extra=extra), expected=dict.fromkeys(project.calls(kernel), "regressed"))


def _added(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    kernel = _one(chance)
    added = replace(project, tests={**project.tests, "test_new.py": (kernel,)})
    tests = [f"test_new.py::test_{kernel}[{n}]" for n in SIZES]
    expected = {(test, label): "new" for test in tests for label in (kernel, "instantiation")}
    return Planted(project=added, expected=expected)


def _removed(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    kernel = _one(chance)
    file = project.file_of(kernel)
    tests = {**project.tests, file: tuple(one for one in project.tests[file] if one != kernel)}
    return Planted(project=replace(project, tests=tests), expected=dict.fromkeys(project.entries(kernel), "removed"))


def _removed_file(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    file = chance.choice([*project.tests])
    tests = {name: kernels for name, kernels in project.tests.items() if name != file}
    expected = dict.fromkeys(project.entries(*project.tests[file]), "removed")
    return Planted(project=replace(project, tests=tests), expected=expected)


def _renamed(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    kernel = _one(chance)
    renamed = replace(project, names={kernel: "another"})
    expected = {
        **dict.fromkeys(project.entries(kernel), "removed"),
        **dict.fromkeys(renamed.entries(kernel), "new"),
    }
    return Planted(project=renamed, expected=expected)


def _other_guest(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    file = chance.choice([*project.tests])
    return Planted(project=replace(project, guests={file: "other.wat"}), expected={}, fails=False)


def _other_dearer_guest(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    kernel = _one(chance)
    changed = replace(project, guests={project.file_of(kernel): "other.wat"}, units={kernel: 7})
    return Planted(project=changed, expected=dict.fromkeys(project.calls(kernel), "regressed"), more=7)


def _other_engine(header: Mapping[str, Any], units: int) -> Plant:
    def plant(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
        kernel = _one(chance)
        expected = dict.fromkeys(project.calls(kernel), "incomparable") if units else {}
        return Planted(project=_dearer(project, kernel, units), expected=expected, header=header)

    return plant


def _others(*kernels: str) -> list[str]:
    return [one for one in KERNELS if one not in kernels]


def _part(select: Callable[[Project, str], tuple[str, ...]]) -> Plant:
    """Return a plant in a kernel that a part of the run leaves out, and in one that it runs."""

    def plant(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
        run, left_out = chance.sample(KERNELS, 2)
        changed = replace(project, units={run: 3, left_out: 5})
        expected = {
            **dict.fromkeys(project.calls(run), "regressed"),
            **dict.fromkeys(project.entries(*_others(run)), "not-run"),
        }
        return Planted(project=changed, expected=expected, arguments=select(project, run))

    return plant


def _deselected(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    kernel = _one(chance)
    arguments = tuple(f"--deselect={test}" for test in project.node_ids(kernel))
    expected = dict.fromkeys(project.entries(kernel), "not-run")
    return Planted(project=_dearer(project, kernel, 5), expected=expected, arguments=arguments, fails=False)


def _failed(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    kernel = _one(chance)
    changed = replace(project, bodies={kernel: "assert n == 0"}, units={kernel: 5})
    return Planted(project=changed, expected=dict.fromkeys(project.entries(kernel), "not-run"), fails=True)


def _stopped(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    """Stop at the first failure: what comes after it did not run."""
    kernel = _one(chance)
    at = KERNELS.index(kernel)
    changed = replace(project, bodies={kernel: "assert n == 0"}, units=dict.fromkeys(KERNELS[at:], 5))
    expected = dict.fromkeys(project.entries(*KERNELS[at:]), "not-run")
    return Planted(project=changed, expected=expected, arguments=("-x",), way="", fails=True)


def _crashed(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    kernel = _one(chance)
    changed = replace(project, bodies={kernel: "__import__('os')._exit(1)"})
    expected = dict.fromkeys(project.entries(kernel), "not-run")
    return Planted(project=changed, expected=expected, way="-n1", fails=True)


def _unchanged(project: Project, costs: Mapping[Key, int], chance: random.Random) -> Planted:
    return Planted(project=project, expected={}, fails=False)


Plant = Callable[[Project, Mapping[Key, int], "random.Random"], Planted]
_OTHER_SETTINGS = {"settings": ["consume_fuel"]}
_OTHER_VERSION = {"wasmtime": "1.0.0"}
EDITS: dict[str, Plant] = {
    "nothing": _unchanged,
    "one unit more": _by_units(1, "regressed"),
    "one unit less": _by_units(-1, "improved"),
    "3 % more, of which 3 % are tolerated": _by_share(3, 0, 3),
    "one unit more than the 3 % that are tolerated": _by_share(3, 1, 3),
    "3 % more, of which 2 % are tolerated": _by_share(3, 0, 2),
    "3 % less": _by_share(-3, 0, 3),
    "a page of memory more": _more_memory,
    "an added test": _added,
    "a removed test": _removed,
    "a removed file": _removed_file,
    "a renamed test": _renamed,
    "another guest that costs the same": _other_guest,
    "another guest that costs more": _other_dearer_guest,
    "other settings of the engine, and other costs": _other_engine(_OTHER_SETTINGS, 1),
    "other settings of the engine, and the same costs": _other_engine(_OTHER_SETTINGS, 0),
    "another version of the engine, and other costs": _other_engine(_OTHER_VERSION, -1),
    "a part by -k": _part(lambda project, kernel: ("-k", f"test_{kernel}[")),
    "a part by node ids": _part(lambda project, kernel: tuple(project.node_ids(kernel))),
    "deselected tests": _deselected,
    "a failed test": _failed,
    "a run that stops at a failure": _stopped,
    "a worker that crashed": _crashed,
}
"""The changes, by name."""
