"""`--wasm-fuzz=ci` finds the faults that were planted in guests of several languages, and shows the smallest input."""

from __future__ import annotations

import re
import shutil

import pytest

from pytest_airssys_wasm import OutOfFuel, ResourceLimits
from support.checkout import ROOT

GUESTS = ROOT / "tests" / "fuzzing" / "guests"

FUZZED = ("--airssys-wasm", "--wasm-conformance=never", ".")

FAULTS = {
    "parcels": {
        "fuzz[route]": r'route\("R-7Q!"\) ended with trap \(unreachable\)',
        "worst-case[squeeze]": r'squeeze\("[ a]+"\) ended with out-of-fuel; the cost grows like n\^2',
        "fuzz-sequence": r'remember\(""\) makes memory grow from .*, without end',
    },
    "orders": {
        "fuzz[price]": r"price\(share\(101\)\) ended with trap \(unreachable\)",
        "fuzz[stamp]": r"stamp\(70001\) returned \d+, and in another fresh instance \d+",
        "fuzz-sequence": r"(r\d+ = baskets#\[constructor\]basket\(\); ){2}baskets#\[static\]basket\.merge\(.*\) "
        r"ended with trap \(unknown-handle\)",
    },
    "notes": {
        "fuzz[sum]": r"sum\(\[0, 0, 0, 0, 0, 0, 0, 0, 0\]\) ended with trap \(unreachable\)",
        "fuzz[next]": r"next\('\\u\{d7ff\}'\) ended with trap \(invalid-char\)",
        # Which of the two comes first depends on how long the search may take.
        "fuzz-sequence": r"push\(0\)((; push\(0\)){4} ended with trap \(unreachable\)| .* in repetition 5 in one instance)",
    },
}
"""The checks of each guest that fail, and what they say."""


@pytest.fixture(params=FAULTS)
def planted(request, project):
    """The name of a guest in the project."""
    for name in ("Component.toml", f"{request.param}.wasm"):
        shutil.copy(GUESTS / request.param / name, project.folder)
    return request.param


def outcomes(ran):
    return {node.partition("::")[2]: outcome for node, outcome in ran.results.items()}


@pytest.mark.slow
def test_each_planted_fault_is_found_and_shrunk(project, planted, engine):
    wanted = " or ".join(FAULTS[planted])
    ran = project.run(*FUZZED, "--wasm-fuzz=ci", "-k", wanted)
    assert outcomes(ran) == dict.fromkeys(FAULTS[planted], "failed")
    for sentence in FAULTS[planted].values():
        assert re.search(rf"^{sentence}", ran.text, re.MULTILINE), sentence
    if planted == "parcels":
        (text,) = set(re.findall(r'^squeeze\("([ a]+)"\) ended', ran.text, re.MULTILINE))
        assert_shortest_beyond_the_fuel_limit(engine, text)


def assert_shortest_beyond_the_fuel_limit(engine, text):
    component = engine.load(GUESTS / "parcels" / "parcels.wasm")
    limits = ResourceLimits(memory="2 MiB", fuel=30_000, timeout_ms=20_000)
    with pytest.raises(OutOfFuel):
        engine.execute(component, "squeeze", text, limits=limits)
    for shorter in {text[:at] + text[at + 1 :] for at in range(len(text))}:
        engine.execute(component, "squeeze", shorter, limits=limits)


@pytest.mark.slow
def test_nothing_else_of_a_planted_guest_is_accused(project, planted):
    others = " and ".join(f"not {check}" for check in FAULTS[planted])
    ran = project.run(*FUZZED, "--wasm-fuzz=quick", "-k", f"(fuzz or worst-case) and {others}")
    assert len(outcomes(ran)) >= 5
    assert {*outcomes(ran).values()} == {"passed"}
