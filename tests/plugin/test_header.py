"""The header says when a guest cannot use up its fuel before its timeout."""

from __future__ import annotations

import re

import pytest

NOTE = re.compile(
    r"^wasm: this machine takes about [\d,]+ ms or more for 1,000,000,000,000,000 fuel, so the timeout of 20 ms comes "
    r"first \(fuel per ms: arithmetic [\d,]+, calls [\d,]+, loads and stores [\d,]+, bulk memory [\d,]+\)$",
    re.MULTILINE,
)
LIMITS = ("--wasm-fuel=1000000000000000", "--wasm-timeout-ms=10", "--wasm-timeout-scale=2")


def test_fuel_that_cannot_be_used_up_before_the_timeout_is_told(project):
    project.write(test_a="def test_a(): pass")
    ran = project.run(*LIMITS)
    assert ran.code == 0
    assert NOTE.search(ran.text), ran.text


@pytest.mark.parametrize(
    "limits", [(), ("--wasm-fuel=10000000",), ("--wasm-timeout-ms=10",), (*LIMITS, "--wasm-timeout-ms=0")]
)
def test_nothing_is_measured_for_usual_limits(project, limits):
    project.write(
        conftest="""
            import sys
            def pytest_terminal_summary(terminalreporter):
                terminalreporter.line(f"measured: {'pytest_airssys_wasm.analysis.speed' in sys.modules}")
        """,
        test_a="def test_a(): pass",
    )
    assert "measured: False" in project.run("-v", *limits).text


def test_a_machine_that_cannot_run_guests_has_no_note(project):
    project.write(
        conftest="""
            from pytest_airssys_wasm.analysis import speed
            from pytest_airssys_wasm.runtime.errors import UnfitHost
            def fail(): raise UnfitHost("threads", "none", "some")
            speed.fuel_per_ms = fail
        """,
        test_a="def test_a(): pass",
    )
    ran = project.run(*LIMITS)
    assert (ran.code, "this machine takes" in ran.text) == (0, False), ran.text
