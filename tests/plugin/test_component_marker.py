"""The marker `component`: where its guest is looked for, whose limits it has, and which world it must implement."""

from __future__ import annotations

import pytest

from support.passing import HEAD, passes


@pytest.mark.slow
def test_paths_are_relative_to_the_test_file_and_then_to_the_rootdir(guest):
    guest.path("below/own.wat").write_text('(module (func (export "run") (result i32) i32.const 7))')
    guest.path("below/test_a.py").write_text(
        HEAD
        + """
def test_rootdir(component):
    assert component.add(1, 2) == 3

@pytest.mark.component("own.wat")
def test_beside(component):
    assert component.run() == 7

@pytest.mark.component("gone.wat")
def test_gone(component):
    pass

@pytest.mark.component("own.wat", manifest="gone.toml")
def test_no_manifest(wasm_limits):
    pass
"""
    )
    guest.write(pytest_ini="[pytest]\n")
    ran = guest.run(cwd=guest.folder / "below")
    assert sorted(ran.results.values()) == ["error", "error", "passed", "passed"], ran.text
    root = guest.folder
    assert f"an existing file: {root}/below/gone.wat or {root}/gone.wat, got 'gone.wat'" in ran.text
    assert "test_no_manifest: marker component: manifest: expected an existing file" in ran.text


@pytest.mark.slow
def test_a_hook_wrapper_of_another_plugin_is_no_part_of_the_message(guest):
    guest.write(
        conftest="""
            import pytest
            @pytest.hookimpl(wrapper=True)
            def pytest_fixture_setup():  # as in pytest-asyncio
                return (yield)
        """,
        test_a="""
            import pytest
            def test_unmarked(component):
                pass
            @pytest.mark.component("kernels.wat")
            def test_without_memory(component):
                pass
            def test_in_the_user_s_code(component_factory):
                component_factory("gone.wat", memory="1 MiB")
        """,
    )
    ran = guest.run()
    assert ran.count("error") == 2, ran.text
    assert "\ntest_a.py::test_unmarked: marker component: expected @pytest.mark" in ran.text
    assert "\ntest_a.py::test_without_memory: memory: expected a limit" in ran.text
    assert "(yield)" not in ran.text
    assert '>       component_factory("gone.wat", memory="1 MiB")' in ran.text


@pytest.mark.slow
def test_a_guest_may_stand_in_the_test_itself(project):
    passes(
        project,
        test_a="""
            import pytest
            WAT = '(module (func (export "run") (result i32) i32.const 7))'

            @pytest.mark.component(WAT)
            @pytest.mark.memory(0)
            @pytest.mark.timeout_ms(20_000)
            def test_text(component):
                assert component.run() == 7

            @pytest.mark.component(WAT.encode())
            @pytest.mark.memory(0)
            @pytest.mark.timeout_ms(20_000)
            def test_bytes(component):
                assert component.run() == 7
        """,
    )


def test_a_manifest_elsewhere_can_be_named(guest):
    guest.path("limits/Component.toml").write_text(
        '[component]\nname = "k"\nversion = "1"\n[resources.memory]\nmax_bytes = 1048576\n'
        "[resources.cpu]\nmax_fuel = 123\n"
    )
    passes(
        guest,
        test_a="""
            import pytest
            @pytest.mark.component("kernels.wat", manifest="limits/Component.toml")
            def test_a(component, wasm_limits):
                assert (wasm_limits.memory, wasm_limits.fuel) == (2**20, 123)
                assert component.add(1, 2) == 3
        """,
    )


def test_a_wider_platform_range_holds_for_the_component_too(guest):
    passes(
        guest,
        pytest_ini="[pytest]\nwasm_memory_range = 1 MiB..16 MiB\n",
        Component_toml="""
            [component]
            name = "kernels"
            version = "1"
            [resources.memory]
            max_bytes = 8388608
        """,
        test_a="""
            import pytest
            @pytest.mark.component("kernels.wat")
            @pytest.mark.timeout_ms(20_000)
            def test_a(component):
                assert component.add(1, 2) == 3
        """,
    )


def test_a_world_is_checked_before_instantiation(guest):
    passes(
        guest,
        text_wat="""(component
            (core module $m (func (export "f") (result i32) i32.const 7))
            (core instance $i (instantiate $m))
            (func (export "run") (result u32) (canon lift (core func $i "f"))))""",
        text_wit="package demo:text; world text { export run: func() -> u32; }\nworld more { include text; export stop: func(); }",
        test_a=HEAD
        + """
@pytest.mark.component("text.wat", world="text.wit#text")
def test_implements(component):
    assert component.run() == 7

@pytest.mark.component("text.wat", world="text.wit#more")
def test_does_not(component):
    with pytest.raises(InvalidComponent, match="does not implement world more of .*text.wit: it does not export stop"):
        component.run()
""",
    )


def test_a_test_without_the_marker_is_a_set_up_error_that_says_so(project):
    project.write(test_a="def test_a(component): pass")
    ran = project.run()
    assert ran.results == {"test_a.py::test_a": "error"}
    assert "test_a.py::test_a: marker component: expected @pytest.mark.component('path/to/guest.wasm')" in ran.text
