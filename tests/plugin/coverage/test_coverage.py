"""`--wasm-coverage`: which functions and blocks of each guest the tests of a session reach."""

from __future__ import annotations

import json
import re

import pytest

from support import debug_info

GUEST = """(module (import "env" "log" (func $log (param i32)))
  (func $never (drop (i32.const 9)))
  (func $inner (param i32) (if (local.get 0) (then (drop (i32.const 1))) (else (drop (i32.const 2)))))
  (func (export "f") (param i32)
    (call $inner (local.get 0)) (if (i32.eq (local.get 0) (i32.const 7)) (then unreachable)))
  (func (export "log") (call $log (i32.const 1))))"""
ALONE = GUEST.replace('(import "env" "log" (func $log (param i32)))', "(func $log (param i32) (drop (i32.const 1)))")
HEAD = """
import pytest
pytestmark = [pytest.mark.component("guest.wat"), pytest.mark.memory("1 MiB")]
"""
TESTS = {
    "test_a": HEAD
    + """
@pytest.mark.parametrize("n", [0, 1])
def test_f(component, n): component.f(n)
def test_trap(component):
    with pytest.raises(Exception): component.f(7)
""",
    "test_b": "def test_without_a_guest(): pass",
}


@pytest.fixture
def worker(project):
    """A project with a guest and tests of it."""
    project.write(guest_wat=ALONE, **TESTS)
    return project


def section(ran):
    text = ran.text.partition(" WebAssembly coverage ")[2].partition("\n")[2]
    return [line for line in re.split(r"\n=", text)[0].splitlines() if line]


def lcov(project, name="cov/guest.wat.info"):
    """Return the functions that were reached, and the counts of lines by number."""
    lines = project.path(name).read_text().splitlines()
    functions = {line.partition(",")[2] for line in lines if line.startswith("FNDA:1,")}
    counts = dict(map(int, line[3:].split(",")) for line in lines if line.startswith("DA:"))
    return functions, counts


def test_the_coverage_of_a_guest_is_told_and_written(worker):
    ran = worker.run("--wasm-coverage=made/cov")
    assert ran.code == 0, ran.text
    assert section(ran) == ["coverage: 2 of 5 functions, 5 of 8 blocks of guest.wat, see made/cov/index.html"]
    assert sorted(one.name for one in worker.path("made/cov/x").parent.iterdir()) == [
        "guest.wat.info",
        "guest.wat.txt",
        "index.html",
    ]
    assert "By 6 executions." in worker.path("made/cov/index.html").read_text()
    functions, counts = lcov(worker, "made/cov/guest.wat.info")
    assert functions == {"f", "inner"}
    listing = worker.path("made/cov/guest.wat.txt").read_text().splitlines()
    reached = {listing[number - 1].split(maxsplit=1)[1].strip(): count for number, count in counts.items()}
    assert reached["i32.const 9; drop"] == 0
    assert reached["unreachable"] == 1
    assert reached["i32.const 2; drop"] == 1
    assert all(listing[number - 1].startswith(("func ", "  0x")) for number in counts)
    assert "SF:guest.wat.txt" in worker.path("made/cov/guest.wat.info").read_text()


@pytest.mark.slow
def test_without_the_option_nothing_is_recorded_and_without_guests_it_is_said(worker):
    assert "WebAssembly coverage" not in worker.run("-v").text
    assert section(worker.run("--wasm-coverage=cov", "test_b.py")) == ["No test has run a guest."]
    assert "No test has run a guest." in worker.path("cov/index.html").read_text()
    worker.run("--wasm-coverage=other", "--collect-only")
    assert not worker.path("other").exists()


@pytest.mark.slow
def test_the_session_is_the_same_with_and_without_the_option(worker):
    worker.run("--wasm-fuel-snapshot=update")
    snapshot = worker.path(".fuel-snapshot.json").read_bytes()
    reports = []
    for more in ([], ["--wasm-coverage=cov", "--wasm-fuel-snapshot=check"]):
        assert worker.run("--wasm-report=report.json", *more).code == 0
        report = json.loads(worker.path("report.json").read_text())
        varying = {"wall_ms", "cpu_ms", "load_ms"}
        reports.append([{key: one[key] for key in one.keys() - varying} for one in report["executions"]])
    assert worker.path(".fuel-snapshot.json").read_bytes() == snapshot
    assert reports[0] == reports[1]
    assert len(reports[0]) == 6


@pytest.mark.slow
def test_coverage_is_the_same_however_the_tests_run(worker):
    worker.write(
        test_bytes=HEAD
        + """
@pytest.mark.component('(module (func (export "f") (drop (i32.const 1))))')
def test_text(component): component.f()
"""
    )
    here = worker.run("--wasm-coverage=here")
    assert here.code == 0, here.text
    names = sorted(one.name for one in worker.path("here/x").parent.iterdir())
    assert len(names) == 5
    workers, processes = ["-n", "2"], ["--wasm-isolation=process"]
    for folder, way in (("xdist", workers), ("process", processes), ("both", [*workers, *processes])):
        there = worker.run(f"--wasm-coverage={folder}", *way)
        assert there.code == 0, there.text
        assert sorted(one.name for one in worker.path(f"{folder}/x").parent.iterdir()) == names
        for name in names:
            assert worker.path(f"here/{name}").read_bytes() == worker.path(f"{folder}/{name}").read_bytes()
        assert section(there) == [line.replace("here/", f"{folder}/") for line in section(here)]


@pytest.mark.slow
def test_what_cannot_be_repeated_is_counted_and_named(worker):
    worker.write(
        guest_wat=GUEST,
        test_a=HEAD
        + """
import time
def test_log(component, wasm_host):
    wasm_host.register("env#log", lambda n: None)
    component.log()
    component.f(1)
def test_repeatable(component, wasm_host):
    wasm_host.register("env#log", lambda n: None, repeatable=True)
    component.log()
""",
    )
    ran = worker.run("--wasm-coverage=cov")
    assert ran.code == 0, ran.text
    first, second = section(ran)
    assert first.startswith("coverage: 1 of 4 functions, 1 of 7 blocks of guest.wat")
    assert second.startswith("  not measured: 3 executions, because <module guest.wat> imports env#log: calls of host")
    assert second.endswith("(test_a.py::test_log)")
    page = worker.path("cov/index.html").read_text()
    assert "env#log" in page
    assert "test_a.py::test_log" in page
    assert lcov(worker)[0] == {"log"}


@pytest.mark.slow
def test_checks_of_a_manifest_count(worker):
    worker.write(
        Component_toml="""
        [component]
        name = "guest"
        version = "1.0.0"
        wasm = "guest.wat"
        [resources.memory]
        max_bytes = "1 MiB"
        [resources.cpu]
        max_fuel = 10_000
        timeout_ms = 20_000
        [[tests]]
        name = "one"
        call = "f"
        args = [7]
        trap = "unreachable"
        """
    )
    ran = worker.run("--airssys-wasm", "--wasm-conformance=never", "--wasm-coverage=cov", "Component.toml")
    assert ran.code == 0, ran.text
    assert section(ran) == ["coverage: 2 of 5 functions, 4 of 8 blocks of guest.wat, see cov/index.html"]


@pytest.mark.slow
def test_source_lines_are_shown_and_written_if_the_guest_has_them(worker):
    worker.path("lines.wasm").write_bytes(debug_info.module(debug_info.dwarf()))
    worker.write(
        test_a=HEAD
        + """
@pytest.mark.component("lines.wasm")
def test_run(component):
    with pytest.raises(Exception): component.run()
"""
    )
    ran = worker.run("--wasm-coverage=cov")
    assert ran.code == 0, ran.text
    assert section(ran) == ["coverage: 2 of 2 functions, 2 of 2 blocks of lines.wasm, see cov/index.html"]
    assert "SF:src/t.c" in worker.path("cov/lines.wasm.sources.info").read_text()
    assert "call deep  ;; src/t.c:21" in worker.path("cov/lines.wasm.txt").read_text()


@pytest.mark.slow
def test_a_store_of_several_tests_is_measured_as_a_whole(worker):
    worker.write(
        test_a="""
import pytest
from pytest_airssys_wasm import ResourceLimits
@pytest.fixture(scope="module")
def guest(component_factory):
    with component_factory("guest.wat", memory="1 MiB") as instance: yield instance
def test_one(guest): guest.f(1)
def test_two(guest): guest.f(0)
"""
    )
    ran = worker.run("--wasm-coverage=cov")
    assert ran.code == 0, ran.text
    assert section(ran)[0].startswith("coverage: 2 of 5 functions, 4 of 8 blocks of guest.wat")


@pytest.mark.slow
def test_guests_that_cannot_be_measured_are_named_and_fail_nothing(worker):
    worker.write(
        test_a=HEAD
        + """
@pytest.mark.component("other.wat")
@pytest.mark.wasm_limits(memories=100)
def test_other(component): component.f()
""",
        other_wat="(module " + "(memory 0)" * 100 + ' (func (export "f") (drop (i32.const 1))))',
    )
    ran = worker.run("--wasm-coverage=cov")
    assert ran.code == 0, ran.text
    (line,) = section(ran)
    assert line.startswith("coverage: other.wat is not measured: with probes it cannot be loaded: ")
    assert "other.wat" in worker.path("cov/index.html").read_text()


@pytest.mark.slow
def test_guests_beyond_a_number_are_counted(worker):
    worker.write(
        conftest="import pytest_airssys_wasm.plugin.coverage.recording as r; r.MOST_GUESTS = 1",
        test_a=HEAD
        + """
def test_one(component): component.f(1)
@pytest.mark.component('(module (func (export "f") (drop (i32.const 1))))')
def test_two(component): component.f()
""",
    )
    first, second = section(worker.run("--wasm-coverage=cov", "test_a.py"))
    assert first.startswith("coverage: 2 of 5 functions")
    assert second == "coverage: 1 more guest not measured: there are too many"


@pytest.mark.slow
def test_guests_of_the_same_name_have_their_own_files(worker):
    for folder in ("a", "b"):
        worker.path(f"{folder}/guest.wat").write_text(f'(module (func (export "{folder}") (drop (i32.const 1))))')
    worker.write(
        test_a=HEAD
        + """
@pytest.mark.component("a/guest.wat")
def test_a(component): component.a()
@pytest.mark.component("b/guest.wat")
def test_b(component): component.b()
@pytest.mark.component("a-guest.wat")
def test_c(component): component.f(1)
""",
        **{"a-guest_wat": ALONE},
    )
    ran = worker.run("--wasm-coverage=cov")
    assert len(section(ran)) == 3, ran.text
    names = [one.name for one in worker.path("cov/x").parent.glob("*.info")]
    assert len(names) == 3
    assert {"a-guest.wat.info", "b-guest.wat.info"} < set(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wasm-coverage=file"], "--wasm-coverage: expected a directory, which is made"),
        (["--wasm-coverage=file/below"], "--wasm-coverage: .* cannot be made: Not a directory"),
        (["-o", "wasm_coverage=file"], "ini value wasm_coverage: expected a directory"),
    ],
)
def test_a_path_that_is_not_a_directory_is_a_usage_error(worker, arguments, message):
    worker.path("file").write_text("")
    ran = worker.run(*arguments)
    assert ran.code == 4
    assert re.search(message, ran.text)


@pytest.mark.slow
def test_a_file_that_cannot_be_written_fails_the_run(worker):
    worker.path("cov/guest.wat.txt/below").write_text("")
    ran = worker.run("--wasm-coverage=cov")
    assert ran.code == 1
    assert section(ran)[0].startswith("The coverage is not written: IsADirectoryError")


@pytest.mark.slow
def test_a_worker_that_crashes_is_told(worker):
    worker.write(
        test_a=HEAD
        + """
import os
@pytest.mark.parametrize("n", [0, 1])
def test_f(component, n): component.f(n)
def test_crash(): os._exit(3)
"""
    )
    ran = worker.run("--wasm-coverage=cov", "-n", "1")
    assert any("has ended early: what its tests reached is missing" in line for line in section(ran)), ran.text
