"""The end of a run says which limits of manifests and markers cannot be used up before their timeouts."""

from __future__ import annotations

import re

import pytest

MANIFEST = """
[component]
name = "kernels"
version = "1"
wasm = "kernels.wat"
[resources.memory]
max_bytes = "1 MiB"
[resources.cpu]
max_fuel = {fuel}
timeout_ms = {timeout_ms}
"""
TESTS = """
import pytest
pytestmark = pytest.mark.component("kernels.wat")
def test_a(component): assert component.add(1, 2) == 3
def test_b(component): assert component.add(1, 2) == 3
@pytest.mark.fuel(7_000_000_000_000)
@pytest.mark.timeout_ms(30_000)
def test_marked(component): assert component.add(1, 2) == 3
"""
CONFTEST = """
import sys
from pytest_airssys_wasm.analysis import speed
measured = []
def fuel_per_ms():
    measured.append(1)
    return {"arithmetic": 1e6, "calls": 5e5, "loads and stores": 2e6, "bulk memory": 1e8}
speed.fuel_per_ms = fuel_per_ms
def pytest_unconfigure():
    print(f"measured: {len(measured)}")
"""
SPEEDS = "wasm: fuel per ms: arithmetic 1,000,000, calls 500,000, loads and stores 2,000,000, bulk memory 100,000,000"


def notes(ran):
    return re.findall(r"^wasm: this machine takes about [\d,]+ ms or more for (.*)$", ran.text, re.MULTILINE)


@pytest.fixture
def author(guest):
    guest.write(conftest=CONFTEST, Component_toml=MANIFEST.format(fuel=10**15, timeout_ms=20_000), test_a=TESTS)
    guest.environment["COLUMNS"] = "300"
    return guest


OF_THE_MANIFEST = (
    "1,000,000,000,000,000 fuel (max_fuel of Component.toml), so the timeout of 20,000 ms (timeout_ms of Component.toml) "
    "comes first; "
)
OF_THE_MARKERS = (
    "7,000,000,000,000 fuel (marker fuel), so the timeout of 30,000 ms (marker timeout_ms) comes first; 1 check or test"
)


@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_each_pair_of_limits_of_manifests_and_markers_is_told_once(author, workers):
    ran = author.run("-q", "-n", workers)
    assert ran.code == 0, ran.text
    assert notes(ran) == [OF_THE_MARKERS, f"{OF_THE_MANIFEST}2 checks and tests"]
    assert ran.text.count(f"{SPEEDS} on this machine") == 1


@pytest.mark.slow
def test_the_checks_of_a_manifest_count(author):
    ran = author.run("--airssys-wasm", "-k", "instantiates", ".")
    assert notes(ran) == [f"{OF_THE_MANIFEST}1 check or test"]


@pytest.mark.slow
def test_limits_that_the_header_has_judged_are_not_told_again(author):
    ran = author.run("--wasm-fuel=1000000000000000", "--wasm-timeout-ms=20000", "-k", "not marked")
    assert len(notes(ran)) == 1
    assert ran.text.index("this machine takes") < ran.text.index("collected")
    quiet = author.run("--wasm-fuel=1000000000000000", "--wasm-timeout-ms=20000", "-k", "not marked", "-qq")
    assert len(notes(quiet)) == 1


def test_nothing_is_measured_for_usual_limits(author):
    author.write(
        Component_toml=MANIFEST.format(fuel=100_000, timeout_ms=2_000),
        test_a=TESTS.replace("7_000_000_000_000", "100_000"),
    )
    ran = author.run("-v")
    assert ran.code == 0, ran.text
    assert "measured: 0" in ran.text
    assert "fuel per ms" not in ran.text


@pytest.mark.parametrize(
    ("fuel", "lasts", "ends"),
    [
        ("100,000", "0.2", "and {} only ends guests that wait"),
        ("100,000,000", "200", "and {} only ends guests that wait"),
        ("100,000,001", "200", "and {} ends guests that wait, or whose instructions take long for their fuel"),
        ("1,000,000,000", "2,000", "and {} ends guests that wait, or whose instructions take long for their fuel"),
        ("5,000,000,000", "10,000", "so {} may come first on a slower or busier machine"),
    ],
)
@pytest.mark.slow
def test_the_summary_says_of_all_limits_which_of_them_comes_first(author, fuel, lasts, ends):
    author.write(
        Component_toml=MANIFEST.format(fuel=fuel.replace(",", "_"), timeout_ms=20_000),
        test_a=TESTS.partition("@pytest.mark")[0],
    )
    ran = author.run("--wasm-summary")
    timeout = "the timeout of 20,000 ms (timeout_ms of Component.toml)"
    assert (
        f"\nwasm: {fuel} fuel (max_fuel of Component.toml) lasts for about {lasts} ms in ordinary code, "
        f"{ends.format(timeout)}; 2 checks and tests\n"
    ) in ran.text
    assert "measured: 1" in ran.text


@pytest.mark.slow
def test_bulk_memory_operations_may_use_up_what_outlasts_the_timeout_of_other_code(author):
    author.write(
        Component_toml=MANIFEST.format(fuel=2 * 10**12, timeout_ms=20_000), test_a=TESTS.partition("@pytest.mark")[0]
    )
    (note,) = notes(author.run("-q"))
    assert note.endswith("comes first, except in bulk memory operations; 2 checks and tests")


@pytest.mark.slow
def test_of_many_pairs_only_some_are_told(author):
    marks = "".join(
        f"@pytest.mark.fuel({n}_000_000_000_000)\n@pytest.mark.timeout_ms(30_000)\n"
        f"def test_{n}(component): assert component.add(1, 2) == 3\n"
        for n in range(1, 9)
    )
    author.write(
        test_a="import pytest\npytestmark = [pytest.mark.component('kernels.wat'), pytest.mark.memory('1 MiB')]\n"
        + marks
    )
    ran = author.run()
    assert len(notes(ran)) == 5
    assert "wasm: and 3 other pairs of fuel limit and timeout" in ran.text


@pytest.mark.slow
def test_a_machine_that_cannot_be_measured_has_no_note(author):
    author.write(
        conftest="""
            from pytest_airssys_wasm.analysis import speed
            def fail(): raise OSError("no")
            speed.fuel_per_ms = fail
        """
    )
    ran = author.run("--wasm-summary")
    assert (ran.code, notes(ran), "fuel per ms" in ran.text) == (0, [], False), ran.text
