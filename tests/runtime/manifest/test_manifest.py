"""`Component.toml`: what is accepted, and that every error says where and what would be right."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.characters import ANY_CHARACTER
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.manifest.loading import load_manifest, parse_manifest, parse_memory_range
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

MINIMAL = '[component]\nname = "a"\nversion = "0.1.0"\n[resources.memory]\nmax_bytes = 1048576\n'
FULL = (
    MINIMAL
    + """[resources.cpu]
max_fuel = 1_000
timeout_ms = 2.5
[[tests]]
name = "adds"
call = "add"
args = [1, 2]
returns = 3
[[tests]]
name = "spins"
call = "spin"
verdict = "out-of-fuel"
"""
)
PATH = Path("dir/Component.toml")


def test_a_minimal_manifest_leaves_the_cpu_limits_open():
    manifest = parse_manifest(MINIMAL, PATH)
    assert (manifest.name, manifest.memory_bytes, manifest.max_fuel, manifest.timeout_ms) == ("a", 1048576, None, None)
    assert manifest.wasm == Path("dir/a.wasm")


def test_a_full_manifest_is_read_whole(tmp_path):
    (tmp_path / "Component.toml").write_text(FULL)
    manifest = load_manifest(tmp_path / "Component.toml")
    assert (manifest.max_fuel, manifest.timeout_ms) == (1_000, 2.5)
    assert [test.name for test in manifest.tests] == ["adds", "spins"]
    assert manifest.tests[0].args == [1, 2]


def test_seconds_are_accepted_instead_of_milliseconds():
    assert parse_manifest(MINIMAL + "[resources.cpu]\ntimeout_seconds = 0.5\n", PATH).timeout_ms == 500


def test_the_path_of_the_binary_is_relative_to_the_manifest():
    text = MINIMAL.replace('name = "a"', 'name = "a"\nwasm = "target/a.wasm"')
    assert parse_manifest(text, PATH).wasm == Path("dir/target/a.wasm")


def test_the_platform_range_can_be_widened():
    text = MINIMAL.replace("1048576", "16777216")
    with pytest.raises(InvalidConfiguration, match="stack-size"):
        parse_manifest(text, PATH)
    assert parse_manifest(text, PATH, memory_range=parse_memory_range("64 KiB..32 MiB")).memory_bytes == 16777216


ENTRY = "[[tests]]\nname = 'x'\ncall = 'y'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[component", "Component.toml:1: expected valid TOML: .*, got '\\[component'"),
        ("a = 1\nb = = 2\n", r"Component.toml:2: expected valid TOML: Invalid value \(column 5\), got 'b = = 2'"),
        ("a = [\n", r"Component.toml:2: expected valid TOML: .*, got the end of the file"),
        (MINIMAL.split("[resources")[0], r"\[resources.memory\] max_bytes: expected a value"),
        (MINIMAL.replace("max_bytes = 1048576", ""), r"\[resources.memory\] max_bytes: expected a value"),
        (
            MINIMAL.replace("max_bytes", "max_byte"),
            r"Component.toml:5: \[resources.memory\] max_byte: expected a known key \(did you mean max_bytes\?\), got 10",
        ),
        (
            MINIMAL.replace("1048576", '"1"'),
            r":5: \[resources.memory\] max_bytes: expected from 512 KiB to 4 MiB, got '1'",
        ),
        (
            MINIMAL.replace("1048576", '"1 Mo"'),
            "max_bytes: expected a size such as 1048576, 512 KiB or 1 MiB, got '1 Mo'",
        ),
        (MINIMAL.replace("1048576", "524287"), r"from 512 KiB to 4 MiB, got 524287"),
        (
            MINIMAL.replace("1048576", "4194305"),
            r"from 512 KiB to 4 MiB; .*`wasm_memory_range = 512 KiB..8 MiB`.*got 4194305",
        ),
        (MINIMAL.replace("1048576", "true"), "expected a size in bytes such as 1048576, or '1 MiB', got True"),
        (MINIMAL.replace('"a"', '""'), r"\[component\] name: expected a printable string that is not empty"),
        (MINIMAL.replace('version = "0.1.0"\n', ""), r"\[component\] version: expected a value"),
        (MINIMAL + "[resources.cpu]\nmax_fuel = -1", "max_fuel: expected a whole number from 0"),
        (MINIMAL + "[resources.cpu]\nmax_fuel = true", "max_fuel: expected a whole number, got True"),
        (MINIMAL + "[resources.cpu]\ntimeout_ms = nan", "timeout_ms: expected a finite"),
        (MINIMAL + "[resources.cpu]\ntimeout_ms = -1", "timeout_ms: expected a finite"),
        (MINIMAL + "[resources.cpu]\ntimeout_ms = 1\ntimeout_seconds = 1", "not both"),
        (
            MINIMAL + "[resource.cpu]\nmax_fuel = 1",
            r"Component.toml:6: resource: expected a known key \(component, .*; did you mean resources\?\), got a table",
        ),
        (
            MINIMAL.replace("max_bytes = 1048576", ""),
            r"max_bytes: expected a value \(the key is required: memory has no default\), got nothing",
        ),
        (MINIMAL + "[extra]\n", r"Component.toml:6: extra: expected a known key"),
        ("x = " + 5_000 * "9", "numbers that can be read"),
        (
            MINIMAL + "[resources.cpu]\ntimeout_seconds = 1e306",
            r":7: \[resources.cpu\] timeout_seconds: expected a fin",
        ),
        (MINIMAL.replace('"a"', '"a/b"'), r":2: \[component\] name: expected a name without slashes"),
        (MINIMAL.replace("version", 'wasm = ""\nversion'), r"\[component\] wasm: expected a printable string"),
        (
            MINIMAL + ENTRY + "returns = 1\n" + ENTRY.replace("'x'", "3"),
            r":11: \[\[tests\]\] entry 2: name: expected a string",
        ),
        (MINIMAL + ENTRY, "returns, verdict or trap"),
        (MINIMAL + ENTRY + "returns = 1\nverdict = 'trap'", "either returns, or verdict and trap, got both$"),
        (MINIMAL + ENTRY + "verdict = 'out-of-feul'", "did you mean out-of-fuel"),
        (MINIMAL + ENTRY + "verdict = 'timeout'\ntrap = 'unreachable'", "no trap beside the verdict timeout"),
        (MINIMAL + ENTRY + "returns = 1\nmax_fuel = -1", "max_fuel: expected a whole number from 0"),
        (
            MINIMAL + ENTRY + "verdict = 'out-of-fuel'\nmax_fuel = 1",
            "max_fuel: expected no max_fuel beside the verdict out-of-fuel",
        ),
        (MINIMAL + 2 * (ENTRY + "returns = 1\n"), "a name that no other test has, got 'x'"),
        (MINIMAL + ENTRY.replace("'x'", r'"x\ny"') + "returns = 1\n", "a printable name on one line"),
        (MINIMAL + "[wasi]\nargs = ['a', 1]", r"\[wasi.args\] 1: expected a string|args.*expected a string, got 1"),
        (MINIMAL + "[wasi]\nenv = { 'A=B' = 'x' }", r"\[wasi\] env: expected a mapping"),
        (MINIMAL + "[wasi]\nstdout = 1", r"a known key \(args, env, stdin, preopen"),
        (
            MINIMAL + "[wasi.preopen]\n'/' = '..'",
            r"\[wasi.preopen\] /: expected a folder below that of the manifest, got '..'",
        ),
        (MINIMAL + "[wasi.preopen]\n'/' = '/etc'", "a folder below"),
        (MINIMAL + "[wasi.preopen]\n'/' = 'missing'", "an existing directory"),
        (MINIMAL + '[[tests]]\nname = "x"\ncall = 1\nreturns = 1\n', "call: expected a string, got 1"),
    ],
)
def test_an_error_names_the_place_the_value_and_what_would_be_right(text, message):
    with pytest.raises(InvalidConfiguration, match=message):
        parse_manifest(text, PATH)


STEPS = "[[tests]]\nname = 'x'\nsteps = [{ call = 'a'%s }, { call = 'b'%s }]\n%s"


def steps(first="", second="", more=""):
    return MINIMAL + STEPS % (first, second, more)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "[[tests]]\nname = 'x'\nreturns = 1", r":6: \[\[tests\]\] 'x': call: expected call, or steps"),
        (steps(more="call = 'c'"), "expected either call or steps, got both$"),
        (steps(more="returns = 1"), r":9: \[\[tests\]\] 'x': returns: expected returns in each of the steps, got 1"),
        (steps(", argz = [1]"), r":8: \[\[tests\]\] 'x', step 1: argz: expected a known key \(call.*did you mean args"),
        (steps("", ", trap = 3"), r":8: \[\[tests\]\] 'x', step 2: trap: expected a string, got 3"),
        (steps(", verdict = 'trap'"), "step 1: verdict: expected an end other than `ok` only in the last step"),
        (
            steps("", ", trap = 'x'", "repeat = 2"),
            "step 2: trap: expected an end other than `ok` only in the last step",
        ),
        (
            steps("", ", args = [{ saved = 'q' }]"),
            "step 2, argument 1: expected the name of a value.*: a step before it",
        ),
        (
            steps(", save = 'p'", ", args = [{ saved = 'q' }]"),
            "step 2, argument 1: expected the name of a value that an earlier step saves: one of p, got {'saved': 'q'}",
        ),
        (steps("", ", save = 'p', verdict = 'trap'"), "step 2: save: expected no save beside an end other than `ok`"),
        (steps(", save = ' '"), "step 1: save: expected a printable name"),
        (steps(more="repeat = 0"), "repeat: expected a whole number from 1 to 25,000, got 0"),
        (steps(more="repeat = 25_001"), "repeat: expected a whole number from 1 to 25,000, got 25001"),
        (steps(more="max_growth = 0"), "max_growth: expected repeat of at least 2 beside it"),
        (steps(more="repeat = 2\nmax_growth = '1 kiss'"), r":10: .*max_growth: expected a size such as"),
        (steps(more="repeat = 2\nmax_growth = -1"), "max_growth: expected a size in bytes"),
        (steps(more="max_denied_growths = -1"), "max_denied_growths: expected a whole number from 0"),
        (MINIMAL + "[[imports]]\nname = 'a'\nreturn = 1", r":8: \[\[imports\]\] 'a': return: .*did you mean returns"),
        (MINIMAL + "[[imports]]\nreturns = 1", r":6: \[\[imports\]\] entry 1: name: expected a value"),
        (
            MINIMAL + 2 * "[[imports]]\nname = 'a'\n",
            r":9: \[\[imports\]\] 'a': name: expected a name that no other stub",
        ),
        (MINIMAL + "[[imports]]\nname = 'a'\nreturns = 1\nfails = 'x'", "expected either returns or fails, got both$"),
        (
            MINIMAL + "[[imports]]\nname = 'a'\nwhen = [\n{ args = [1] },\n{ arg = [1] }]",
            r":10: \[\[imports\]\] 'a', when 2: arg: expected a known key \(args, returns, fails; did you mean args",
        ),
        (MINIMAL + "[[imports]]\nname = 'a'\ncalls = -1", "calls: expected a whole number from 0"),
        (
            steps(more="[[tests.imports]]\nname = 'a'\ncalls = 'x'"),
            r":11: .*'x', import 1: calls: expected a whole number",
        ),
        (MINIMAL + "tests = 3", r"expected a known key \(max_bytes\)"),
        ("tests = 3\n" + MINIMAL, ":1: tests: expected an array of tables, got 3"),
    ],
)
def test_a_mistake_in_an_entry_is_told_with_its_step_and_line(text, message):
    with pytest.raises(InvalidConfiguration, match=message):
        parse_manifest(text, PATH)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file():
    text = """[component]
name = ""
version = 3
[resources.memory]
max_bytes = "1 MiBit"
[resources.cpu]
max_fuel = -1
timeout_ms = "soon"
[wasi.preopen]
"/" = ".."
[[tests]]
name = "x"
call = "f"
max_fule = 3
[[tests]]
name = "y"
steps = [{ call = "f", verdict = "trap" }, { call = 3 }]
[[tests]]
name = "z"
call = "f"
verdict = "trip"
repeat = 0
"""
    with pytest.raises(InvalidConfiguration) as caught:
        parse_manifest(text, PATH)
    told = [line.partition(": expected")[0].removeprefix(f"{PATH}:") for line in str(caught.value).splitlines()]
    assert told == [
        "2: [component] name",
        "3: [component] version",
        "5: [resources.memory] max_bytes",
        "7: [resources.cpu] max_fuel",
        "8: [resources.cpu] timeout_ms",
        "10: [wasi.preopen] /",
        "14: [[tests]] 'x': max_fule",
        "17: [[tests]] 'y', step 2: call",
        "21: [[tests]] 'z': verdict",
        "22: [[tests]] 'z': repeat",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "".join(f"[[tests]]\nname = 'n{number}'\nx = 1\n" for number in range(2_000)),
        "[[tests]]\nname = 'q'\nsteps = [" + "{ a = 1, b = 2 }," * 2_000 + "]\n",
        "[[tests]]\nname = 'q'\n" + "".join(f"k{number} = 1\n" for number in range(2_000)),
        "[[imports]]\nname = 'q'\n" * 2_000,
        "[[tests]]\nname = 'q'\ncall = 'f'\nreturns = 1\n" * 2_000,
    ],
    ids=["entries", "steps", "keys", "stubs", "names"],
)
def test_only_so_many_mistakes_of_a_hostile_manifest_are_looked_for(text, monkeypatch):
    compared = []
    near = difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", lambda *known, **more: compared.append(1) or near(*known, **more))
    text = MINIMAL + text
    with pytest.raises(InvalidConfiguration) as caught:
        parse_manifest(text, PATH)
    assert len(str(caught.value).splitlines()) == 50
    assert len(compared) <= 50


def test_sizes_and_times_may_have_units():
    text = MINIMAL.replace("1048576", "'1 MiB'") + "[resources.cpu]\ntimeout_ms = '2 s'\n"
    manifest = parse_manifest(text + steps(more="repeat = 2\nmax_growth = '64 KiB'").removeprefix(MINIMAL), PATH)
    assert (manifest.memory_bytes, manifest.timeout_ms) == (1_048_576, 2_000)
    (test,) = manifest.tests
    assert test.max_growth == 65_536
    assert [step.call for step in test.sequence] == ["a", "b"]


def test_a_call_is_one_step():
    (test,) = parse_manifest(MINIMAL + ENTRY + "args = [{ saved = 'a' }]\nreturns = 1", PATH).tests
    (step,) = test.sequence
    assert (step.call, step.args, step.returns) == ("y", [{"saved": "a"}], 1)


def test_cpu_limits_can_be_made_mandatory():
    with pytest.raises(InvalidConfiguration, match="max_fuel and timeout_ms"):
        parse_manifest(MINIMAL, PATH, require_cpu_limits=True)
    parse_manifest(FULL, PATH, require_cpu_limits=True)


def test_a_manifest_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "Component.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidConfiguration, match="UTF-8"):
        load_manifest(tmp_path / "Component.toml")


@pytest.mark.parametrize("text", ["", "1", "4 MiB..1 MiB", "a..b", "1..2..3"])
def test_a_wrong_range_is_an_error(text):
    with pytest.raises(InvalidConfiguration, match="wasm_memory_range"):
        parse_memory_range(text)


@given(st.text(ANY_CHARACTER))
def test_any_text_gives_a_manifest_or_an_error_that_names_the_place(text):
    _parses_or_names_the_place(text)


@pytest.mark.slow
@given(st.data())
def test_any_mutation_of_a_manifest_gives_a_manifest_or_an_error_that_names_the_place(data):
    start = data.draw(st.integers(0, len(FULL)))
    end = data.draw(st.integers(start, min(len(FULL), start + 12)))
    inserted = data.draw(
        st.one_of(st.text(ANY_CHARACTER, max_size=8), st.sampled_from(["-", "nan", "[[", "1e999", "true", '"', "\n"]))
    )
    _parses_or_names_the_place(FULL[:start] + inserted + FULL[end:])


def _parses_or_names_the_place(text):
    try:
        parse_manifest(text, PATH)
    except InvalidConfiguration as error:
        assert str(PATH) in str(error)


def test_wasi_is_granted_as_it_is_written_and_files_only_below_the_manifest(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "out").symlink_to("/")
    path = tmp_path / "Component.toml"
    assert parse_manifest(MINIMAL, path).wasi is None
    assert parse_manifest(MINIMAL + "[wasi]", path).wasi == Wasi()
    table = "[wasi]\nargs = ['a']\nenv = { A = 'b' }\nstdin = 'c'\n[wasi.preopen]\n'/d' = 'data'"
    granted = Wasi(args=("a",), env={"A": "b"}, stdin=b"c", preopen={"/d": (tmp_path / "data", "ro")})
    assert parse_manifest(MINIMAL + table, path).wasi == granted
    with pytest.raises(InvalidConfiguration, match="below that of the manifest"):
        parse_manifest(MINIMAL + "[wasi.preopen]\n'/' = 'out/etc'", path)


def test_a_trap_alone_is_an_expectation():
    (test,) = parse_manifest(MINIMAL + ENTRY + "trap = 'unreachable'", PATH).tests
    assert test.trap == "unreachable"
