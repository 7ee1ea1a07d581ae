"""`--wasm-laws`: the law of each export is shown, and what contradicts it or reaches a limit fails."""

from __future__ import annotations

import re

import pytest

from support.manifests import HEAD

GUEST = """(module (memory (export "memory") 1)
  (func $loop (param i32) (loop (br_if 0 (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))))
  (func (export "linear") (param i32) (call $loop (local.get 0)))
  (func (export "plain") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "odd") (param i32) (call $loop (local.get 0))
    ;; squared, so that the number is not among those that are tried as sizes
    (if (i32.eq (i32.mul (local.get 0) (local.get 0)) (i32.const 2809)) (then (call $loop (i32.const 3)))))
  (func (export "bits") (param i32) (call $loop (i32.popcnt (i32.mul (local.get 0) (i32.const 0x9e3779b1)))))
  (func (export "traps") (param i32) unreachable)
  (func (export "grows") (param i32)
    (if (i32.eq (memory.grow (local.get 0)) (i32.const -1)) (then unreachable))))"""
MANIFEST = f"""{HEAD}[resources.memory]
max_bytes = "2 MiB"
[resources.cpu]
max_fuel = 2_000
timeout_ms = 20_000
[fuzz]
max_size = 53
"""


def add_component(project):
    project.path("guest.wat").write_text(GUEST)
    project.path("Component.toml").write_text(MANIFEST)
    project.environment["COLUMNS"] = "200"
    return project


@pytest.fixture
def author(project):
    """A folder with a component."""
    return add_component(project)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, guest_at):
    """The laws of all exports in a run without workers."""
    return laws(add_component(guest_at(tmp_path_factory.mktemp("laws") / "project")))


def laws(project, *arguments, of="law"):
    return project.run("--airssys-wasm", "--wasm-laws", "-v", *arguments, "-k", of, ".")


def checks(ran):
    return {node.partition("::")[2]: outcome for node, outcome in ran.results.items()}


@pytest.mark.slow
def test_without_the_option_there_are_no_laws(author):
    assert not any("law" in check for check in checks(author.run("--airssys-wasm", ".")))


@pytest.mark.slow
def test_laws_are_notes_and_what_has_none_says_why(author, alone):
    for ran in (alone, laws(author, "-n", "1")):
        assert checks(ran) == {
            "law[linear]": "passed",
            "law[plain]": "passed",
            "law[odd]": "failed",
            "law[bits]": "passed",
            "law[traps]": "passed",
            "law[grows]": "failed",
        }, ran.text
        assert "law[linear]: fuel = " in ran.text
        assert "of the fuel limit at n = 53; returns at n = 286 and ends with out-of-fuel at n = 287" in ran.text
        assert "law[plain]: fuel = 4; exact" in ran.text
        assert "law[bits]: no law: " in ran.text
        assert "law[traps]: no law: calls with small arguments end with trap" in ran.text


@pytest.mark.slow
def test_a_size_that_contradicts_the_law_fails(author, alone):
    assert "odd at n = 53 cost " in alone.text
    assert " fuel; the law says " in alone.text
    assert "rerun    pytest --airssys-wasm --wasm-laws 'Component.toml::law[odd]'" in alone.text
    author.path("Component.toml").write_text(MANIFEST + 'exclude = ["o*d"]\n')
    assert checks(laws(author, of="law[odd] or law[plain]")) == {"law[plain]": "passed"}


@pytest.mark.slow
def test_a_limit_within_max_size_fails_with_the_smallest_size_that_reaches_it(author, alone):
    assert "grows at n = 32 ended with out-of-memory, within max_size = 53; " in alone.text
    author.path("Component.toml").write_text(MANIFEST.replace("53", "31"))
    ran = laws(author, of="law[grows]")
    assert checks(ran)["law[grows]"] == "passed"
    assert "; returns at n = 31 and ends with out-of-memory at n = 32" in ran.text
    author.path("Component.toml").write_text(MANIFEST.replace("2_000", "200"))
    assert " ended with out-of-fuel, within max_size = 53; fuel = " in laws(author, of="law[linear]").text


@pytest.mark.slow
def test_a_limit_may_be_allowed(author):
    author.path("Component.toml").write_text(MANIFEST + '[fuzz.allow]\ngrows = ["out-of-memory"]\n')
    ran = laws(author, of="law[grows]")
    assert checks(ran)["law[grows]"] == "passed", ran.text


def test_a_guest_that_could_affect_the_host_has_no_law(author):
    author.path("guest.wat").write_text(
        '(module (import "env" "log" (func $log)) (memory 1) (func (export "f") (param i32) call $log))'
    )
    author.write(
        conftest="""
            def pytest_wasm_host(host, item):
                host.register("env#log", lambda: None)"""
    )
    ran = laws(author)
    assert checks(ran) == {"law[f]": "passed"}, ran.text
    assert "law[f]: no law: <module guest.wat> imports env#log" in ran.text


def test_a_component_that_does_not_load_is_told_by_its_own_check(author):
    author.path("guest.wat").write_text("(module")
    ran = author.run("--airssys-wasm", "--wasm-laws", ".")
    assert checks(ran) == {"manifest": "passed", "loads": "failed"}, ran.text
    assert "Traceback" not in ran.text


READER = """(component
  (core module $m (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "read") (param $at i32) (param $length i32) (param $dear i32) (local $end i32)
      (local.set $end (i32.add (local.get $at) (local.get $length)))
      (block $done (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (if (i32.lt_u (i32.load8_u (local.get $at)) (local.get $dear)) (then (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next))))
    (func (export "any") (param i32 i32) (call 1 (local.get 0) (local.get 1) (i32.const 0)))
    (func (export "small") (param i32 i32) (call 1 (local.get 0) (local.get 1) (i32.const 120)))
    (func (export "never") (param i32 i32)
      (if (local.get 1) (then (if (i32.ne (i32.load8_u (i32.const 1024)) (i32.const 120)) (then (loop br 0)))))))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "any") (param "text" string) (canon lift (core func $i "any") (memory $memory) (realloc $realloc)))
  (func (export "small") (param "text" string) (canon lift (core func $i "small") (memory $memory) (realloc $realloc)))
  (func (export "never") (param "text" string) (canon lift (core func $i "never") (memory $memory) (realloc $realloc))))"""


@pytest.mark.slow
def test_a_note_says_what_other_contents_of_the_same_size_cost(author):
    author.path("guest.wat").write_text(READER)
    text = laws(author).text
    notes = {line.split(":")[0].strip(): line for line in text.splitlines() if "fuel = " in line}
    assert " ≤ n ≤ 64 and texts of the letter x; " in notes["law[any]"], text
    assert "other contents" not in notes["law[any]"], text
    assert "; other contents at n = 53 cost " in notes["law[small]"], text
    assert "; other contents at n = 53 end with out-of-fuel" in notes["law[never]"], text


EXCEPTIONS = """(module
  (func $loop (param i32) (loop (br_if 0 (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))))
  (func (export "hangs") (param i32) (call $loop (local.get 0)) (if (i32.eqz (local.get 0)) (then (loop br 0))))
  (func (export "traps") (param i32) (call $loop (local.get 0)) (if (i32.eqz (local.get 0)) (then unreachable)))
  (func (export "small") (param i32) (call $loop (local.get 0))
    (if (i32.lt_s (local.get 0) (i32.const 3)) (then unreachable)))
  (func (export "second") (param i32 i32) (call $loop (local.get 0)) (if (i32.eqz (local.get 1)) (then (loop br 0))))
  (func (export "constant") (param i32 i32) (if (i32.eqz (local.get 1)) (then (loop br 0))))
  (func (export "inside") (param i32) (call $loop (local.get 0))
    (if (i32.eq (local.get 0) (i32.const 40)) (then (loop br 0)))))"""


@pytest.mark.slow
def test_sizes_that_a_law_leaves_out_are_told_and_fail_if_they_reach_a_limit(author):
    author.path("guest.wat").write_text(EXCEPTIONS)
    author.write(pytest_ini="[pytest]\nwasm_max_fuel = 20_000\n")  # endless loops are run again to see what they need
    ran = laws(author)
    text = ran.text
    assert checks(ran) == {
        "law[hangs]": "failed",
        "law[traps]": "passed",
        "law[small]": "passed",
        "law[second]": "failed",
        "law[constant]": "failed",
        "law[inside]": "failed",
    }, text
    assert "hangs at n = 0 ended with out-of-fuel, within max_size = 53; fuel = " in text
    assert "an endless loop uses up any budget; or allow out-of-fuel under [fuzz.allow]" in text
    assert re.search(r"exact for 1 ≤ n ≤ \d+; ends with trap for n = 0; ", text)
    assert re.search(r"exact for 3 ≤ n ≤ \d+; ends with trap for 0 ≤ n ≤ 2; ", text)
    assert "second at n = 1, m = 0 ended with out-of-fuel, within max_size = 53; fuel = " in text
    assert "constant at n = 0 ended with out-of-fuel, within max_size = 53; fuel = " in text
    assert "inside at n = 40 ended with out-of-fuel, within max_size = 53; fuel = " in text
    author.path("Component.toml").write_text(MANIFEST + '[fuzz.allow]\nhangs = ["out-of-fuel"]\n')
    ran = laws(author, of="law[hangs]")
    assert checks(ran)["law[hangs]"] == "passed", ran.text
    assert re.search(r"exact for 1 ≤ n ≤ \d+; ends with out-of-fuel for n = 0; ", ran.text)


@pytest.mark.slow
def test_small_calls_have_the_fuel_that_the_manifest_allows(author):
    author.path("guest.wat").write_text("""(module
        (func $loop (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
        (func (export "dear") (param i32) (call $loop (i32.const 3_000_000)) (call $loop (i32.add (local.get 0) (i32.const 1))))
        (func (export "dearer") (param i32) (call $loop (i32.const 7_000_000))))""")
    author.path("Component.toml").write_text(MANIFEST.replace("2_000", "30_000_000", 1))
    ran = laws(author)
    assert checks(ran) == {"law[dear]": "passed", "law[dearer]": "failed"}, ran.text
    assert "50 % of the fuel limit at n = 53" in ran.text
    assert "even the smallest arguments of dearer end with out-of-fuel" in ran.text
    assert "call     dearer(0)" in ran.text
    assert "fuel     30,000,000 of 30,000,000 (100 %)" in ran.text


@pytest.mark.slow
def test_a_note_says_of_which_contents_its_law_speaks(author):
    author.path("guest.wat").write_text("""(component
        (core module $m (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "both") (param i32 i32 i32 i32)) (func (export "values") (param i32 i32)))
        (core instance $i (instantiate $m))
        (alias core export $i "memory" (core memory $memory))
        (alias core export $i "realloc" (core func $realloc))
        (func (export "both") (param "name" string) (param "codes" (list u32))
            (canon lift (core func $i "both") (memory $memory) (realloc $realloc)))
        (func (export "values") (param "codes" (list u32))
            (canon lift (core func $i "values") (memory $memory) (realloc $realloc)))
        (func (export "plain") (param "a" u32) (param "b" u32) (canon lift (core func $i "values"))))""")
    text = laws(author).text
    ends = {
        export: re.search(rf"law\[{export}\]: fuel = .*; (exact[^;\n]*)", text)[1]
        for export in ("both", "values", "plain")
    }
    assert ends == {
        "both": "exact for texts of the letter x and lists of equal elements",
        "values": "exact for lists of equal elements",
        "plain": "exact",
    }
