"""The reference adapter is what it says: small, of wasmtime-py alone, and wrong only where its list says so. That it is
wrong there, and nowhere else, is what `nox -s suite` tries.
"""

from __future__ import annotations

import ast
import sys

from pytest_airssys_wasm.conformance.known_failures import read_known_failures
from pytest_airssys_wasm.conformance.loader import find_chapters
from support.checkout import ADAPTERS

SOURCE = (ADAPTERS / "raw_wasmtime.py").read_text("utf-8")
CASES = [case.node_id for chapter in find_chapters() for case in chapter.cases()]


def test_it_uses_the_standard_library_and_wasmtime():
    imported = [
        name
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    others = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert others == {"wasmtime"}


def test_it_is_shorter_than_a_hundred_lines():
    assert len(SOURCE.splitlines()) < 100


def test_its_lines_are_no_longer_than_the_projects():
    assert max(map(len, SOURCE.splitlines())) <= 120


def test_its_known_failures_are_cases_with_reasons():
    known = read_known_failures(ADAPTERS / "raw_wasmtime.toml", CASES)
    # It promises no limits on output and no kinds of traps, and so fails nothing there but what the protocol says of all.
    assert {case.split("/")[1] for case in known} >= {
        "memory",
        "timeout",
        "priority",
        "transfer",
        "isolation",
        "cleanup",
    }
    assert "output" not in {case.split("/")[1] for case in known}
    # Only what depends on the machine and on the collector may end either way.
    sometimes = {case.split("/")[1] for case, failure in known.items() if failure.sometimes}
    assert sometimes == {"timeout", "hostile", "cleanup"}
