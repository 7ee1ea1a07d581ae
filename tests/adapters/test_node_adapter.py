"""The adapter for V8 is what it says: short, of Node.js alone, and wrong exactly where its list says so."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
import wasmtime

from pytest_airssys_wasm.conformance.known_failures import read_known_failures
from pytest_airssys_wasm.conformance.loader import find_chapters
from support.checkout import ADAPTERS

SOURCE = (ADAPTERS / "node.mjs").read_text("utf-8")
NODE = shutil.which("node")
CASES = [case.node_id for chapter in find_chapters() for case in chapter.cases()]

needs_node = pytest.mark.skipif(NODE is None, reason="there is no node")


def test_it_uses_what_node_brings_along():
    imported = re.findall(r'^import .* from "(.*)";$', SOURCE, re.MULTILINE)
    assert len(imported) == SOURCE.count("import {")
    assert {name.partition(":")[0] for name in imported} == {"node"}


def test_what_names_only_what_it_has_hardly_fails():
    known = read_known_failures(ADAPTERS / "node.toml", CASES)
    assert {case.split("/")[1] for case in known} == {"cleanup"}
    assert all(failure.sometimes for failure in known.values())


@pytest.mark.slow
@needs_node
def test_it_fails_where_its_list_says(tmp_path):
    # What passes, what is known to fail, and what ends at the deadline; the whole suite takes minutes.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            f"--wasm-runtime={NODE} {ADAPTERS / 'node.mjs'}",
            f"--wasm-expectations={ADAPTERS / 'node.toml'}",
            *("conformance/timeout", "conformance/traps"),
            *("-k", "(in-a-host-function or indirect-call or division or start-function) and not milliseconds"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    passed = r"V8 in Node.js .* passed \d+ of the \d+ cases for which it names all capabilities\.\n"
    assert re.search(passed, done.stdout), done.stdout


@needs_node
def test_numbers_pass_it_bit_for_bit(tmp_path):
    # JavaScript has doubles where JSON has integers of 64 bits, and no word for the sign of a zero.
    guest = tmp_path / "same.wasm"
    same = '(func (export "{0}") (param {0}) (result {0}) (local.get 0))'
    guest.write_bytes(wasmtime.wat2wasm(f"(module {' '.join(map(same.format, ('i32', 'i64', 'f32', 'f64')))})"))
    told = {"i32": [-1], "i64": [-(2**63), 2**63 - 1], "f32": [-0.0, "-inf"], "f64": ["nan", "inf", -0.0, 0.1, 1e300]}
    steps = [{"call": kind, "args": [value]} for kind, values in told.items() for value in values]
    request = {"op": "run", "id": 1, "component": str(guest), "limits": {"memory_bytes": 0}, "steps": steps}
    with subprocess.Popen(
        [str(NODE), str(ADAPTERS / "node.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        node.stdin.write(json.dumps(request) + "\n")
        node.stdin.flush()
        answer = json.loads(node.stdout.readline())
    assert node.returncode == 0
    assert [step["verdict"] for step in answer["steps"]] == ["ok"] * len(steps)
    given = [
        int(step["value"]) if "i64" in each["call"] else step["value"] for each, step in zip(steps, answer["steps"])
    ]
    assert list(map(repr, given)) == [repr(each["args"][0]) for each in steps]
