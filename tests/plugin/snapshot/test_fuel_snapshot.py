"""`--wasm-fuel-snapshot`: every change of a cost is told as what it is."""

from __future__ import annotations

import json
import re

import pytest

from support.snapshot_runs import NAME, TESTS, content, edit, told


@pytest.mark.slow
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


@pytest.mark.slow
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
        assert "to do: accept the new and removed entries with --wasm-fuel-snapshot=update" in ran.text
    only_new = recorded.run("--wasm-fuel-snapshot=check", "test_a.py::test_sum").text
    assert "to do: accept the new entries with --wasm-fuel-snapshot=update" in only_new
    assert recorded.run("--wasm-fuel-snapshot=update").code == 0
    assert told(recorded.run("--wasm-fuel-snapshot=check")) == {}


@pytest.mark.slow
def test_an_engine_whose_costs_have_moved_is_named_as_the_cause(recorded):
    lines = recorded.path(NAME).read_text()
    found = re.sub(r'"calls", "fuel": \d+', '"calls", "fuel": 1', lines).replace('"add", "fuel": 4', '"add", "fuel": 3')
    recorded.path(NAME).write_text(re.sub(r'"wasmtime": "[^"]+"', '"wasmtime": "1.0.0"', found))
    ran = recorded.run("--wasm-fuel-snapshot=check")
    assert (ran.code, told(ran)) == (1, {("test_a.py::test_add", "add"): "incomparable"})
    assert "The engine differs: wasmtime 1.0.0 is now " in ran.text
    assert "kernels cost something else (calls 1 is now " in ran.text
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


def test_a_project_without_guests_is_not_told_of_snapshots(project):
    project.write(test_a="def test_a(): pass")
    ran = project.run("--wasm-fuel-snapshot=check")
    assert ran.code == 0
    assert "snapshot" not in ran.text.partition("collected")[2]
