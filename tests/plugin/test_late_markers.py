"""A marker that is added when its fixture is there already is refused where it is added: it would have no effect."""

from __future__ import annotations

import pytest

from support.passing import HEAD, passes


@pytest.mark.slow
def test_a_marker_in_a_test_body_is_too_late(guest):
    passes(
        guest,
        test_a=HEAD
        + """
@pytest.mark.parametrize("marker", [
    pytest.mark.fuel(5), pytest.mark.memory("2 MiB"), pytest.mark.timeout_ms(1), pytest.mark.wasm_limits(tables=1),
    pytest.mark.wasi(), pytest.mark.component("other.wat"), "wasi",
], ids=str)
@pytest.mark.parametrize("way", ["node", "request"])
def test_late(component, request, marker, way):
    before = [*request.node.iter_markers()]
    name = marker if isinstance(marker, str) else marker.name
    with pytest.raises(InvalidConfiguration, match=f"marker {name}: .*before the fixture .* added later"):
        request.node.add_marker(marker) if way == "node" or marker == "wasi" else request.applymarker(marker)
    assert [*request.node.iter_markers()] == before
    assert component.add(1, 2) == 3
""",
    )


def test_other_markers_and_early_ones_are_added(guest):
    passes(
        guest,
        pytest_ini="[pytest]\nmarkers = mine\n",
        test_a=HEAD
        + """
def test_others(component, request):
    for marker in (pytest.mark.mine, "mine", pytest.mark.fuel_snapshot(tolerance="2 %")):
        request.node.add_marker(marker, append=False)
    assert request.node.own_markers[0].name == "fuel_snapshot"
    request.node.add_marker(pytest.mark.xfail(strict=True))
    assert component.add(1, 2) == 4

def test_before_its_fixture(request):
    request.node.add_marker(pytest.mark.fuel(77), append=False)
    assert request.getfixturevalue("wasm_limits").fuel == 77
    request.node.add_marker(pytest.mark.wasi(args=["a"]))  # which limits have nothing to do with
    assert request.getfixturevalue("limited_store").wasi.args == ["a"]
    with pytest.raises(InvalidConfiguration, match="fuel"):
        request.node.add_marker(pytest.mark.fuel(78))
    with pytest.raises(InvalidConfiguration, match="wasi"):
        request.node.add_marker(pytest.mark.wasi())

def test_no_guest(request):
    request.node.add_marker(pytest.mark.fuel(77))
""",
    )


@pytest.mark.slow
def test_another_attempt_may_add_its_marker_again(guest):
    guest.plugins = (*guest.plugins, "rerunfailures")
    guest.write(
        test_a=HEAD
        + """
@pytest.fixture(autouse=True)
def further(request):
    request.node.add_marker(pytest.mark.fuel(1_000), append=False)

@pytest.mark.flaky(reruns=1)
def test_a(component, wasm_limits):
    assert wasm_limits.fuel == 1_000
    assert False
"""
    )
    ran = guest.run()
    assert ran.count("failed") == 1
    assert ran.count("rerun") == 1
    assert "added later" not in ran.text


@pytest.mark.slow
def test_the_failure_is_shown_at_the_line(guest):
    guest.write(
        test_a=HEAD
        + """
def test_a(component, request):
    request.node.add_marker(pytest.mark.fuel(5))
"""
    )
    ran = guest.run()
    assert ">       request.node.add_marker(pytest.mark.fuel(5))" in ran.text
    assert "late_markers.py" not in ran.text
    assert "test_a.py::test_a: marker fuel: expected a marker on the test, its class or module" in ran.text
    assert "got @pytest.mark.fuel(5), which was added later" in ran.text
