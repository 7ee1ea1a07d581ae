"""SECURITY.md names tests that exist, and says what artefacts hold of users' data."""

from __future__ import annotations

import ast
import re

import pytest

from support.checkout import ROOT, TESTS
from support.documents import Folder
from support.fuzzed_project import write_fuzzed_project

PAGE = ROOT / "SECURITY.md"
PROMISE = re.compile(r"^(\d+)\. (.+\n(?: {4}(?!- ).+\n)*)((?: {4}- `.+`\n)+)", re.MULTILINE)
TEXT = PAGE.read_text("utf-8") if PAGE.is_file() else ""
PROMISES = {int(number): re.findall(r"`(.+)`", tests) for number, _, tests in PROMISE.findall(TEXT)}

pytestmark = pytest.mark.skipif(not TEXT, reason="needs a checkout")


def names_of_tests(path):
    """The tests that a file defines."""
    functions = (one for one in ast.parse((ROOT / path).read_text("utf-8")).body if isinstance(one, ast.FunctionDef))
    return {one.name for one in functions if one.name.startswith("test_")}


def runs_in_processes(path):
    """Whether tests of a file run guests in processes: by their own engines, or because they are imported there."""
    text = (ROOT / path).read_text("utf-8")
    repeated = "".join(one.read_text("utf-8") for one in (TESTS / "isolation").glob("test_*as_in_threads.py"))
    module = path.removeprefix("tests/").removesuffix(".py").replace("/", ".")
    return path.startswith("tests/isolation/") or f"from {module} import *" in repeated or '"process"' in text


def test_promises_are_numbered_without_gaps():
    assert list(PROMISES) == list(range(1, len(PROMISES) + 1))
    assert len(PROMISES) == len(re.findall(r"^\d+\. ", TEXT, re.MULTILINE)) > 20


@pytest.mark.parametrize("number", PROMISES)
def test_a_promise_names_tests_that_exist(number):
    named = [test.partition("::")[::2] for test in PROMISES[number]]
    assert [f"{path}::{name}" for path, name in named if name not in names_of_tests(path)] == []


def test_a_promise_in_both_modes_is_tested_in_processes_too():
    section = TEXT.partition("\n## Promises in both modes\n")[2].partition("\nThese promises are kept by code")[0]
    numbers = [int(found) for found in re.findall(r"^(\d+)\. ", section, re.MULTILINE)]
    assert len(numbers) > 10
    alone = [n for n in numbers if not any(runs_in_processes(test.partition("::")[0]) for test in PROMISES[n])]
    assert alone == []


# What it writes is in the binary as the neighbours of its letters, so that its output is not also a constant.
GUEST = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "NTU,NG,Q@RRDE") (data (i32.const 16) "NTU,NG,G@HMDE") (data (i32.const 32) "CONSTANT-OF-GUEST")
  (func $say (param i32) (local $at i32)
    (loop
      (i32.store8 (i32.add (local.get 0) (local.get $at))
        (i32.xor (i32.const 1) (i32.load8_u (i32.add (local.get 0) (local.get $at)))))
      (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 13))))
    (i32.store (i32.const 100) (local.get 0)) (i32.store (i32.const 104) (i32.const 13))
    (drop (call $environ (i32.const 200) (i32.const 300)))
    (drop (call $write (i32.const 1) (i32.const 100) (i32.const 1) (i32.const 108))))
  (func (export "name-of-export") (param $argument i32) (param $fails i32)
    (call $say (select (i32.const 16) (i32.const 0) (local.get $fails)))
    (if (local.get $fails) (then unreachable))))
"""
TEST = """
import pytest

pytestmark = [
    pytest.mark.component("guest.wat"),
    pytest.mark.memory("1 MiB"),
    pytest.mark.wasi(env={"TOKEN": "ENVIRONMENT-OF-WASI"}),
]
RETURNED, FAILED = int("76543" "21"), int("1234" "567")


@pytest.mark.parametrize("way", ["PARAMETER-OF-PASSED"])
def test_passes(component, way):
    component.call("name-of-export", RETURNED, 0)


@pytest.mark.parametrize("way", ["PARAMETER-OF-FAILED"])
def test_fails(component, way):
    component.call("name-of-export", FAILED, 1)
"""
PLANTED = {
    "tests that failed": b"PARAMETER-OF-FAILED",
    "tests that passed": b"PARAMETER-OF-PASSED",
    "names of exports": b"name-of-export",
    "calls that failed": b"1234567",
    "calls that returned": b"7654321",
    "output, if the test failed": b"OUT-OF-FAILED",
    "output, if it passed": b"OUT-OF-PASSED",
    "environment of WASI": b"ENVIRONMENT-OF-WASI",
    "constants of guests": b"CONSTANT-OF-GUEST",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory, forks):
    """A project whose runs have written every artefact."""
    folder = Folder(tmp_path_factory.mktemp("artefacts"), forks)
    (folder.path / "guest.wat").write_text(GUEST)
    (folder.path / "test_guest.py").write_text(TEST)
    write_fuzzed_project(folder.path / "fuzzed")
    pytest_ = ("-m", "pytest", "-q", "-o", "wasm_cache_dir=cache", "-o", "junit_family=xunit2")
    reports = [f"--wasm-report=report.{suffix}" for suffix in ("json", "md", "html")]
    code, output = folder.run(*pytest_, *reports, "--junit-xml=junit.xml", "test_guest.py")
    assert (code, "1 failed, 1 passed" in output) == (1, True), output
    code, output = folder.run(*pytest_, "--wasm-fuel-snapshot=update", "test_guest.py", "-k", "passes")
    assert code == 0, output
    code, output = folder.run(*pytest_, "--airssys-wasm", "--wasm-fuzz=quick", "fuzzed")
    assert code == 1, output
    return folder.path


def rows():
    """The rows of the table of artefacts: the claims for each, by the kind of data."""
    table = TEXT.partition("\n## Data in artefacts\n")[2].partition("\n- ")[0]
    head, _, *body = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line
    ]
    return {row[0].strip("`"): dict(zip(head[1:], row[1:], strict=True)) for row in body}


@pytest.mark.slow
@pytest.mark.parametrize("artefact", rows())
def test_an_artefact_holds_the_data_that_the_page_says(artefact, project):
    path = project / artefact
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    content = b"".join(one.read_bytes() for one in files).replace(b",", b"")  # figures may be grouped
    assert content
    assert rows()[artefact] == {kind: "yes" if text in content else "no" for kind, text in PLANTED.items()}
