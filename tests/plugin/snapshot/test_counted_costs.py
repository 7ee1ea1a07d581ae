"""`--wasm-fuel-snapshot`: which executions are costs of a test, and under which names they are recorded."""

from __future__ import annotations

import json

import pytest

from support.snapshot_runs import content, edit, told


@pytest.mark.slow
def test_set_up_generated_tests_and_lower_bounds_do_not_count_and_sections_count_once(guest):
    guest.write(
        test_a="""
            import pytest
            from hypothesis import given, settings, strategies as st
            from pytest_airssys_wasm import ComponentTrapped, ResourceLimits
            pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB")]

            @pytest.fixture
            def ready(component):
                component.count(1000)
                yield component
                component.count(1000)

            def test_set_up(ready): ready.add(1, 2)

            def test_sections(component, fuel_snapshot):
                component.add(1, 2)
                with fuel_snapshot("both"):
                    component.add(1, 2)
                    with fuel_snapshot("inner"):
                        component.add(1, 2)
                    component.count(1)
                with fuel_snapshot("both"):
                    component.add(1, 2)

            @settings(max_examples=2, database=None)
            @given(st.integers(0, 9))
            def test_generated(wasm_engine, n):
                limits = ResourceLimits(memory=2**20, fuel=100, timeout_ms=None)
                wasm_engine.execute(wasm_engine.load("kernels.wat"), "add", n, n, limits=limits)

            def test_bad_section(fuel_snapshot):
                with pytest.raises(ValueError, match="the name of a section"):
                    fuel_snapshot("").__enter__()

            @pytest.mark.component('(module (memory 1) (func (export "run") (drop (i32.load (i32.const 65536)))))')
            def test_beyond(component):
                with pytest.raises(ComponentTrapped): component.run()
        """
    )
    ran = guest.run("--wasm-fuel-snapshot=update")
    assert ran.code == 0, ran.text
    lines = [one for one in json.loads(content(guest)) if one["line"] == "cost"]
    found = {(one["test"].rpartition("_")[2], one.get("section") or one.get("export")): one["fuel"] for one in lines}
    assert found == {
        ("beyond", None): 0,
        ("up", "add"): 4,
        ("sections", None): 0,
        ("sections", "add"): 4,
        ("sections", "both"): 14,
        ("sections", "inner"): 4,
    }
    assert guest.run().code == 0  # without the option, sections have no effect


@pytest.mark.slow
def test_the_tests_of_a_manifest_are_in_the_snapshot_but_its_checks_are_not(guest):
    guest.write(
        Component_toml="""
            [component]
            name = "kernels"
            version = "0.1.0"
            [resources.memory]
            max_bytes = 1048576
            [[tests]]
            name = "adds"
            call = "add"
            args = [1, 2]
            returns = 3
        """,
    )
    guest.path("kernels.wat").rename(guest.path("kernels.wasm"))
    ran = guest.run("--airssys-wasm", ".", "--wasm-fuel-snapshot=update")
    assert ran.code == 0, ran.text
    assert {test for test, _ in told(ran)} == {"Component.toml::tests[adds]"}
    ran = guest.run("--wasm-fuel-snapshot=check", "-v")
    assert set(told(ran).values()) == {"not-run"}
    edit(guest, "Component.toml", "args = [1, 2]", "arguments = [1, 2]")
    ran = guest.run("--airssys-wasm", ".", "--wasm-fuel-snapshot=check", "-v")
    assert (ran.code, set(told(ran).values())) == (1, {"not-run"})
    edit(guest, "Component.toml", "arguments = [1, 2]", "args = [1, 2]")
    edit(guest, "Component.toml", '"adds"', '"sums"')
    ran = guest.run("--airssys-wasm", ".", "--wasm-fuel-snapshot=check")
    assert {(test, state) for (test, _), state in told(ran).items()} == {
        ("Component.toml::tests[adds]", "removed"),
        ("Component.toml::tests[sums]", "new"),
    }


@pytest.mark.slow
def test_another_attempt_and_subtests_count_once(guest):
    guest.plugins = (*guest.plugins, "rerunfailures")
    guest.write(
        test_a="""
            import pytest
            pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB")]
            attempts = []

            @pytest.mark.flaky(reruns=2)
            def test_again(component):
                attempts.append(component.add(1, 2))
                assert len(attempts) == 2

            def test_parts(component, subtests):
                for n in range(3):
                    with subtests.test(n=n):
                        component.add(1, n)
        """
    )
    ran = guest.run("--wasm-fuel-snapshot=update")
    assert ran.code == 0, ran.text
    lines = [one for one in json.loads(content(guest)) if one.get("export") == "add"]
    assert {one["test"]: (one["fuel"], one["executions"]) for one in lines} == {
        "test_a.py::test_again": (4, 1),
        "test_a.py::test_parts": (12, 3),
    }
    edit(guest, "test_a.py", "component.add(1, n)", "assert component.add(1, n) < 3")
    ran = guest.run("--wasm-fuel-snapshot=check", "-v")
    assert told(ran) == {
        ("test_a.py::test_parts", "add"): "not-run",
        ("test_a.py::test_parts", "instantiation"): "not-run",
    }


@pytest.mark.slow
def test_tests_with_the_same_name_are_not_recorded_in_any_order_and_said_to_be_so(guest):
    guest.write(
        conftest="def pytest_collection_modifyitems(items, config): config.option.verbose > 0 and items.reverse()",
        test_a="""
            import pytest
            pytestmark = [
                pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB"), pytest.mark.timeout_ms(20_000)
            ]
            @pytest.mark.parametrize("n", [pytest.param(5, id="a"), pytest.param(50, id="c-a")])
            @pytest.mark.parametrize("m", [pytest.param(1, id="b-c"), pytest.param(2, id="b")])
            def test_count(component, n, m): component.count(n + m)
        """,
    )
    ran = guest.run("--wasm-fuel-snapshot=update")
    assert ran.code == 0, ran.text
    clash = "not recorded: several tests have the same name, test_a.py::test_count[b-c-a]."
    assert clash in ran.text
    assert {test for test, _ in told(ran)} == {"test_a.py::test_count[b-a]", "test_a.py::test_count[b-c-c-a]"}
    for options in ([], ["-v"], ["-n", "1"]):
        ran = guest.run("--wasm-fuel-snapshot=check", *options)
        assert (ran.code, told(ran), clash in ran.text) == (0, {}, True), ran.text
