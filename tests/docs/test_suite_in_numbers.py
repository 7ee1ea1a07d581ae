"""The numbers of cases on the pages are those of the suite, of the capabilities that adapters name, and of their lists."""

from __future__ import annotations

import re
import shutil
import sys

import pytest

from pytest_airssys_wasm.conformance.adapter import AdapterRuntime, Patience
from pytest_airssys_wasm.conformance.known_failures import read_known_failures
from pytest_airssys_wasm.conformance.runner import missing_capabilities
from pytest_airssys_wasm.plugin.suite.laws import LAW_NAMES
from support.bundled_cases import CASES
from support.checkout import DOCS, ROOT

ADAPTERS = {
    "raw_wasmtime": (sys.executable, "raw_wasmtime.py"),
    "node": (shutil.which("node"), "node.mjs"),
}
CONFORMANCE = (DOCS / "conformance.md").read_text("utf-8")
DECISION = (DOCS / "decisions" / "known-failures.md").read_text("utf-8")
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def counted(name):
    """The cases that pass, that fail as known, and that are skipped on an adapter, when it fails where its list says."""
    program, script = ADAPTERS[name]
    if program is None:
        pytest.skip("node is not installed")
    adapter = AdapterRuntime([program, str(ROOT / "adapters" / script)], patience=Patience(grace_s=10.0))
    try:
        skipped = {case_id for case_id, case in CASES.items() if missing_capabilities(case, adapter)}
    finally:
        adapter.close()
    known = read_known_failures(ROOT / "adapters" / f"{name}.toml", CASES).keys() - skipped
    return len(CASES) - len(known) - len(skipped), len(known), len(skipped)


def row(beginning):
    (found,) = re.findall(rf"^\| {re.escape(beginning)}.*?((?: \| [\d,]+)+) \|$", CONFORMANCE, re.MULTILINE)
    return tuple(int(number.replace(",", "")) for number in found.split(" | ")[1:])


def test_the_bundled_runtime_passes_all_cases():
    assert row("this package") == (len(CASES), 0, 0)


@pytest.mark.parametrize(("name", "beginning"), [("raw_wasmtime", "wasmtime-py"), ("node", "V8 in Node.js")])
def test_an_adapter_passes_as_many_cases_as_its_list_leaves(name, beginning):
    assert row(beginning) == counted(name)


def test_the_decision_and_the_example_have_the_numbers_of_the_table():
    told = re.findall(r"(?:has|Node\.js has) (\d+)(?: known failures?)? and passes (\d+)", " ".join(DECISION.split()))
    raw, node = row("wasmtime-py"), row("V8 in Node.js")
    assert [tuple(map(int, numbers)) for numbers in told] == [(raw[1], raw[0]), (node[1], node[0])]
    example = re.search(r"passed (\d+) of the (\d+) cases for which it names all capabilities", CONFORMANCE)
    assert (int(example[1]), int(example[2])) == (node[0], node[0] + node[1])


@pytest.mark.parametrize(("capability", "chapter"), [("no-threads", "determinism"), ("isolated-compile", "hostile")])
def test_a_capability_has_as_many_cases_as_the_page_says(capability, chapter):
    (line,) = re.findall(rf"^\| `{capability}` .*$", (DOCS / "protocol.md").read_text("utf-8"), re.MULTILINE)
    needing = [case_id for case_id, case in CASES.items() if capability in case.needs]
    assert f"{WORDS[len(needing)]} cases of chapter `{chapter}`" in line
    assert {case_id.split("/")[1] for case_id in needing} == {chapter}


def test_there_are_as_many_laws_as_the_page_says():
    assert f"{WORDS[len(LAW_NAMES)]} laws" in (DOCS / "dependencies.md").read_text("utf-8")


def test_the_adapter_by_hand_is_as_short_as_the_page_says():
    assert "in less than 100 lines" in CONFORMANCE
    assert len((ROOT / "adapters" / "raw_wasmtime.py").read_text("utf-8").splitlines()) < 100
