"""`--wasm-fuzz` adds checks to every validated component, which show what they find, and find it again at once."""

from __future__ import annotations

import json
import re

import pytest

from support.manifests import HEAD
from support.planted_guests import OFF_BY_ONE, RARE_STRING, SOUND

MANIFEST = f"""{HEAD}[resources.memory]
max_bytes = 1048576
[resources.cpu]
timeout_ms = 20_000
"""


@pytest.fixture
def author(project):
    """A folder with a component, of which one export has a fault."""
    project.path("guest.wat").write_text(RARE_STRING)
    project.path("Component.toml").write_text(MANIFEST)
    project.environment["COLUMNS"] = "200"
    return project


def fuzz(project, *arguments, profile="ci"):
    return project.run("--airssys-wasm", f"--wasm-fuzz={profile}", "-k", "fuzz", *arguments, ".")


def checks(ran):
    return {node.partition("::")[2]: outcome for node, outcome in ran.results.items()}


def test_nothing_is_fuzzed_without_the_option(author):
    assert not any("fuzz" in check for check in checks(author.run("--airssys-wasm", ".")))


def test_the_longest_checks_come_first_so_that_workers_share_them_evenly(project):
    project.path("guest.wat").write_text(SOUND)
    project.path("Component.toml").write_text(MANIFEST)
    ran = project.run("--airssys-wasm", "--wasm-fuzz=quick", "--collect-only", "-q", "-k", "fuzz or worst-case", ".")
    kinds = re.findall(r"^Component\.toml::([a-z-]+)", ran.text, re.MULTILINE)
    assert kinds == ["fuzz-sequence", *["fuzz"] * 6, *["worst-case"] * 6, "fuzz-limits"]


def test_a_search_that_is_not_made_does_not_pass(author):
    author.path("guest.wat").write_text(
        '(module (import "env" "now" (func $f (result i32))) (func (export "f") (param i32) (result i32) (call $f)))'
    )
    author.path("conftest.py").write_text("def pytest_wasm_host(host):\n    host.register('env#now', lambda: 1)\n")
    ran = author.run("--airssys-wasm", "--wasm-fuzz=quick", "-k", "worst-case", ".")
    assert ran.count("skipped") == 1
    assert re.search(r"^SKIPPED .*: not searched: .*env#now", ran.text, re.MULTILINE)


@pytest.mark.slow
def test_a_fault_is_shown_with_what_to_paste_and_how_to_run_it_again(author):
    ran = fuzz(author, "--wasm-fuzz-seed=7", "-k", "fuzz[parse]")
    assert checks(ran) == {"fuzz[parse]": "failed"}
    for shown in (
        'parse("MAGC") ended with trap (unreachable)',
        "(profile ci, seed 7)",
        '  args = ["MAGC"]\n  verdict = "ok"',
        '@pytest.mark.component("guest.wat")',
        "component.call('parse', 'MAGC')",
        "verdict  trap",
        "rerun    pytest --airssys-wasm --wasm-fuzz ci --wasm-fuzz-seed 7 'Component.toml::fuzz[parse]'",
    ):
        assert shown in ran.text


@pytest.mark.slow
def test_the_entry_and_the_python_test_that_are_shown_fail_as_the_check_does(author):
    text = fuzz(author, "-k", "fuzz[parse]").text
    entry = re.search(r"to keep it.*\n((?:  .*\n)+?)or in Python", text)[1]
    test = re.search(r"or in Python:\n((?:  .*\n)+?)to do", text)[1]
    author.path("Component.toml").write_text(MANIFEST + "\n".join(line[2:] for line in entry.splitlines()))
    author.path("test_it.py").write_text("\n".join(line[2:] for line in test.splitlines()))
    ran = author.run("--airssys-wasm", "-k", "tests or found_by", ".")
    assert [*ran.results.values()] == ["failed", "failed"], ran.text
    assert ran.text.count("unreachable") > 1


@pytest.mark.slow
def test_a_fault_is_found_at_once_by_the_next_run_and_by_workers(author):
    first = fuzz(author, "-k", "fuzz[parse]")
    assert [*author.path(".hypothesis/wasm-fuzz").iterdir()]
    again = fuzz(author, "-k", "fuzz[parse]", "-n1", "--wasm-fuzz-seed=99", profile="quick")
    assert "found among" in first.text
    assert 'parse("MAGC") ended with trap (unreachable)\nfound by an example that an earlier run has kept' in again.text
    author.path("guest.wat").write_text(SOUND.replace('"size"', '"parse"'))
    assert checks(fuzz(author, "-k", "fuzz[parse]", profile="quick")) == {"fuzz[parse]": "passed"}


def test_exports_are_left_out_by_pattern(author):
    author.path("guest.wat").write_text(OFF_BY_ONE)
    author.path("Component.toml").write_text(MANIFEST + '[fuzz]\nexclude = ["s*m"]\n')
    assert checks(fuzz(author)) == {}


@pytest.mark.slow
def test_allowances_are_obeyed(author):
    author.path("guest.wat").write_text(OFF_BY_ONE)
    author.path("Component.toml").write_text(MANIFEST + "[fuzz]\nmax_size = 20\n")
    assert checks(fuzz(author, "-k", "fuzz[sum]", profile="quick")) == {"fuzz[sum]": "failed"}
    author.path("Component.toml").write_text(
        MANIFEST + '[fuzz]\nmax_size = 20\n[fuzz.allow]\n"sum" = ["trap:unreachable"]\n'
    )
    allowed = fuzz(author, "-v", "-k", "fuzz[sum]", profile="quick")
    assert checks(allowed) == {"fuzz[sum]": "passed"}
    assert "as allowed: trap:unreachable" in allowed.text


def test_a_name_in_the_table_that_no_export_has_fails(author):
    author.path("Component.toml").write_text(
        MANIFEST + '[fuzz]\nexclude = ["debug-*"]\n[fuzz.allow]\n"pars" = ["trap"]\n'
    )
    ran = fuzz(author, "-k", "debug or pars]")
    assert checks(ran) == {"fuzz[debug-*]": "failed", "fuzz[pars]": "failed"}
    assert "exclude under [fuzz] has 'debug-*', which matches no export" in ran.text
    assert "did you mean 'parse'?" in ran.text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[fuzz]\nmax_size = -1", "[fuzz] max_size: expected a size from 0 to 65,536, got -1"),
        ("[fuzz]\nsize = 1", "size: expected a known key (max_size, exclude, allow; did you mean max_size?), got 1"),
        ('[fuzz.allow]\nparse = ["ok"]', "[fuzz.allow] parse: expected trap:<kind>, or one of out-of-fuel"),
        ('[fuzz.allow]\nparse = ["out-of-feul"]', "did you mean out-of-fuel?"),
        ('[fuzz.allow]\nparse = "trap"', "[fuzz] allow: expected an array, got {'parse': 'trap'}"),
    ],
)
def test_a_wrong_table_is_told_by_the_check_manifest(author, table, message):
    author.path("Component.toml").write_text(MANIFEST + table)
    ran = author.run("--airssys-wasm", "-k", "manifest", "Component.toml")
    assert ran.code == 1
    assert message in ran.text


def test_a_component_that_cannot_be_loaded_has_one_check_that_is_skipped(author):
    author.path("guest.wat").write_text("(component")
    ran = author.run("--airssys-wasm", "--wasm-fuzz=quick", ".")
    assert "not checked, because loads fails" in ran.text
    assert ran.count("failed") == 1


@pytest.mark.slow
def test_thousands_of_executions_are_not_in_the_report(author):
    author.path("guest.wat").write_text(SOUND)
    ran = fuzz(author, "-v", "--wasm-report=report.json", profile="quick")
    assert ran.code == 0, ran.text
    assert len(json.loads(author.path("report.json").read_text())["executions"]) < 50
    assert re.search(r"fuzz\[size\]: [\d,]+ examples?, seed 0", ran.text)
    assert "laws of limits, 5 examples each" in ran.text


@pytest.mark.slow
def test_a_binary_without_a_manifest_is_fuzzed_under_the_limits_of_the_command_line(author):
    author.path("Component.toml").unlink()
    ran = author.run("--wasm-component=guest.wat", "--wasm-memory=1 MiB", "--wasm-fuzz=ci", "-k", "fuzz[parse]")
    assert "@pytest.mark.memory(1048576)" in ran.text


NO_TIME = """
from msgspec.structs import replace
from pytest_airssys_wasm.fuzzing.profiles import PROFILES

for name, profile in PROFILES.items():
    PROFILES[name] = replace(profile, time_s=0, least_s=1e-6)
"""


@pytest.mark.slow
def test_checks_that_passed_because_their_time_was_up_are_named_without_v(author):
    author.path("conftest.py").write_text(NO_TIME)
    ran = fuzz(author, "-q", "-k", "fuzz[parse] or manifest", "--junit-xml=junit.xml", "--wasm-report=r.json")
    assert checks(ran) == {"manifest": "passed", "fuzz[parse]": "passed"}
    line = "the time of 1 of 1 fuzz check was up before all examples were tried: Component.toml::fuzz[parse]; "
    assert f"wasm fuzz: {line}--wasm-fuzz=nightly gives more time" in ran.text
    assert '<property name="wasm_search_cut_off" value="0.0"' in author.path("junit.xml").read_text()
    report = json.loads(author.path("r.json").read_text())
    assert [one["is_cut_off"] for one in report["tests"]] == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["quick", "nightly"])
def test_every_kind_of_fuzz_check_tells_that_its_time_was_up_unless_it_goes_on_until_then(author, profile):
    author.path("conftest.py").write_text(NO_TIME)
    ran = fuzz(author, "-k", "fuzz or worst-case", profile=profile)
    assert {*checks(ran)} == {"fuzz-sequence", "fuzz[parse]", "worst-case[parse]", "fuzz-limits"}
    assert ("the time of 4 of 4 fuzz checks was up" in ran.text) is (profile == "quick")
    assert ("and 1 more; --wasm-fuzz=ci gives more time" in ran.text) is (profile == "quick")
