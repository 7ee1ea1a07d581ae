"""Which limits hold: defaults < Component.toml < ini < command line < marker, the closest of them."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import pytest

from pytest_airssys_wasm.plugin import item_settings, markers
from pytest_airssys_wasm.plugin.settings import Given, OverCeiling, Settings
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

LAYERS = ("manifest", "settings", "marker")


def resolve(marks, settings, manifest):
    """The limits of a test with these markers, the closest first."""
    return item_settings.resolve_limits(
        "test_a.py::test_a", markers.read_all([one.mark for one in marks]), settings, manifest
    ).values


def manifest(memory=1_000, fuel=None, timeout_ms=None):
    return SimpleNamespace(path="Component.toml", memory_bytes=memory, max_fuel=fuel, timeout_ms=timeout_ms)


def given(value):
    return Given(value=value, where="ini value x")


@pytest.mark.parametrize("present", list(product((False, True), repeat=3)), ids=str)
def test_the_strongest_layer_that_says_something_wins(present):
    says = dict(zip(LAYERS, present, strict=True))
    marks = [*([pytest.mark.fuel(3), pytest.mark.timeout_ms(30)] if says["marker"] else []), pytest.mark.memory(9)]
    settings = Settings(wasm_fuel=given(2), wasm_timeout_ms=given(20)) if says["settings"] else Settings()
    found = resolve(marks, settings, manifest(fuel=1, timeout_ms=10) if says["manifest"] else None)
    strongest = max((number for number, layer in enumerate(LAYERS, 1) if says[layer]), default=None)
    assert found.fuel == (1_000_000 if strongest is None else strongest)
    assert found.timeout_ms == (100 if strongest is None else 10 * strongest)
    assert found.memory == 9


@pytest.mark.parametrize("present", list(product((False, True), repeat=3)), ids=str)
def test_memory_has_the_same_precedence_and_no_default(present):
    says = dict(zip(LAYERS, present, strict=True))
    marks = [pytest.mark.memory(3)] if says["marker"] else []
    settings = Settings(wasm_memory=given(2)) if says["settings"] else Settings()
    beside = manifest(memory=1) if says["manifest"] else None
    strongest = max((number for number, layer in enumerate(LAYERS, 1) if says[layer]), default=None)
    if strongest is not None:
        assert resolve(marks, settings, beside).memory == strongest
        return
    with pytest.raises(InvalidConfiguration) as caught:
        resolve(marks, settings, beside)
    for way in ("pytest.mark.memory", "--wasm-memory", "wasm_memory", "[resources.memory]"):
        assert way in str(caught.value)


def test_layers_mix_limit_by_limit():
    found = resolve(
        [pytest.mark.timeout_ms(7)],
        Settings(wasm_fuel=given(5)),
        manifest(memory=3, fuel=4, timeout_ms=6),
    )
    assert (found.memory, found.fuel, found.timeout_ms) == (3, 5, 7)


def test_each_limit_that_somebody_gave_has_an_origin():
    marks = markers.read_all([pytest.mark.timeout_ms(7).mark, pytest.mark.wasm_limits(tables=1).mark])
    found = item_settings.resolve_limits("test_a.py::test_a", marks, Settings(wasm_memory=given(5)), manifest(memory=3))
    assert found.origins == {
        "memory": "ini value x",
        "timeout_ms": "marker timeout_ms",
        "tables": "marker wasm_limits",
    }
    assert (found.values.memory, found.values.timeout_ms, found.values.tables) == (5, 7, 1)


def test_the_closest_marker_wins_and_counts_add_up():
    marks = [
        pytest.mark.memory(1),
        pytest.mark.memory(2),
        pytest.mark.wasm_limits(tables=1),
        pytest.mark.wasm_limits(tables=2, instances=5),
    ]
    found = resolve(marks, Settings(), None)
    assert (found.memory, found.tables, found.instances, found.memories) == (1, 1, 5, 16)


@pytest.mark.parametrize("limit", ["fuel", "memory", "timeout_ms"])
def test_a_limit_up_to_its_ceiling_is_fine_and_over_it_is_not(limit):
    settings = Settings(**{f"wasm_max_{limit}": 10})
    marks = {"memory": pytest.mark.memory(5), limit: getattr(pytest.mark, limit)(10)}
    assert getattr(resolve(marks.values(), settings, None), limit) == 10
    marks[limit] = getattr(pytest.mark, limit)(11)
    with pytest.raises(OverCeiling, match=f"marker {limit}: expected at most 10 .*wasm_max_{limit}.*, got 11"):
        resolve(marks.values(), settings, None)


@pytest.mark.parametrize("limit", ["fuel", "timeout_ms"])
def test_unlimited_is_over_any_ceiling(limit):
    with pytest.raises(OverCeiling, match="got 'unlimited'"):
        resolve(
            [pytest.mark.memory(1), getattr(pytest.mark, limit)(None)],
            Settings(**{f"wasm_max_{limit}": 1}),
            None,
        )


def test_a_manifest_over_the_ceiling_is_named():
    with pytest.raises(OverCeiling, match=r"Component.toml: fuel: expected at most 10 .*, got 11"):
        resolve([], Settings(wasm_max_fuel=10), manifest(fuel=11))


def test_a_ceiling_below_the_built_in_default_lowers_it():
    found = resolve([pytest.mark.memory(1)], Settings(wasm_max_fuel=10, wasm_max_timeout_ms=5), None)
    assert (found.fuel, found.timeout_ms) == (10, 5)


def test_precedence_holds_from_end_to_end(guest):
    guest.write(
        pytest_ini="[pytest]\nwasm_fuel = 2000\nwasm_timeout_ms = 2 s\n",
        Component_toml="""
            [component]
            name = "kernels"
            version = "0.1.0"
            [resources.memory]
            max_bytes = 1048576
            [resources.cpu]
            max_fuel = 1000
        """,
        test_a="""
            import pytest
            pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.wasm_limits(tables=7)]

            def test_ini(wasm_limits):
                assert (wasm_limits.memory, wasm_limits.fuel, wasm_limits.timeout_ms) == (2**20, 2000, 2000)
                assert wasm_limits.tables == 7

            @pytest.mark.fuel(3000)
            class TestClass:
                def test_class(self, wasm_limits):
                    assert wasm_limits.fuel == 3000
                @pytest.mark.fuel(4000)
                @pytest.mark.wasm_limits(tables=8)
                def test_function(self, wasm_limits):
                    assert (wasm_limits.fuel, wasm_limits.tables) == (4000, 8)
                @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.fuel(5000))])
                def test_parameter(self, n, wasm_limits):
                    assert wasm_limits.fuel == 5000
        """,
        test_cli="""
            import pytest
            @pytest.mark.component("kernels.wat")
            def test_cli(wasm_limits):
                assert (wasm_limits.memory, wasm_limits.fuel, wasm_limits.timeout_ms) == (2**19, 2500, 50)
        """,
    )
    ran = guest.run("test_a.py")
    assert (ran.code, ran.count("passed")) == (0, 4), ran.text
    ran = guest.run("test_cli.py", "--wasm-memory=512 KiB", "--wasm-fuel=2500", "--wasm-timeout-ms=50")
    assert ran.code == 0, ran.text


def test_a_test_without_memory_is_a_set_up_error_that_names_the_ways(guest):
    guest.write(
        test_a="""
            import pytest
            @pytest.mark.component("kernels.wat")
            def test_a(component): pass
        """
    )
    ran = guest.run()
    assert ran.results == {"test_a.py::test_a": "error"}
    assert "test_a.py::test_a: memory: expected a limit, because there is no default: @pytest.mark.memory" in ran.text
    assert "fixtures.py" not in ran.text
