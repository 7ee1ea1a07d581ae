"""`--wasm-init` writes a manifest that is right for the binary, and nothing else."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.base import toml

PLAIN = """(module (memory (export "memory") 2)
  (global $started (mut i32) (i32.const 0))
  (func $start (loop (global.set $started (i32.add (global.get $started) (i32.const 1)))
    (br_if 0 (i32.lt_u (global.get $started) (i32.const 50000)))))
  (start $start)
  (func (export "add") (param i32 i64) (result i32) local.get 0)
  (func (export "_initialize"))
  (func (export "nothing")))"""
TYPED = """(component
  (import "demo:shop/prices@1.0.0" (instance $prices
    (type $unit (enum "piece" "litre")) (export "unit" (type $u (eq $unit)))
    (type $item (record (field "sku" string) (field "unit" $u) (field "tags" (list u8)))) (export "item" (type $i (eq $item)))
    (type $state (variant (case "torn" string) (case "fresh"))) (export "state" (type $s (eq $state)))
    (type $marks (flags "cold" "fragile")) (export "marks" (type $m (eq $marks)))
    (export "find" (func (param "sku" string) (result $i)))
    (export "look" (func (result (tuple bool char f32 s64))))
    (export "ask" (func (result (result (option $s) (error string)))))
    (export "state-of" (func (param "item" $i) (result $s)))
    (export "marks-of" (func (param "item" $i) (result $m)))
    (export "log" (func (param "text" string)))))
  (core module $m (func (export "f") (param i32) (result i32) local.get 0))
  (core instance $c (instantiate $m))
  (func (export "half") (param "n" u32) (result u32) (canon lift (core func $c "f"))))"""
CLOCK = """(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
  (import "env" "answer" (func $answer (result i32 i64)))
  (memory (export "memory") 1) (func (export "f") (result i32) call $answer drop))"""
LARGE = '(module (memory 300) (func (export "f")))'
COUNTER = """(component
  (import "demo:a/b@1.0.0" (instance (export "counter" (type (sub resource))) (export "now" (func (result u64)))))
  (core module $m (func (export "f"))) (core instance $c (instantiate $m))
  (func (export "f") (canon lift (core func $c "f"))))"""
ODD = (
    r"""(module (func (export "a\nb")) (func (export "sp ace \"q\"") (param v128)) (func (export "\u{1f980} crab")))"""
)


def init(project, name, wat):
    project.path(f"{name}/{name}.wat").write_text(wat)
    return project.run("--wasm-init", f"{name}/{name}.wat")


def uncommented(text):
    """The manifest with its first tests."""
    head, _, tests = text.partition("# First tests: ")
    lines = tests.splitlines()[1:]
    return head + "\n".join(line.removeprefix("# ") if not line.startswith("#   ") else line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("wat", [PLAIN, TYPED, CLOCK, ODD], ids=["plain", "typed", "wasi", "odd"])
def test_the_new_manifest_passes_every_check_and_so_do_its_first_tests(project, wat):
    ran = init(project, "guest", wat)
    assert ran.code == 0, ran.text
    assert "wasm: wrote guest/Component.toml" in ran.text
    assert "next: pytest --airssys-wasm guest" in ran.text
    validated = project.run("--airssys-wasm", "guest")
    assert set(validated.results.values()) == {"passed"}, validated.text
    manifest = project.path("guest/Component.toml")
    manifest.write_text(uncommented(manifest.read_text()))
    assert toml.loads(manifest.read_text())["tests"]
    validated = project.run("--airssys-wasm", "guest")
    assert set(validated.results.values()) == {"passed"}, validated.text
    assert "tests[" in validated.text


def test_limits_are_measured_from_the_instantiation(project):
    init(project, "guest", PLAIN)
    text = project.path("guest/Component.toml").read_text()
    written = toml.loads(text)
    assert written["resources"]["memory"]["max_bytes"] == "512 KiB"
    assert written["resources"]["cpu"]["max_fuel"] % 1_000_000 == 0
    assert written["resources"]["cpu"]["max_fuel"] > 1_000_000
    assert "# the instantiation took 128 KiB; the rest is for calls" in text


def test_imports_become_stubs_with_values_of_their_types(project):
    ran = init(project, "guest", TYPED)
    assert "6 imports answered with placeholders" in ran.text
    text = project.path("guest/Component.toml").read_text()
    answers = {stub["name"].partition("#")[2]: stub.get("returns") for stub in toml.loads(text)["imports"]}
    assert answers == {
        "find": {"sku": "", "unit": "piece", "tags": []},
        "look": [False, "?", 0.0, 0],
        "ask": {"ok": {}},
        "state-of": {"case": "fresh"},
        "marks-of": [],
        "log": None,
    }
    assert "#   demo:shop/prices@1.0.0#log: func(text: string)" in text


OWNED = """(component
  (type $bag (resource (rep i32)))
  (core func $new (canon resource.new $bag))
  (core module $m (import "" "new" (func $new (param i32) (result i32)))
    (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
    (func (export "put") (param i32 i32) (result i32) local.get 1))
  (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
  (export $named "bag" (type $bag))
  (func (export "[constructor]bag") (param "size" u32) (result (own $named)) (canon lift (core func $i "make")))
  (func (export "[method]bag.put") (param "self" (borrow $named)) (param "item" u32) (result u32)
    (canon lift (core func $i "put"))))"""


TOOLED = """(component
  (core module $m (memory (export "memory") 1)
    (func (export "init") (param i32 i32 i32 i32 i32))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 8))
  (core instance $i (instantiate $m))
  (func (export "init") (param "shim" string) (param "script" string) (param "gc" bool)
    (canon lift (core func $i "init") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"""


@pytest.mark.slow
def test_a_resource_of_the_guest_has_a_first_test_with_its_methods(project):
    init(project, "guest", OWNED)
    manifest = project.path("guest/Component.toml")
    manifest.write_text(uncommented(manifest.read_text()))
    (test,) = toml.loads(manifest.read_text())["tests"]
    assert test["steps"] == [
        {"call": "[constructor]bag", "args": [0], "save": "it"},
        {"call": "[method]bag.put", "args": [{"saved": "it"}, 0]},
    ]
    assert set(project.run("--airssys-wasm", "guest").results.values()) == {"passed"}


@pytest.mark.slow
def test_a_function_of_the_toolchain_has_no_test_and_is_not_fuzzed(project):
    init(project, "guest", TOOLED)
    text = project.path("guest/Component.toml").read_text()
    assert toml.loads(text)["fuzz"] == {"exclude": ["init"]}
    assert 'call = "init"' not in text
    init(project, "other", TOOLED.replace('"shim"', '"text"'))
    assert 'call = "init"' in project.path("other/Component.toml").read_text()


def test_the_main_function_of_a_command_is_called_by_its_start_and_not_by_tests(project):
    main = '(func (export "main") (param i32 i32) (result i32) (i32.const 0))'
    init(project, "guest", f'(module {main} (func (export "_start")))')
    text = project.path("guest/Component.toml").read_text()
    assert toml.loads(text)["fuzz"] == {"exclude": ["main"]}
    assert (text.count('call = "_start"'), text.count('call = "main"')) == (1, 0)
    assert (
        "#   what it prints is tested in Python: python -m pytest_airssys_wasm.docs howto#grant-wasi\n# [[tests]]"
        in text
    )
    init(project, "other", f"(module {main})")
    assert 'call = "main"' in project.path("other/Component.toml").read_text()


def test_wasi_is_linked_where_it_is_imported(project):
    init(project, "guest", CLOCK)
    text = project.path("guest/Component.toml").read_text()
    assert toml.loads(text)["wasi"] == {}
    assert "#   wasi_snapshot_preview1\n" in text
    init(project, "other", PLAIN)
    assert "[wasi]" not in project.path("other/Component.toml").read_text()


@pytest.mark.slow
def test_more_memory_than_is_allowed_is_written_and_told(project):
    ran = init(project, "guest", LARGE)
    assert "it takes 18.75 MiB of memory, more than the 4 MiB that are allowed" in ran.text
    assert toml.loads(project.path("guest/Component.toml").read_text())["resources"]["memory"] == {
        "max_bytes": "38400 KiB"
    }
    assert "write `wasm_memory_range = 512 KiB..64 MiB` into the section [pytest] of pytest.ini" in ran.text
    project.write(pytest_ini="[pytest]\nwasm_memory_range = 512 KiB..64 MiB\n")
    assert set(project.run("--airssys-wasm", "guest").results.values()) == {"passed"}


@pytest.mark.slow
def test_a_resource_is_left_to_python(project):
    ran = init(project, "guest", COUNTER)
    assert "1 import to be registered in Python" in ran.text
    assert "the limits are guesses: it cannot be instantiated before that" in ran.text
    text = project.path("guest/Component.toml").read_text()
    assert "#   demo:a/b@1.0.0#counter: resource" in text
    project.write(
        conftest="""
        def pytest_wasm_host(host):
            host.register_resource("demo:a/b@1.0.0#counter", type("Counter", (), {}))
        """
    )
    assert set(project.run("--airssys-wasm", "guest").results.values()) == {"passed"}


def test_an_instantiation_that_fails_is_told_and_the_rest_is_written(project):
    ran = init(project, "guest", "(module (func $f unreachable) (start $f))")
    assert ran.code == 0
    assert "the limits are guesses, because its instantiation ended with trap: " in ran.text
    assert toml.loads(project.path("guest/Component.toml").read_text())


def test_an_endless_instantiation_ends_at_the_ceiling(project):
    project.write(pytest_ini="[pytest]\nwasm_max_fuel = 1000\n")
    ran = init(project, "guest", "(module (func $f (loop br 0)) (start $f))")
    assert "because its instantiation ended with out-of-fuel" in ran.text


def test_a_manifest_is_never_overwritten(project):
    project.path("guest/Component.toml").write_text("mine")
    ran = init(project, "guest", PLAIN)
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert "Component.toml exists, and is not overwritten" in ran.text
    assert project.path("guest/Component.toml").read_text() == "mine"
    project.path("guest/Component.toml").unlink()
    project.path("guest/Component.toml").symlink_to("nowhere")
    assert init(project, "guest", PLAIN).code == pytest.ExitCode.USAGE_ERROR
    assert not project.path("guest/nowhere").exists()
    assert sorted(path.name for path in project.path("guest/x").parent.iterdir()) == ["Component.toml", "guest.wat"]


@pytest.mark.parametrize(
    ("content", "said"), [("(module", "--> guest.wat:1:8\n"), (None, "--wasm-init: expected an existing file, got")]
)
def test_a_binary_that_cannot_be_read_is_a_usage_error(project, content, said):
    ran = init(project, "guest", content) if content else project.run("--wasm-init=guest/guest.wat")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert said in ran.text
    assert "Traceback" not in ran.text
    assert not project.path("guest/Component.toml").exists()


def test_the_option_runs_no_tests(project):
    project.write(test_a="def test_a(): assert 0")
    ran = init(project, "guest", PLAIN)
    assert "test_a" not in ran.text
    assert "guest.wat" in {path.name for path in project.path("guest/x").parent.iterdir()}
