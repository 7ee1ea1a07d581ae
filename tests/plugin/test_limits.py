"""Which limits hold: defaults < ini < Component.toml < command line < marker, the closest of them."""

from __future__ import annotations

import re
from itertools import product
from types import SimpleNamespace

import pytest

from pytest_airssys_wasm.plugin import item_settings, markers
from pytest_airssys_wasm.plugin.ceilings import OverCeiling
from pytest_airssys_wasm.plugin.given import Given
from pytest_airssys_wasm.plugin.settings import Settings
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

LAYERS = ("ini", "manifest", "command line", "marker")


def resolve(marks, settings, manifest):
    """The limits of a test with these markers, the closest first."""
    return item_settings.resolve_limits(
        "test_a.py::test_a", markers.read_all([one.mark for one in marks]), settings, manifest
    ).values


def manifest(memory=1_000, fuel=None, timeout_ms=None):
    return SimpleNamespace(path="Component.toml", memory_bytes=memory, max_fuel=fuel, timeout_ms=timeout_ms)


def given(value, where="ini value x"):
    return Given(value=value, where=where, is_from_command_line=where.startswith("--"))


def settings_of(says, **values):
    """The settings of which the command line says twice the value of the ini file, as far as both are given."""
    found = {name: given(value) for name, value in values.items() if says["ini"]}
    if says["command line"]:
        found = {name: given(3 * value, f"--{name}") for name, value in values.items()}
    return Settings(**found)


def strongest_of(says):
    return max((number for number, layer in enumerate(LAYERS, 1) if says[layer]), default=None)


EACH_PRESENCE = [dict(zip(LAYERS, present, strict=True)) for present in product((False, True), repeat=len(LAYERS))]


@pytest.mark.parametrize("says", EACH_PRESENCE, ids=lambda says: "+".join(one for one in LAYERS if says[one]) or "none")
def test_the_strongest_layer_that_says_something_wins(says):
    marks = [*([pytest.mark.fuel(4), pytest.mark.timeout_ms(40)] if says["marker"] else []), pytest.mark.memory(9)]
    beside = manifest(fuel=2, timeout_ms=20) if says["manifest"] else None
    found = resolve(marks, settings_of(says, wasm_fuel=1, wasm_timeout_ms=10), beside)
    strongest = strongest_of(says)
    assert found.fuel == (1_000_000 if strongest is None else strongest)
    assert found.timeout_ms == (100 if strongest is None else 10 * strongest)
    assert found.memory == 9


@pytest.mark.parametrize("says", EACH_PRESENCE, ids=lambda says: "+".join(one for one in LAYERS if says[one]) or "none")
def test_memory_has_the_same_precedence_and_no_default(says):
    marks = [pytest.mark.memory(4)] if says["marker"] else []
    settings = settings_of(says, wasm_memory=1)
    beside = manifest(memory=2) if says["manifest"] else None
    strongest = strongest_of(says)
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
        Settings(wasm_fuel=given(5, "--wasm-fuel")),
        manifest(memory=3, fuel=4, timeout_ms=6),
    )
    assert (found.memory, found.fuel, found.timeout_ms) == (3, 5, 7)


def origins_of(marks, settings, manifest):
    read = markers.read_all([one.mark for one in marks])
    return item_settings.resolve_limits("test_a.py::test_a", read, settings, manifest)


def test_each_limit_has_an_origin():
    marks = [pytest.mark.timeout_ms(7), pytest.mark.wasm_limits(tables=1)]
    assert origins_of(marks, Settings(wasm_fuel=given(5)), manifest(memory=3)).origins == {
        "memory": "max_bytes of Component.toml",
        "fuel": "ini value x",
        "timeout_ms": "marker timeout_ms",
        "tables": "marker wasm_limits",
    }
    defaults = origins_of([pytest.mark.memory(1)], Settings(wasm_max_fuel=10), None).origins
    assert (defaults["fuel"], defaults["timeout_ms"]) == (
        "the ceiling wasm_max_fuel of the ini file",
        "the built-in default",
    )


def test_the_command_line_says_which_limits_of_a_manifest_it_replaces():
    ordered = Settings(
        wasm_memory=given(4 * 2**20, "--wasm-memory"),
        wasm_fuel=given(2_000, "--wasm-fuel"),
        wasm_timeout_ms=given(70.0, "--wasm-timeout-ms"),
    )
    declared = manifest(memory=524_288, fuel=1_000, timeout_ms=50)
    texts = (
        "memory 4 MiB from --wasm-memory, the manifest says 512 KiB",
        "fuel 2,000 from --wasm-fuel, the manifest says 1,000",
        "timeout 70 ms from --wasm-timeout-ms, the manifest says 50 ms",
    )
    assert set(origins_of([], ordered, declared).overruled) == set(texts)
    # Neither what a marker decides, nor what the manifest leaves out, nor what is the same.
    marks = [pytest.mark.memory("1 MiB")]
    assert origins_of(marks, ordered, manifest(memory=524_288, fuel=2_000)).overruled == ()
    # And the ini file replaces nothing.
    assert origins_of([], Settings(wasm_memory=given(4 * 2**20)), declared).overruled == ()


@pytest.mark.parametrize(
    ("marks", "declared", "plain"),
    [
        ([pytest.mark.timeout_ms(30)], None, 30),
        ([], 20, 20),
        ([], None, 100),
        ([pytest.mark.timeout_ms(None)], 20, None),
    ],
)
def test_timeouts_alone_are_scaled(marks, declared, plain):
    beside = manifest(memory=3, fuel=4, timeout_ms=declared)
    found = origins_of(marks, Settings(wasm_timeout_scale=2.5), beside)
    assert (found.values.memory, found.values.fuel) == (3, 4)
    assert found.values.timeout_ms == (None if plain is None else 2.5 * plain)
    assert found.origins["timeout_ms"].endswith(f", {plain} ms times 2.5") == (plain is not None)


def test_ceilings_are_compared_before_scaling():
    settings = Settings(wasm_timeout_scale=4.0, wasm_max_timeout_ms=50.0)
    assert resolve([pytest.mark.memory(1), pytest.mark.timeout_ms(50)], settings, None).timeout_ms == 200
    with pytest.raises(OverCeiling):
        resolve([pytest.mark.memory(1), pytest.mark.timeout_ms(51)], settings, None)


def test_all_limits_over_their_ceilings_are_told():
    settings = Settings(wasm_max_fuel=10, wasm_max_memory=10, wasm_max_timeout_ms=10)
    with pytest.raises(OverCeiling) as caught:
        resolve([pytest.mark.fuel(11)], settings, manifest(memory=12, timeout_ms=13))
    text = str(caught.value)
    assert [text.count(f"wasm_max_{name}") for name in ("fuel", "memory", "timeout_ms")] == [1, 1, 1]
    assert all(f"got {value}" in text for value in (11, 12, 13))


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
    with pytest.raises(OverCeiling, match=r"max_fuel of Component.toml: expected at most 10 .*, got 11"):
        resolve([], Settings(wasm_max_fuel=10), manifest(fuel=11))


def test_a_ceiling_below_the_built_in_default_lowers_it():
    found = resolve([pytest.mark.memory(1)], Settings(wasm_max_fuel=10, wasm_max_timeout_ms=5), None)
    assert (found.fuel, found.timeout_ms) == (10, 5)


@pytest.mark.slow
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
                assert (wasm_limits.memory, wasm_limits.fuel, wasm_limits.timeout_ms) == (2**20, 1000, 2000)
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


@pytest.mark.slow
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


HUNGRY = """(module (memory (export "memory") 1)
  (func (export "f") (result i32) i32.const 20 memory.grow i32.const -1 i32.eq (if (then unreachable)) i32.const 7))"""
MANIFEST = """
    [component]
    name = "hungry"
    version = "0.1.0"
    wasm = "hungry.wat"
    [resources.memory]
    max_bytes = 524288
    [[tests]]
    name = "it needs 1.3 MiB"
    call = "f"
    returns = 7
"""
OVERRULED = "memory 4 MiB from --wasm-memory, the manifest says 512 KiB"


def write_hungry(project):
    project.write(hungry_wat=HUNGRY, Component_toml=MANIFEST)
    project.write(
        test_a="""
            import pytest
            @pytest.mark.component("hungry.wat")
            def test_a(component):
                assert component.f() == 7
            @pytest.mark.component("hungry.wat")
            @pytest.mark.memory("4 MiB")
            def test_marked(component):
                assert component.f() == 7
        """
    )


@pytest.mark.slow
def test_a_line_in_the_ini_file_does_not_void_the_limit_of_a_manifest(project):
    write_hungry(project)
    project.write(pytest_ini="[pytest]\nwasm_memory = 4 MiB\n")
    ran = project.run("--airssys-wasm", "--wasm-conformance=never", ".")
    entry = "Component.toml::tests[it needs 1.3 MiB]"
    assert ran.results[entry] == "failed", ran.text
    assert ran.results["test_a.py::test_a"] == "failed"
    assert ran.results["test_a.py::test_marked"] == "passed"
    assert "max_bytes of Component.toml" in ran.text
    assert "raise max_bytes under [resources.memory]" in ran.text


@pytest.mark.slow
def test_each_limit_of_a_manifest_over_its_ceiling_has_a_line(project):
    write_hungry(project)
    project.write(
        pytest_ini="[pytest]\nwasm_max_memory = 256 KiB\nwasm_max_fuel = 50\n",
        Component_toml=MANIFEST.replace("[[tests]]", "[resources.cpu]\n    max_fuel = 100\n    [[tests]]"),
    )
    text = project.run("--airssys-wasm", "--wasm-conformance=never", "Component.toml", "-rs").text
    lines = text.splitlines()
    assert (
        "max_fuel of Component.toml: expected at most 50 (the ceiling wasm_max_fuel of the ini file), got 100" in lines
    )
    assert "\\n" not in text
    (skipped,) = [line for line in lines if line.startswith("SKIPPED")]
    assert skipped.endswith("(the ceiling wasm_max_memory of the ini file), got 524288")


@pytest.mark.slow
def test_the_command_line_is_obeyed_and_each_test_that_it_touches_says_so(project):
    write_hungry(project)
    ran = project.run("--airssys-wasm", "--wasm-conformance=never", ".", "--wasm-memory=4 MiB", "--wasm-summary")
    assert ran.code == 0, ran.text
    said = [line for line in ran.text.splitlines() if OVERRULED in line]
    assert sum(line.startswith("limit    ") for line in said) == 5, ran.text  # four checks and a test
    noted = [line.split(":")[0].strip() for line in said if line.startswith("  ")]
    assert noted == ["limits", "instantiates", "deterministic", "tests[it needs 1.3 MiB]"]
    assert any(line.startswith("wasm limit: ") and line.endswith("(5 checks and tests)") for line in said)
    quiet = project.run("-q", "--airssys-wasm", "--wasm-conformance=never", ".", "--wasm-memory=4 MiB")
    assert f"wasm limit: {OVERRULED} (5 checks and tests)" in quiet.text
    failing = project.run("test_a.py::test_a", "--wasm-memory=700 KiB")
    assert "limit    memory 700 KiB from --wasm-memory, the manifest says 512 KiB" in failing.text
    checked = project.run("--airssys-wasm", "Component.toml::limits", "--wasm-memory=100").text
    said = "memory 100 B from --wasm-memory, the manifest says 512 KiB"
    assert [line for line in checked.splitlines() if said in line] == [
        f"limit    {said}",
        f"wasm limit: {said} (1 check or test)",
    ]
    assert "memory   peak 64 KiB of 700 KiB (9.1 %) from --wasm-memory, 1 growth refused" in failing.text


@pytest.mark.slow
def test_all_wrong_markers_of_a_file_are_told_once(guest):
    guest.write(
        pytest_ini="[pytest]\nwasm_max_fuel = 10\nwasm_max_memory = 1 KiB\n",
        test_a="""
            import pytest
            @pytest.mark.parametrize("n", range(5))
            @pytest.mark.fuel(11)
            @pytest.mark.memory("1 MiB")
            def test_a(n): pass
            @pytest.mark.fuel(12)
            def test_b(): pass
        """,
    )
    ran = guest.run()
    assert ran.code == 4, ran.text
    assert "test_a.py::test_a[0] (and 4 more tests): marker fuel: expected at most 10" in ran.text
    assert ran.text.count("wasm_max_memory") == 1
    assert "test_a.py::test_b: marker fuel: expected at most 10" in ran.text


@pytest.mark.slow
def test_the_scale_holds_for_tests_and_stands_in_what_reproduces_them(guest):
    guest.write(
        test_a="""
            import pytest
            @pytest.mark.component("kernels.wat")
            @pytest.mark.memory("1 MiB")
            @pytest.mark.timeout_ms(20)
            @pytest.mark.fuel(None)
            def test_a(component, wasm_limits):
                assert wasm_limits.timeout_ms == 30
                component.count(-1)
        """
    )
    ran = guest.run("--wasm-timeout-scale=1.5")
    assert re.search(r"of 30 ms \(1\d\d %\) from marker timeout_ms, 20 ms times 1.5", ran.text), ran.text
    assert "rerun    pytest --wasm-timeout-scale 1.5 test_a.py::test_a" in ran.text
    assert "timeouts times 1.5" in ran.text
