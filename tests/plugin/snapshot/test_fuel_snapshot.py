"""`--wasm-fuel-snapshot`: every change of a cost is told as what it is, and parts of a run lose and blame nothing."""

from __future__ import annotations

import json
import re

import pytest

NAME = ".fuel-snapshot.json"
TESTS = {
    "test_a": """
        import pytest
        pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB")]
        def test_add(component): assert component.add(1, 2) == 3
        @pytest.mark.parametrize("n", [1, 20])
        def test_count(component, n): component.count(n)
    """,
    "test_b": """
        import pytest
        @pytest.mark.component("kernels.wat")
        @pytest.mark.memory("1 MiB")
        def test_grow(component): assert component.grow(1) == 1
        def test_without_a_guest(): pass
    """,
}
_LINE = re.compile(r"^(regressed|incomparable|new|removed|tolerated|improved|not-run) +(\S+) (.+?): ", re.MULTILINE)


def told(ran):
    """Return the states that a run has told, by test and export."""
    return {(test, export): state for state, test, export in _LINE.findall(ran.text)}


@pytest.fixture
def recorded(guest):
    """A project whose costs were recorded."""
    guest.write(**TESTS)
    ran = guest.run("--wasm-fuel-snapshot=update")
    assert ran.code == 0, ran.text
    assert f"{NAME}: 8 entries written." in ran.text
    return guest


def content(project):
    return project.path(NAME).read_bytes()


def edit(project, name, old, new):
    text = project.path(name).read_text()
    assert old in text
    project.path(name).write_text(text.replace(old, new))


def test_without_a_file_everything_is_new_and_the_check_fails(guest):
    guest.write(**TESTS)
    ran = guest.run("--wasm-fuel-snapshot=check")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert set(told(ran).values()) == {"new"}
    assert told(ran)[("test_a.py::test_add", "instantiation")] == "new"
    assert "--wasm-fuel-snapshot=update records these costs" in ran.text
    assert not guest.path(NAME).exists()


@pytest.mark.slow
def test_an_equal_run_passes_and_says_so(recorded):
    before = content(recorded)
    for option in ("check", "update"):
        ran = recorded.run(f"--wasm-fuel-snapshot={option}")
        assert (ran.code, told(ran)) == (0, {}), ran.text
        assert "8 unchanged" in ran.text
    assert content(recorded) == before
    assert [one for one in recorded.folder.iterdir() if ".part" in one.name] == []


@pytest.mark.slow
def test_without_the_option_nothing_is_compared(recorded):
    edit(
        recorded, "kernels.wat", "local.get 0 local.get 1 i32.add)", "i32.const 0 drop local.get 0 local.get 1 i32.add)"
    )
    ran = recorded.run()
    assert ran.code == 0
    assert "snapshot" not in ran.text
    assert recorded.run("-o", "wasm_fuel_snapshot=check").code == pytest.ExitCode.TESTS_FAILED
    assert recorded.run("-o", "wasm_fuel_snapshot=check", "--wasm-fuel-snapshot=off").code == 0


def test_one_unit_more_has_regressed_and_fails_and_an_update_accepts_it(recorded):
    edit(
        recorded, "kernels.wat", "local.get 0 local.get 1 i32.add)", "i32.const 0 drop local.get 0 local.get 1 i32.add)"
    )
    ran = recorded.run("--wasm-fuel-snapshot=check")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert told(ran) == {("test_a.py::test_add", "add"): "regressed"}
    assert "test_a.py::test_add add: fuel 4 → 5 (+1, +25 %)" in ran.text
    assert "Changed since the snapshot: kernels.wat." in ran.text
    ran = recorded.run("--wasm-fuel-snapshot=update", "--wasm-report=x.md", "--wasm-report=x.json", "test_a.py")
    assert (ran.code, told(ran)) == (0, {("test_a.py::test_add", "add"): "regressed"})
    page = recorded.path("x.md").read_text().partition("### Fuel snapshot")[2].partition("###")[0]
    assert page.count("\n- ") == 1
    assert "- regressed <code>test\\_a.py::test\\_add add: fuel 4 → 5" in page
    assert len(json.loads(recorded.path("x.json").read_text())["cost_changes"]) == 1
    assert told(recorded.run("--wasm-fuel-snapshot=check")) == {}


@pytest.mark.slow
def test_less_is_told_and_passes(recorded):
    edit(recorded, "kernels.wat", "local.get 0 local.get 1 i32.add)", "i32.const 3)")
    ran = recorded.run("--wasm-fuel-snapshot=check")
    assert (ran.code, told(ran)) == (0, {("test_a.py::test_add", "add"): "improved"})


@pytest.mark.slow
def test_more_memory_has_regressed(recorded):
    edit(recorded, "kernels.wat", "local.get 0 memory.grow)", "local.get 0 memory.grow i32.const 1 memory.grow drop)")
    ran = recorded.run("--wasm-fuel-snapshot=check", "--wasm-fuel-tolerance=49 %", "test_b.py")
    assert told(ran) == {("test_b.py::test_grow", "grow"): "regressed"}
    assert "memory 128 KiB → 192 KiB (+64 KiB)" in ran.text


@pytest.mark.slow
def test_a_tolerance_of_the_run_or_of_a_test_lets_costs_grow(recorded):
    edit(recorded, "test_a.py", "n): component.count(n)", "n): component.count(n + 1)")
    counted = {("test_a.py::test_count[1]", "count"): "regressed", ("test_a.py::test_count[20]", "count"): "tolerated"}
    ran = recorded.run("--wasm-fuel-snapshot=check", "--wasm-fuel-tolerance=10 %")
    assert (ran.code, told(ran)) == (1, counted)
    edit(
        recorded,
        "test_a.py",
        "@pytest.mark.param",
        "@pytest.mark.fuel_snapshot(tolerance='90 %')\n@pytest.mark.param",
    )
    ran = recorded.run("--wasm-fuel-snapshot=check")
    assert (ran.code, set(told(ran).values())) == (0, {"tolerated"})


@pytest.mark.slow
def test_added_removed_and_renamed_tests_are_a_stale_snapshot(recorded):
    edit(recorded, "test_a.py", "[1, 20]", "[1, 30]")
    edit(recorded, "test_a.py", "def test_add(", "def test_sum(")
    expected = {
        ("test_a.py::test_add", "add"): "removed",
        ("test_a.py::test_add", "instantiation"): "removed",
        ("test_a.py::test_sum", "add"): "new",
        ("test_a.py::test_sum", "instantiation"): "new",
        ("test_a.py::test_count[20]", "count"): "removed",
        ("test_a.py::test_count[20]", "instantiation"): "removed",
        ("test_a.py::test_count[30]", "count"): "new",
        ("test_a.py::test_count[30]", "instantiation"): "new",
    }
    for workers in ("0", "1"):
        ran = recorded.run("--wasm-fuel-snapshot=check", "-n", workers)
        assert (ran.code, told(ran)) == (1, expected), ran.text
    assert recorded.run("--wasm-fuel-snapshot=update").code == 0
    assert told(recorded.run("--wasm-fuel-snapshot=check")) == {}


@pytest.mark.slow
def test_the_tests_of_a_file_that_is_gone_are_removed_where_its_folder_was_collected(recorded):
    recorded.path("test_b.py").unlink()
    assert told(recorded.run("--wasm-fuel-snapshot=check", "test_a.py")) == {}
    ran = recorded.run("--wasm-fuel-snapshot=check")
    assert told(ran) == {
        ("test_b.py::test_grow", "grow"): "removed",
        ("test_b.py::test_grow", "instantiation"): "removed",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "selection",
    [
        ["-k", "add"],
        ["test_a.py::test_add"],
        ["test_b.py"],
        ["--deselect", "test_a.py::test_count[1]"],
        ["--ignore", "test_a.py"],
        ["-m", "nothing"],
        ["-k", "add", "-n", "1"],
    ],
    ids=" ".join,
)
def test_a_part_of_the_run_neither_loses_nor_blames_the_rest(recorded, selection):
    before = content(recorded)
    edit(recorded, "test_a.py", "test_count(", "test_counts(")  # not known to a run that does not collect the file
    edit(recorded, "test_a.py", "test_counts(", "test_count(")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", *selection)
    assert ran.code in (0, pytest.ExitCode.NO_TESTS_COLLECTED), ran.text
    assert set(told(ran).values()) == {"not-run"}
    ran = recorded.run("--wasm-fuel-snapshot=update", *selection)
    assert content(recorded) == before
    assert told(ran) == {}
    assert "(-v lists them)" in ran.text


@pytest.mark.slow
def test_a_node_id_does_not_blame_the_tests_that_its_file_has_lost(recorded):
    edit(recorded, "test_a.py", "[1, 20]", "[1]")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "test_a.py::test_add")
    assert (ran.code, set(told(ran).values())) == (0, {"not-run"})
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "-k", "add")
    assert (ran.code, told(ran)[("test_a.py::test_count[20]", "count")]) == (1, "removed")


@pytest.mark.slow
def test_failures_are_not_costs_and_nothing_is_written_after_one(recorded):
    before = content(recorded)
    recorded.write(test_0="def test_that_fails(): assert False")
    edit(recorded, "test_a.py", "component.count(n)", "component.count(n); assert n == 20")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v")
    assert told(ran) == {
        ("test_a.py::test_count[1]", "count"): "not-run",
        ("test_a.py::test_count[1]", "instantiation"): "not-run",
    }
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "-x")
    assert (len(told(ran)), set(told(ran).values())) == (8, {"not-run"})
    ran = recorded.run("--wasm-fuel-snapshot=update", "--lf")
    assert (ran.code, content(recorded)) == (1, before)
    assert f"{NAME} is not written, because the run failed." in ran.text
    recorded.path("test_0.py").unlink()
    edit(recorded, "test_a.py", "; assert n == 20", "")
    ran = recorded.run("--wasm-fuel-snapshot=update", "--lf")
    assert (ran.code, content(recorded)) == (0, before)


@pytest.mark.slow
def test_the_last_failures_do_not_blame_the_tests_that_their_file_has_lost(recorded):
    edit(recorded, "test_a.py", "[1, 20]", "[1]")
    edit(recorded, "test_a.py", "== 3", "== 4")
    assert recorded.run().code == pytest.ExitCode.TESTS_FAILED
    edit(recorded, "test_a.py", "== 4", "== 3")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "--lf")
    assert (ran.code, ran.count("passed"), set(told(ran).values())) == (0, 1, {"not-run"}), ran.text


@pytest.mark.slow
def test_a_file_that_cannot_be_collected_has_not_lost_its_tests(recorded):
    recorded.write(test_a="import pytest\npytest.skip('not here', allow_module_level=True)")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v")
    assert (ran.code, set(told(ran).values())) == (0, {"not-run"}), ran.text


@pytest.mark.slow
def test_a_worker_that_crashed_loses_nothing(recorded):
    before = content(recorded)
    edit(recorded, "test_a.py", "n): component.count(n)", "n): __import__('os')._exit(1)")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "-n", "1")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert set(told(ran).values()) == {"not-run"}, ran.text
    assert {test for test, _ in told(ran)} >= {"test_a.py::test_count[1]", "test_a.py::test_count[20]"}
    recorded.run("--wasm-fuel-snapshot=update", "-n", "1")
    assert content(recorded) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [["-n", "2"], ["--wasm-isolation=process"], ["-p", "randomly"], ["--maxfail=1"]], ids=" ".join
)
def test_the_bytes_are_the_same_in_every_way_to_run(recorded, options):
    before = content(recorded)
    recorded.path(NAME).unlink()
    if "randomly" in options:
        recorded.without = ("asyncio",)
    ran = recorded.run("--wasm-fuel-snapshot=update", *options)
    assert (ran.code, content(recorded)) == (0, before), ran.text


@pytest.mark.slow
def test_an_engine_whose_costs_have_moved_is_named_as_the_cause(recorded):
    lines = recorded.path(NAME).read_text()
    found = re.sub(r'"calls", "fuel": \d+', '"calls", "fuel": 1', lines).replace('"add", "fuel": 4', '"add", "fuel": 3')
    recorded.path(NAME).write_text(re.sub(r'"wasmtime": "[^"]+"', '"wasmtime": "1.0.0"', found))
    ran = recorded.run("--wasm-fuel-snapshot=check")
    assert (ran.code, told(ran)) == (1, {("test_a.py::test_add", "add"): "incomparable"})
    assert "The engine differs: wasmtime 1.0.0 is now " in ran.text
    assert "the engine's cost moved (kernels: calls 1 is now " in ran.text
    ran = recorded.run("--wasm-fuel-snapshot=update", "test_a.py")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert "not written: the engine differs, and 2 entries did not run" in ran.text
    assert recorded.run("--wasm-fuel-snapshot=update").code == 0
    assert recorded.path(NAME).read_text() == lines


@pytest.mark.parametrize("option", ["check", "update"])
def test_a_file_that_cannot_be_read_is_a_usage_error_that_names_it(guest, option):
    guest.write(**TESTS)
    guest.path(NAME).write_text('[\n{"line": "header", "format": 99}\n]\n')
    ran = guest.run(f"--wasm-fuel-snapshot={option}")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert f"{guest.path(NAME)}: expected a fuel snapshot of format 1 or earlier" in ran.text
    assert "99" in guest.path(NAME).read_text()


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


def test_tests_with_the_same_name_are_not_recorded_in_any_order_and_said_to_be_so(guest):
    guest.write(
        conftest="def pytest_collection_modifyitems(items, config): config.option.verbose > 0 and items.reverse()",
        test_a="""
            import pytest
            pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB")]
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


def test_a_project_without_guests_is_not_told_of_snapshots(project):
    project.write(test_a="def test_a(): pass")
    ran = project.run("--wasm-fuel-snapshot=check")
    assert ran.code == 0
    assert "snapshot" not in ran.text.partition("collected")[2]
