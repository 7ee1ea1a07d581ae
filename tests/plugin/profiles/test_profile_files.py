"""The files and the lines of profiles: names safe for any node id, and earlier profiles that are read with suspicion."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given, strategies

from pytest_airssys_wasm.analysis.backtraces import SourceLine
from pytest_airssys_wasm.analysis.fuel_profile import Profile
from pytest_airssys_wasm.fuzzing.characters import ANY_CHARACTER
from pytest_airssys_wasm.plugin.profiles.earlier import Unreadable, read_profile
from pytest_airssys_wasm.plugin.profiles.entry import Profiled
from pytest_airssys_wasm.plugin.profiles.lines import profile_lines
from pytest_airssys_wasm.plugin.profiles.names import DIFFERENCE, file_stem, shown_path
from pytest_airssys_wasm.reporting.flamegraph import SUFFIXES

HOSTILE = (
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/",
    "a\0b",
    "\ud800",
    "x" * 5_000,
    "-rf",
    "CON",
    "a/b::c[../..]",
    "\x1b[2J",
)


@given(strategies.text(ANY_CHARACTER))
@example("test_a.py::test_b[../../x]")
def test_a_name_is_safe_whatever_the_node_id_is(test):
    for one in (test, *HOSTILE):
        stem = file_stem(one)
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", stem), stem
        assert ".." not in stem
        assert len(f".{stem}{DIFFERENCE}{max(SUFFIXES, key=len)}.4194304.tmp") < 255


def test_names_are_stable_readable_and_different():
    assert file_stem("tests/test_a.py::test_b[1-2]") == "tests-test_a.py-test_b-1-2-e263bed7932c89d2"
    assert len({file_stem(one) for one in (*HOSTILE, "a/b", "a-b", "A-b", "a::b", "a:b")}) == len(HOSTILE) + 5


PROFILE = Profile(
    title="f(1)",
    total=100,
    stacks={("main", "a;b"): 70, ("main",): 30},
    samples=40,
    places={"a;b": SourceLine(file="src/a.c", line=7)},
)


def test_a_written_profile_is_read_as_it_was(tmp_path):
    PROFILE.write(tmp_path / "x.speedscope.json")
    assert read_profile(tmp_path / "x.speedscope.json") == PROFILE


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.update(profiles=[]),
        lambda file: file.pop("samples"),
        lambda file: file.update(samples=0),
        lambda file: file["profiles"][0]["weights"].pop(),
        lambda file: file["profiles"][0]["weights"].__setitem__(0, -1),
        lambda file: file["profiles"][0]["weights"].__setitem__(0, 1.5),
        lambda file: file["profiles"][0]["samples"].__setitem__(0, []),
        lambda file: file["profiles"][0]["samples"].__setitem__(0, [2]),
        lambda file: file["profiles"][0]["samples"].__setitem__(0, [-1]),
        lambda file: file["profiles"][0]["samples"].__setitem__(0, [0] * 5_000),
        lambda file: file["shared"]["frames"].__setitem__(0, {"name": 1}),
    ],
)
def test_a_changed_file_is_refused(tmp_path, change):
    path = tmp_path / "x.speedscope.json"
    PROFILE.write(path)
    file = json.loads(path.read_text())
    change(file)
    path.write_text(json.dumps(file))
    with pytest.raises(Unreadable):
        read_profile(path)


@pytest.mark.parametrize("content", [b"", b"null", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_something_else_is_refused(tmp_path, content):
    path = tmp_path / "x.speedscope.json"
    path.write_bytes(content)
    with pytest.raises(Unreadable):
        read_profile(path)


def test_names_in_an_earlier_profile_are_made_printable(tmp_path):
    path = tmp_path / "x.speedscope.json"
    PROFILE.write(path)
    path.write_text(path.read_text().replace("main", "\\u001b[2J").replace("f(1)", "\\u202e"))
    read = read_profile(path)
    assert read.title == "\\u202e"
    assert {stack[0] for stack in read.stacks} == {"\\x1b[2J"}


def entry(number, **options):
    options = {
        "total": number,
        "call_fuel": number,
        "function": "main",
        "own": number // 2,
        "file": "x.html",
        **options,
    }
    return Profiled(test=f"test_{number:02}", **{"call": "f()", **options})


def test_only_the_dearest_are_listed_unless_asked_for():
    found = [entry(number) for number in range(1, 31)]
    short, long = ([*profile_lines(found, folder="p", columns=80, is_verbose=some)] for some in (False, True))
    assert [line for line in short if not line.startswith("  ")] == [
        *(f"test_{number:02}" for number in range(30, 10, -1)),
        "… and 10 more (-v lists them)",
        "30 profiles in p, each as .folded, .speedscope.json and .html",
    ]
    assert len([line for line in long if line.startswith("test_")]) == 30


@pytest.mark.parametrize("columns", [80, 160])
def test_lines_with_calls_fit_the_terminal(columns):
    call = f"f({', '.join('1' * 100)})"
    long = entry(2_000_000, call=call, earlier_call=call, function="g" * 500)
    failed = entry(1, call=call, reason="it ended with trap")
    lines = [*profile_lines([long, failed], folder="p", columns=columns, is_verbose=False)]
    calls = [line for line in lines if line.startswith("  f(")]
    assert len(calls) == 3
    assert max(map(len, calls)) < max(columns, 120)
    assert max(map(len, calls[1:])) < columns


def test_the_source_line_of_the_dearest_function_is_told():
    found = [entry(100, place="src/a.c:7")]
    lines = [*profile_lines(found, folder="p", columns=80, is_verbose=False)]
    assert lines[1] == "  f(): 100 fuel, 50 % of it in main at src/a.c:7"


def test_the_part_of_the_instantiation_is_told_if_it_counts():
    for instantiation, shown in ((0, ""), (1, ", 1 % in the instantiation"), (40, ", 40 % in the instantiation")):
        found = [entry(100, instantiation=instantiation)]
        lines = [*profile_lines(found, folder="p", columns=80, is_verbose=False)]
        assert lines[1] == f"  f(): 100 fuel, 50 % of it in main{shown}"
    assert "  f(): 0 fuel" in profile_lines([entry(0)], folder="p", columns=80, is_verbose=False)
    both = entry(100, call_fuel=60)
    assert "  f(): 100 fuel with the instantiation, 50 % of it in main" in profile_lines(
        [both], folder="p", columns=80, is_verbose=False
    )


def test_a_directory_elsewhere_is_shown_whole(tmp_path):
    assert shown_path(tmp_path / "a" / "b", tmp_path) == "a/b"
    assert shown_path(tmp_path, tmp_path / "a") == str(tmp_path)
