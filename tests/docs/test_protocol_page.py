"""docs/protocol.md says what is so: its session is what is said, and every name of the protocol is on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from pytest_airssys_wasm.conformance.host_library import HOST_LIBRARY
from pytest_airssys_wasm.protocol.messages import (
    CAPABILITIES,
    PARTS,
    TRAP_KINDS,
    ConfigureRequest,
    HelloAnswer,
    HelloRequest,
    RunAnswer,
    RunRequest,
    StepAnswer,
    StepRequest,
)
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from support.checkout import DOCS

PAGE = (DOCS / "protocol.md").read_text("utf-8")


def block(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return found


@pytest.mark.slow
def test_the_session_is_what_is_said(tmp_path):
    (tmp_path / "double.wat").write_text(block("wat"))
    lines = block("protocol").replace("/guests", str(tmp_path)).splitlines()
    asked, told = ([line[2:] for line in lines if line.startswith(mark)] for mark in "><")
    command = [sys.executable, "-m", "pytest_airssys_wasm.adapter"]
    done = subprocess.run(
        command, input="\n".join(asked) + "\n", stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    said = {json.loads(line)["id"]: json.dumps(json.loads(line)) for line in done.stdout.splitlines()}
    assert len(said) == len(asked) == len(told)
    for line in told:
        number = int(re.match(r'\{"id": (\d+)', line)[1])
        pattern = re.escape(line).replace("…", r".+?")
        pattern = re.sub(r'("elapsed_ms":\\ )[\d.\\]+', r"\1[0-9.e-]+", pattern)
        assert re.fullmatch(pattern, said[number]), (line, said[number])


NAMES = {
    "capabilities": CAPABILITIES,
    "verdicts": [str(verdict) for verdict in Verdict],
    "host library": HOST_LIBRARY,
    "fields": {
        name
        for kind in (HelloRequest, RunRequest, ConfigureRequest, HelloAnswer, RunAnswer, StepAnswer)
        for name in kind.__struct_fields__
    },
    "fields of a step": [f"steps[].{name}" for name in StepRequest.__struct_fields__],
}


@pytest.mark.parametrize("kind", NAMES)
def test_every_name_is_explained(kind):
    assert [name for name in NAMES[kind] if f"`{name}`" not in PAGE] == []


def test_every_limit_is_explained():
    from pytest_airssys_wasm.protocol.limits import limits_from_wire

    rows = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Limits")[2].partition("## Values")[0], re.MULTILINE)
    assert limits_from_wire(dict.fromkeys(rows, 1))
    assert len(rows) == 9


def test_the_kinds_of_traps_that_mean_the_same_everywhere_are_those_of_the_page():
    paragraph = re.search(r"^Traps are named after their cause: (.*?)\. The conversion", PAGE, re.DOTALL | re.MULTILINE)
    assert {*re.findall(r"`([a-z-]+)`", paragraph[1])} == TRAP_KINDS


def test_the_parts_of_a_capability_are_in_its_row():
    table = PAGE.partition("\n## Capabilities\n")[2].partition("\n## ")[0]
    for name, parts in PARTS.items():
        (row,) = re.findall(rf"^\| `{name}` \| (.*?) \|", table, re.MULTILINE)
        assert re.findall(r"`([a-z0-9-]+)`", row) == [*parts]


def test_every_trap_and_resource_of_a_case_is_explained():
    from pytest_airssys_wasm.conformance.loader import find_chapters

    wanted = {
        name
        for chapter in find_chapters()
        for file in chapter.cases()
        for actor in file.load().cast()
        for step in actor.steps
        for found in (step.expect.trap, step.expect.resource)
        if found is not None
        for name in ([found] if isinstance(found, str) else found)
    }
    assert [name for name in sorted(wanted) if f"`{name}`" not in PAGE] == []
