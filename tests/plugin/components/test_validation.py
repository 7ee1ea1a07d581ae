"""`Component.toml` and binaries as pytest items: a planted fault fails the one check that should catch it."""

from __future__ import annotations

import shutil

import pytest

from support.checkout import FIXTURES
from support.validated_guest import GUEST, HEAD, SOUND, entry

SERVED = """
def pytest_wasm_host(host):
    host.register("env#log", lambda number: None)
"""
CHECKS = ("manifest", "loads", "imports", "limits", "instantiates", "deterministic")


@pytest.fixture
def author(project):
    """A folder with a guest, its manifest and the host function that it imports."""
    project.path("guest.wat").write_text(GUEST)
    project.path("Component.toml").write_text(HEAD + SOUND)
    project.path("conftest.py").write_text(SERVED)
    return project


def validate(project, *arguments):
    return project.run("--airssys-wasm", "--wasm-conformance=never", *arguments)


def failures(ran):
    """Failed checks by name, and the reason in the short summary."""
    short = ran.text.partition("short test summary info")[2]
    return {node.rpartition("::")[2]: outcome for node, outcome in ran.results.items() if outcome == "failed"} and {
        line.removeprefix("FAILED ").partition(" - ")[0].partition("::")[2]: line.partition(" - ")[2]
        for line in short.splitlines()
        if line.startswith("FAILED ")
    }


def the_failure(project, *arguments):
    project.environment["COLUMNS"] = "1000"
    found = failures(validate(project, *arguments))
    assert len(found) == 1, found
    return next(iter(found.items()))


def test_a_sound_component_passes_every_check_and_its_own_tests(author):
    ran = validate(author, "-v")
    assert ran.code == 0, ran.text
    assert list(ran.results) == [f"Component.toml::{name}" for name in (*CHECKS, "tests[halves]", "tests[answers]")]
    told = ran.text.partition("WebAssembly components")[2]
    for shown in ("memory 1,048,576 bytes", "compiled in", "cold", "warm", "131,072 of 1,048,576", "returned 42; fuel"):
        assert shown in told


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (HEAD.replace("max_bytes = 1048576", ""), "memory has no default"),
        (HEAD.replace("max_bytes", "max_byte"), "did you mean max_bytes?"),
        (HEAD.replace("1048576", "5_000_000"), "from 512 KiB to 4 MiB"),
        (HEAD.replace("1048576", "[1]"), "expected a size in bytes such as 1048576, or '1 MiB', got [1]"),
        (HEAD + "[resources.disk]\n", "disk: expected a known key"),
        (HEAD + entry("x", "half", "verdict = 'fine'"), "expected one of ok, out-of-fuel"),
        ("[component", "expected valid TOML"),
    ],
    ids=["no memory", "unknown key", "over the range", "wrong type", "unknown table", "wrong verdict", "no TOML"],
)
def test_a_wrong_manifest_fails_the_check_manifest_and_nothing_else_is_said(author, manifest, reason):
    author.path("Component.toml").write_text(manifest)
    name, told = the_failure(author)
    assert name == "manifest"
    assert reason in told
    assert "Component.toml" in told


@pytest.mark.slow
def test_an_import_that_nothing_provides_is_named_with_its_type_and_blocks_the_rest(author):
    author.path("conftest.py").unlink()
    ran = validate(author)
    name, told = the_failure(author)
    assert name == "imports"
    assert "nothing provides 1 import: env#log: (func (param i32))" in told
    assert ran.count("skipped") == 4
    assert "not checked, because imports fails" in ran.text


@pytest.mark.slow
def test_a_conftest_serves_imports_through_the_fixture_too(author):
    author.path("conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef wasm_host(wasm_host):\n"
        "    wasm_host.register('env#log', lambda number: None)\n    return wasm_host\n"
    )
    assert validate(author).code == 0


def test_a_blocked_check_fails_where_the_one_that_blocks_it_does_not_run(author):
    author.path("guest.wat").unlink()
    ran = author.run("--airssys-wasm", "Component.toml::instantiates")
    assert ran.code == 1
    assert "not checked, because loads fails: there is no file" in ran.text


@pytest.mark.slow
def test_a_failing_check_shows_what_to_do_and_the_command_that_repeats_it_alone(author):
    author.path("Component.toml").write_text(HEAD + entry("one of two", "half", "returns = 6", "[15]"))
    ran = validate(author)
    for line in (
        "to do: reduce the work",
        "verdict  out-of-fuel",
        "call     half(15)",
        "fuel     100,000 of 100,000 (100 %)",
    ):
        assert line in ran.text
    assert "rerun    pytest --airssys-wasm 'Component.toml::tests[one of two]'" in ran.text
    again = author.run("--airssys-wasm", "Component.toml::tests[one of two]")
    assert again.count("failed") == 1
    assert len(again.results) == 1


@pytest.mark.slow
def test_a_binary_is_validated_without_a_manifest_when_it_is_named(project):
    shutil.copy(FIXTURES / "guests/text-transform/text-transform.wasm", project.path("bin/it.wasm"))
    ran = project.run("--wasm-component", "bin/it.wasm", "--wasm-memory", "1 MiB")
    assert set(ran.results) == {f"bin/it.wasm::{name}" for name in CHECKS[1:]}
    assert ran.code == 0
    alone = project.run("--wasm-component", "bin/it.wasm", "--wasm-memory", "1 MiB", "bin/it.wasm::loads")
    assert list(alone.results) == ["bin/it.wasm::loads"]


@pytest.mark.slow
@pytest.mark.parametrize("under", ["", "sub/"])
def test_a_binary_can_be_deselected_by_its_own_name_as_it_can_be_named(author, under):
    for name in ("guest.wat", "Component.toml", "conftest.py"):
        author.path(name).rename(author.path(under + name))
    author.path("pytest.ini").write_text("[pytest]\n")
    named, folder = f"{under}guest.wat", author.path(under)
    ran = author.run("--airssys-wasm", "--wasm-conformance=never", "--deselect", f"{named}::loads", cwd=folder)
    assert "Component.toml::imports" in ran.results, ran.text  # relative to the folder
    assert "Component.toml::loads" not in ran.results
    whole = author.run("--wasm-component", "guest.wat", "--deselect", named, cwd=folder)
    assert whole.results == {}, whole.text


def test_a_binary_without_any_memory_limit_fails_the_check_limits(project):
    shutil.copy(FIXTURES / "guests/text-transform/text-transform.wasm", project.path("it.wasm"))
    project.environment["COLUMNS"] = "1000"
    ran = project.run("--wasm-component", "it.wasm")
    found = failures(ran)
    assert list(found) == ["limits"]
    assert found["limits"] == "no memory limit is given, and there is no default"
    assert 'to do: use --wasm-memory "4 MiB", or write' in ran.text
    assert "pytest --wasm-init it.wasm\n" in ran.text


def test_advice_for_imports_names_each_place_once(project):
    project.path("it.wat").write_text(
        """(component (import "demo:a/b@1.0.0" (instance
          (export "counter" (type (sub resource))) (export "bag" (type (sub resource))) (export "now" (func)))))"""
    )
    project.environment["COLUMNS"] = "1000"
    ran = project.run("--airssys-wasm", "it.wat", "--wasm-memory", "1 MiB", "it.wat::imports")
    advice = next(line for line in ran.text.splitlines() if line.startswith("to do: "))
    assert advice == (
        "to do: answer it with [[imports]] in a Component.toml beside it, or register it in a conftest.py beside it, "
        "in a fixture that overrides `wasm_host` or in the hook `pytest_wasm_host`: "
        "host.register('demo:a/b@1.0.0#now', function); register classes there: "
        "host.register_resource('demo:a/b@1.0.0#counter', class), host.register_resource('demo:a/b@1.0.0#bag', class)"
    )


@pytest.mark.slow
def test_a_named_binary_with_a_manifest_is_validated_once_under_the_manifests_name(author):
    ran = author.run("--wasm-component", "guest.wat", "--airssys-wasm", "--wasm-conformance=never")
    assert ran.count("passed") == len(CHECKS) + 2
    assert all(node.startswith("Component.toml::") for node in ran.results)
    assert author.run("--wasm-component", "guest.wat").count("passed") == len(CHECKS) + 2


@pytest.mark.parametrize("option", [(), ("-n", "1")], ids=["alone", "in a worker"])
@pytest.mark.slow
def test_an_argument_names_a_binary_as_the_option_does(author, option):
    ran = author.run("--airssys-wasm", "guest.wat", *option)
    assert ran.count("passed") == len(CHECKS) + 2
    assert all(node.startswith("Component.toml::") for node in ran.results)
    assert list(author.run("--airssys-wasm", "./guest.wat::loads", *option).results) == ["Component.toml::loads"]
    author.path("Component.toml").unlink()
    ran = author.run("--airssys-wasm", "guest.wat", "--wasm-memory=1 MiB", *option)
    assert set(ran.results) == {f"guest.wat::{name}" for name in CHECKS[1:]}
    assert author.run("--airssys-wasm", "missing.wat").code == pytest.ExitCode.USAGE_ERROR


def test_an_argument_that_cannot_be_looked_at_is_told_by_pytest(project):
    ran = project.run("--airssys-wasm", "x" * 300 + ".wasm")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert "file or directory not found" in ran.text


def test_a_folder_names_no_binary(project):
    shutil.copy(FIXTURES / "guests/text-transform/text-transform.wasm", project.path("bin/it.wasm"))
    assert project.run("--airssys-wasm", "bin").code == pytest.ExitCode.NO_TESTS_COLLECTED


def test_without_the_flag_a_manifest_is_no_test(author):
    assert author.run().code == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_limit_over_the_platforms_ceiling_fails_limits(author):
    author.write(pytest_ini="[pytest]\nwasm_max_memory = 600 KiB\n")
    name, told = the_failure(author)
    assert name == "limits"
    assert "the ceiling wasm_max_memory" in told


UNSTABLE_HOST = """
    count = 0
    def pytest_wasm_host(host, item):
        def often(number):
            global count
            count += 1
            if count in ({fails}):
                raise RuntimeError("not now")
        host.register("env#f", often)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fails", "failing", "said"),
    [
        # The two instantiations of `instantiates` are well, and the first one of `deterministic` is not.
        ("3,", "deterministic", "instantiates passed, and then failed when deterministic needed it"),
        ("0,", None, ""),
    ],
)
def test_no_check_is_skipped_for_one_that_passed(project, fails, failing, said):
    project.write(
        guest_wat='(module (import "env" "f" (func $f (param i32))) (func $s (call $f (i32.const 1))) (start $s))',
        conftest=UNSTABLE_HOST.format(fails=fails),
        Component_toml="""
            [component]
            name = "guest"
            version = "0.1.0"
            wasm = "guest.wat"
            [resources.memory]
            max_bytes = 524288
        """,
    )
    ran = project.run("--airssys-wasm", "--wasm-conformance=never", ".")
    assert [name.partition("::")[2] for name, outcome in ran.results.items() if outcome == "failed"] == (
        [failing] if failing else []
    ), ran.text
    assert said in ran.text


def test_a_check_that_passes_after_it_blocked_another_fails(project):
    project.write(
        guest_wat='(module (import "env" "f" (func $f (param i32))) (func $s (call $f (i32.const 1))) (start $s))',
        conftest=UNSTABLE_HOST.format(fails="1,")
        + """
    def pytest_collection_modifyitems(items):
        items.sort(key=lambda item: item.name != "deterministic")
""",
        Component_toml="""
            [component]
            name = "guest"
            version = "0.1.0"
            wasm = "guest.wat"
            [resources.memory]
            max_bytes = 524288
        """,
    )
    ran = project.run("--airssys-wasm", "--wasm-conformance=never", ".")
    assert ran.results["Component.toml::instantiates"] == "failed", ran.text
    assert "it passed, but failed when another check needed it" in ran.text
