"""`--wasm-fuzz=ci` finds the faults that were planted in guests of several languages, and shows the smallest input."""

from __future__ import annotations

import re
import shutil

import pytest

from pytest_airssys_wasm import OutOfFuel, ResourceLimits
from support.checkout import ROOT

GUESTS = ROOT / "tests" / "fuzzing" / "guests"

CI = ("--airssys-wasm", "--wasm-conformance=never", "--wasm-fuzz=ci", "-k", "fuzz or worst-case", ".")

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
        "fuzz-sequence": r"push\(0\); push\(0\); push\(0\); push\(0\); push\(0\) ended with trap \(unreachable\)",
    },
}
"""The checks of each guest that fail, and what they say."""


@pytest.mark.slow
@pytest.mark.parametrize("guest", FAULTS)
def test_each_planted_fault_is_found_and_shrunk_and_nothing_else_is_accused(project, guest):
    for name in ("Component.toml", f"{guest}.wasm"):
        shutil.copy(GUESTS / guest / name, project.folder)
    ran = project.run(*CI)
    failed = {node.partition("::")[2] for node, outcome in ran.results.items() if outcome != "passed"}
    assert failed == set(FAULTS[guest])
    for sentence in FAULTS[guest].values():
        assert re.search(rf"^{sentence}", ran.text, re.MULTILINE), sentence


@pytest.mark.slow
def test_the_text_that_reaches_the_fuel_limit_is_the_shortest_one(project, engine):
    for name in ("Component.toml", "parcels.wasm"):
        shutil.copy(GUESTS / "parcels" / name, project.folder)
    ran = project.run(*CI, "-k", "worst-case[squeeze]")
    (text,) = set(re.findall(r'^squeeze\("([ a]+)"\) ended', ran.text, re.MULTILINE))
    component = engine.load(GUESTS / "parcels" / "parcels.wasm")
    limits = ResourceLimits(memory="2 MiB", fuel=30_000, timeout_ms=20_000)
    with pytest.raises(OutOfFuel):
        engine.execute(component, "squeeze", text, limits=limits)
    for shorter in {text[:at] + text[at + 1 :] for at in range(len(text))}:
        engine.execute(component, "squeeze", shorter, limits=limits)
