"""`--wasm-suggest-limits`: the limits hold for all tests, and a witness of each fails one step below."""

from __future__ import annotations

import re

import pytest

from pytest_airssys_wasm.runtime.base.toml import loads

MANIFEST = """
[component]
name = "kernels"
version = "1.0.0"
wasm = "kernels.wat"
[resources.memory]
max_bytes = "1 MiB"
[resources.cpu]
max_fuel = 10_000
timeout_ms = 20_000
[[tests]]
name = "counts"
call = "count"
args = [20]
verdict = "ok"
"""
TESTS = """
import pytest
pytestmark = pytest.mark.component("kernels.wat")

def test_add(component): assert component.add(1, 2) == 3

@pytest.mark.parametrize("n", [3, 40, 7])
def test_count(component, n): component.count(n)

def test_grow_and_go_on(component):
    assert component.grow(2) == 1
    component.count(5)

@pytest.mark.fuel(1_000_000)
@pytest.mark.memory("8 MiB")
def test_with_limits_of_its_own(component):
    component.count(9_000)
    assert component.grow(100) == 1
"""
OPTION = "--wasm-suggest-limits=limits.toml"
COUNT_40, GROWN = "test_a.py::test_count[40]", "test_a.py::test_grow_and_go_on"


@pytest.fixture
def author(guest):
    """A project with a manifest, and tests of its component."""
    guest.write(Component_toml=MANIFEST, test_a=TESTS)
    return guest


def written(project):
    text = project.path("limits.toml").read_text("utf-8")
    return loads(text), text


@pytest.mark.slow
def test_the_witnesses_fail_one_step_below_and_every_test_passes_at_the_limits(author):
    ran = author.run("--airssys-wasm", OPTION, ".")
    assert ran.code == 0, ran.text
    found, text = written(author)
    tables = found["Component.toml"]
    fuel, memory = tables["resources"]["cpu"]["max_fuel"], tables["resources"]["memory"]["max_bytes"]
    assert tables["witness"] == {"max_fuel": COUNT_40, "max_bytes": GROWN}
    assert memory == 3 * 65_536
    assert f"Component.toml: max_fuel = {fuel:,}, max_bytes = 196,608, timeout_ms = " in ran.text
    assert tables["headroom"] == {"max_fuel": (10_000 - fuel) // 10 / 1_000, "max_bytes": 0.812}
    assert re.search(
        r"^# 20 times \d+ ms: the processor time of the longest execution on this machine, rounded", text, re.M
    )
    assert tables["resources"]["cpu"]["timeout_ms"] >= 100
    assert "a Component.toml must declare 524,288 or more" in text
    at = author.run(f"--wasm-fuel={fuel}", f"--wasm-memory={memory}")
    assert at.code == 0, at.text
    below = [author.run(f"--wasm-fuel={fuel - 1}"), author.run(f"--wasm-memory={memory - 1}")]
    failed = [{test for test, outcome in one.results.items() if outcome == "failed"} for one in below]
    assert failed == [{COUNT_40}, {GROWN}]


@pytest.mark.slow
def test_the_file_is_the_same_in_worker_processes_and_is_replaced(author):
    assert author.run("--airssys-wasm", OPTION, ".").code == 0
    alone = author.path("limits.toml").read_bytes()
    author.path("limits.toml").write_bytes(alone + b"# older\n")
    ran = author.run("--airssys-wasm", OPTION, "-n", "1", ".")
    assert ran.code == 0, ran.text
    assert author.path("limits.toml").read_bytes() == alone


@pytest.mark.slow
def test_an_entry_of_the_manifest_can_be_the_witness(author):
    assert author.run("--airssys-wasm", OPTION, "Component.toml").code == 0
    assert written(author)[0]["Component.toml"]["witness"]["max_fuel"] == "Component.toml::tests[counts]"


@pytest.mark.slow
def test_a_binary_without_a_manifest_is_named_itself(guest):
    ran = guest.run("--wasm-component=kernels.wat", "--wasm-memory=1 MiB", OPTION)
    assert ran.code == 0, ran.text
    found, text = written(guest)
    assert found["kernels.wat"]["witness"]["max_bytes"] == "kernels.wat::instantiates"
    assert "no max_fuel: no test needs any" in text


@pytest.mark.slow
def test_nothing_is_suggested_for_a_component_with_a_failing_test(author):
    author.write(
        test_b=TESTS.split("@pytest.mark.param")[0] + "def test_wrong(component): assert not component.add(1, 2)"
    )
    ran = author.run(OPTION)
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    found, text = written(author)
    assert found == {}
    assert "# no max_fuel: test_b.py::test_wrong failed" in text
    assert "Component.toml: nothing suggested" in ran.text


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_cannot_be_repeated_is_named_and_keeps_a_limit_out_only_if_it_needs_more(project, workers):
    project.write(
        asking_wat="""
          (module (import "shop" "price" (func $price (result i32))) (memory 1)
            (func (export "ask") (result i32) (local i32) (local.set 0 (call $price))
              (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) call $price)
            (func (export "grow") (param i32) (result i32) local.get 0 memory.grow))""",
        conftest="""
            import pytest
            @pytest.fixture
            def wasm_host(request, wasm_host):
                wasm_host.register("shop#price", lambda: 250, repeatable="repeatable" in request.node.name)
                return wasm_host""",
        test_a="""
            import pytest
            pytestmark = [pytest.mark.component("asking.wat"), pytest.mark.usefixtures("wasm_host")]
            def test_repeatable(component): assert component.ask() == 250
            def test_once(component): assert component.grow(1) == 1""",
    )
    ran = project.run("--wasm-memory=1 MiB", OPTION, "-n", workers)
    assert ran.code == 0, ran.text
    found, text = written(project)
    assert set(found["asking.wat"]["resources"]) == {"cpu"}
    assert found["asking.wat"]["witness"] == {"max_fuel": "test_a.py::test_repeatable"}
    assert "# not repeated: test_a.py::test_once (used" in text
    assert "no max_bytes: test_a.py::test_once used 131,072 at least, and cannot be repeated: " in text
    assert "imports shop#price: calls of host functions are repeated only if" in text


@pytest.mark.slow
def test_a_run_that_is_stopped_writes_nothing(author):
    author.write(test_b="def test_wrong(): assert False\ndef test_right(): pass")
    ran = author.run("-x", OPTION, "test_b.py", "test_a.py")
    assert "limits.toml is not written: the run was stopped before its end." in ran.text
    author.write(test_b="import nothing_of_that_name")
    ran = author.run(OPTION, "--continue-on-collection-errors")
    assert "limits.toml is not written: test_b.py could not be collected." in ran.text
    assert not author.path("limits.toml").exists()


@pytest.mark.slow
def test_a_worker_process_that_dies_takes_the_limits_with_it(author):
    author.write(test_b="import os\ndef test_dies(): os._exit(3)")
    ran = author.run(OPTION, "-n", "1")
    assert "limits.toml is not written: a worker process of xdist has ended early" in ran.text
    assert not author.path("limits.toml").exists()


def test_a_file_of_somebody_else_is_not_replaced(author):
    author.path("limits.toml").write_text("[tool]\n")
    ran = author.run(OPTION)
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert "limits.toml exists, and was not written by this option" in ran.text
    assert author.path("limits.toml").read_text() == "[tool]\n"


def test_a_run_without_guests_writes_nothing_and_passes(author):
    author.write(test_b="def test_right(): pass")
    ran = author.run(OPTION, "test_b.py")
    assert (ran.code, author.path("limits.toml").exists()) == (0, False)
    assert "no test has run a component" in ran.text


@pytest.mark.slow
def test_a_long_call_is_cut_and_its_end_is_still_told(author):
    author.path("kernels.wat").write_text(
        """(component (core module $m (memory (export "memory") 1)
             (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
             (func (export "f") (param i32 i32)
               (loop (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))))
           (core instance $i (instantiate $m))
           (func (export "f") (param "items" (list u8)) (canon lift (core func $i "f")
             (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"""
    )
    author.write(
        Component_toml=MANIFEST.partition("[[tests]]")[0],
        test_a=TESTS.partition("def ")[0] + "def test_long(component): component.f([1] * 400)",
    )
    assert author.run(OPTION).code == 0
    _, text = written(author)
    assert "… ends with out-of-fuel\n" in text
    assert max(map(len, text.splitlines())) < 120


SIZED = """(module (memory (export "memory") 1 9)
  (func (export "loop") (param i32) (loop
    (br_if 0 (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))))))"""
SIZED_MANIFEST = MANIFEST.partition("[[tests]]")[0].replace("kernels.wat", "sized.wat")


@pytest.fixture
def sized(project):
    """A project with a component whose cost depends on a number, and a test that calls it with a small one."""
    project.write(
        sized_wat=SIZED,
        Component_toml=SIZED_MANIFEST,
        test_a="""
            import pytest
            @pytest.mark.component("sized.wat")
            def test_loop(component): component.loop(10)""",
    )
    return project


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_laws_and_worst_cases_stand_beside_the_limits(sized, workers):
    sized.path("Component.toml").write_text(SIZED_MANIFEST + '[fuzz.allow]\nloop = ["out-of-fuel"]\n')
    ran = sized.run("--airssys-wasm", "--wasm-laws", "--wasm-fuzz=quick", OPTION, "-n", workers, "-k", "not fuzz", ".")
    assert ran.code == 0, ran.text
    found, text = written(sized)
    tables = found["Component.toml"]
    assert tables["law"]["loop"].startswith("fuel = ")
    worst = tables["worst-case"]["loop"]
    assert (worst["fuel"], worst["ended_by"]) == (10_000, "out-of-fuel")
    assert worst["call"].startswith("loop(")
    assert "# worst-case[loop] has found a call that uses 10,000 or more\n" in text
    assert "# law[loop] uses more than the tests from n = 11 on (value of argument 0)\n" in text


@pytest.mark.slow
def test_a_law_that_reaches_the_limit_is_a_failure_and_the_limits_of_the_tests_are_suggested(sized):
    sized.path("Component.toml").write_text(SIZED_MANIFEST + "[fuzz]\nmax_size = 4_000\n")
    ran = sized.run("--airssys-wasm", "--wasm-laws", OPTION, ".")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert ran.results["Component.toml::law[loop]"] == "failed"
    assert written(sized)[0]["Component.toml"]["witness"]["max_fuel"] == "test_a.py::test_loop"
