"""The file of a snapshot: it is read as it was written, refused with a reason, and can be merged as text."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from pytest_airssys_wasm.analysis.laws.law import Law, Piece
from pytest_airssys_wasm.analysis.laws.terms import Factor, Formula
from pytest_airssys_wasm.analysis.snapshots import file
from pytest_airssys_wasm.analysis.snapshots.file import decode, encode, read_snapshot, write_snapshot
from pytest_airssys_wasm.analysis.snapshots.law_lines import record_law
from pytest_airssys_wasm.analysis.snapshots.model import Cost, EngineCosts, EntryKey, Snapshot
from pytest_airssys_wasm.analysis.snapshots.tolerance import parse_tolerance
from pytest_airssys_wasm.fuzzing.characters import ANY_CHARACTER
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

ENGINE = EngineCosts(wasmtime="50.0.1", settings=("consume_fuel",), calibration={"calls": 7})
ADD = EntryKey("test_a.py::test_a", "export", "add")
COST = Cost(fuel=4, peak_memory_bytes=65536, executions=1, guests=("a.wat",))
SNAPSHOT = Snapshot(engine=ENGINE, guests={"a.wat": "0" * 64}, entries={ADD: COST})

TEXTS = st.text(ANY_CHARACTER)
counts = st.integers(0, 2**63)
keys = st.one_of(
    st.builds(EntryKey, TEXTS, st.sampled_from(["export", "section"]), TEXTS),
    st.builds(EntryKey, TEXTS, st.just("instantiation"), st.just("")),
)
costs = st.builds(
    Cost,
    fuel=counts,
    peak_memory_bytes=counts,
    executions=counts,
    guests=st.lists(TEXTS, unique=True).map(lambda paths: tuple(sorted(paths))),
)
sizes = st.integers(0, 1)
exponents = st.integers(1, 3)
factors = st.one_of(
    st.builds(Factor, st.just("power"), sizes, st.just(1), exponents),
    st.builds(Factor, st.sampled_from(["blocks", "rest"]), sizes, st.integers(2, 64), exponents),
    st.builds(Factor, st.just("partial"), sizes, st.integers(2, 64)),
    st.integers(2, 16).flatmap(
        lambda period: st.builds(Factor, st.just("residue"), sizes, st.just(period), st.integers(0, period - 1))
    ),
    st.builds(Factor, st.just("least"), st.just(0), st.just(1), exponents),
)
monomials = st.lists(factors, max_size=1).map(tuple)
formulas = st.lists(st.tuples(st.fractions(-1000, 1000, max_denominator=64), monomials), max_size=5).map(Formula.of)
laws = st.builds(
    lambda fuel, memory, held: record_law(
        Law(
            sizes=("n", "m"),
            meanings={"n": "bytes of a", "m": "elements of b"},
            held=held,
            pieces=(Piece(low=(0, 1), high=(256, 64), fuel=fuel, memory=memory),),
        ),
        ("a.wat",),
    ),
    formulas,
    st.none() | formulas,
    st.dictionaries(TEXTS, counts, max_size=2),
)
engines = st.fixed_dictionaries(
    {
        "wasmtime": TEXTS,
        "settings": st.lists(TEXTS, unique=True).map(lambda names: tuple(sorted(names))),
        "calibration": st.dictionaries(TEXTS, counts),
    }
).map(lambda given: EngineCosts(**given))
snapshots = st.fixed_dictionaries(
    {
        "engine": engines,
        "guests": st.dictionaries(TEXTS, st.text("0123456789abcdef", min_size=64, max_size=64)),
        "entries": st.dictionaries(keys, costs),
    }
).map(lambda given: Snapshot(**given))


@pytest.mark.slow
@given(snapshots)
def test_a_snapshot_is_read_as_it_was_written(snapshot):
    assert decode(encode(snapshot), "x") == snapshot


@pytest.mark.slow
@given(laws)
def test_a_law_is_read_as_it_was_written(law):
    snapshot = structs.replace(SNAPSHOT, entries={EntryKey("t", "law", "f"): law, ADD: COST})
    assert decode(encode(snapshot), "x") == snapshot


@pytest.mark.slow
@given(snapshots, st.randoms())
def test_the_bytes_do_not_depend_on_the_order_of_the_tests(snapshot, random):
    entries, guests = list(snapshot.entries.items()), list(snapshot.guests.items())
    random.shuffle(entries)
    random.shuffle(guests)
    assert encode(structs.replace(snapshot, entries=dict(entries), guests=dict(guests))) == encode(snapshot)


def test_each_entry_has_a_line_of_its_own_whose_addition_changes_no_other_line():
    for test in ("aaa.py::test_it", "test_a.py::test_a", "zzz.py::test_it"):
        more = structs.replace(SNAPSHOT, entries={**SNAPSHOT.entries, EntryKey(test, "export", "other"): COST})
        before, after = encode(SNAPSHOT).splitlines(), encode(more).splitlines()
        assert len(after) == len(before) + 1
        assert set(before) < set(after)


def test_branches_that_change_different_tests_merge_without_a_conflict(tmp_path):
    many = {EntryKey(f"test_a.py::test_{n}", "export", "add"): COST for n in range(10, 90, 10)}
    base = structs.replace(SNAPSHOT, entries=many)
    ours = structs.replace(base, entries={**many, EntryKey("test_a.py::test_95", "export", "add"): COST})
    theirs = structs.replace(
        base, entries={**many, EntryKey("test_a.py::test_10", "export", "add"): structs.replace(COST, fuel=5)}
    )
    for name, snapshot in (("base", base), ("ours", ours), ("theirs", theirs)):
        write_snapshot(tmp_path / name, snapshot)
    merged = subprocess.run(
        ["git", "merge-file", "-p", "ours", "base", "theirs"], cwd=tmp_path, capture_output=True, check=True
    )
    assert decode(merged.stdout, "merged").entries == {
        **ours.entries,
        **{k: v for k, v in theirs.entries.items() if v != COST},
    }


WRONG = {
    b"": "fuel snapshot",
    b"{}": "got a damaged file (Expected `array`, got `object`)",
    b"[]": "got a file without a header",
    b"[\n1]": "fuel snapshot",
    b"\xff": "fuel snapshot",
    b"[" * 100_000: "fuel snapshot",
    b'[\n{"line": "header", "format": 2, "later": []}\n]': "a later version of pytest-airssys-wasm wrote it",
    b'[\n{"line": "header", "format": 0, "wasmtime": "1", "settings": []}\n]': "got a file without a header",
    encode(SNAPSHOT).replace(b'"fuel": 4', b'"fuel": -4'): "line 5",
    encode(SNAPSHOT).replace(b'"fuel": 4', b'"fuel": 4.5'): "line 5",
    encode(SNAPSHOT).replace(b'"fuel": 4', b'"fule": 4'): "got a damaged line (Object contains unknown field `fule`)",
    encode(SNAPSHOT).replace(b"0" * 64, b"0" * 63): "sha256",
    encode(SNAPSHOT).replace(b"\n]", b"\n," + encode(SNAPSHOT).splitlines()[-2][1:] + b"\n]"): "a second line for "
    "test_a.py::test_a export add, as after a merge",
    encode(SNAPSHOT).replace(b"\n]", b"\n," + encode(SNAPSHOT).splitlines()[1] + b"\n]"): "a second header",
    encode(SNAPSHOT).replace(b"\n,", b"\n<<<<<<< HEAD\n,", 1): "got a file with conflict markers of git",
}

LAW = (
    b'{"line": "law", "test": "t", "export": "f", "sizes": {"n": "bytes of text"}, "pieces": [{"low": [0], '
    b'"high": [9], "fuel": {"1": 3, "n": 5, "n//4^2*n%2==1": "3/2"}}, {"low": [10], "high": [20], "fuel": {}}]}'
)


def with_law(old=b"", new=b""):
    assert old in LAW
    return encode(SNAPSHOT).replace(b"\n]", b"\n," + LAW.replace(old, new) + b"\n]")


def test_a_law_is_read_from_its_line():
    (found,) = (one for key, one in decode(with_law(), "x").entries.items() if key.kind == "law")
    first, second = found.law.pieces
    assert [first.fuel.at((n,)) for n in (0, 8, 9)] == [3, 3 + 40, 3 + 45 + 6]
    assert (second.fuel.at((15,)), second.memory) == (0, None)
    assert found.law.text.endswith("; 0 for 10 ≤ n ≤ 20, n = bytes of text; exact for 0 ≤ n ≤ 20")


WRONG |= {
    with_law(b'"n": 5', b'"m": 5'): "names a size that the law does not have",
    with_law(b'"n": 5', b'"n^9": 5'): "got a damaged line ('n^9' is not a term)",
    with_law(b'"n": 5', b'"n//99999": 5'): "is not a term",
    with_law(b'"n": 5', b'"min(n,m)": 5'): "is not a term",
    with_law(b'"n": 5', b'"n%0>0": 5'): "is not a term",
    with_law(b'"n": 5', b'"import os": 5'): "is not a term",
    with_law(b'"3/2"', b'"3/0"'): "line 6",
    with_law(b'"3/2"', b'"1.5"'): "line 6",
    with_law(b"[10]", b"[9]"): "out of order",
    with_law(b"[20]", b"[2]"): "do not fit the sizes",
    with_law(b"[20]", b"[20, 20]"): "do not fit the sizes",
    with_law(b"[0]", b"[-1]"): "line 6",
    with_law(b'"pieces": [', b'"other": ['): "line 6",
}


@pytest.mark.parametrize("content", WRONG, ids=range(len(WRONG)))
def test_a_file_that_is_not_a_snapshot_is_refused_with_a_reason(tmp_path, content):
    path = tmp_path / "snapshot.json"
    path.write_bytes(content)
    with pytest.raises(InvalidConfiguration) as caught:
        read_snapshot(path)
    assert str(caught.value).startswith(str(path))
    assert WRONG[content] in str(caught.value)


def test_no_file_is_no_snapshot(tmp_path):
    assert read_snapshot(tmp_path / "none") is None


@pytest.mark.parametrize("kind", ["pipe", "folder", "huge"])
def test_only_a_regular_file_within_bounds_is_read(tmp_path, kind):
    path = tmp_path / "snapshot.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 2**40)
    with pytest.raises(InvalidConfiguration, match="a fuel snapshot that can be read"):
        read_snapshot(path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "snapshot.json"
    assert write_snapshot(path, SNAPSHOT)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file.system.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_snapshot(path, structs.replace(SNAPSHOT, entries={}))
    assert [path] == [*tmp_path.iterdir()]
    assert path.read_bytes() == before


def test_a_file_that_would_not_change_is_not_written(tmp_path):
    path = tmp_path / "snapshot.json"
    assert write_snapshot(path, SNAPSHOT)
    inode = path.stat().st_ino
    assert not write_snapshot(path, SNAPSHOT)
    assert path.stat().st_ino == inode


def test_what_others_may_read_is_decided_by_the_umask(tmp_path):
    path = tmp_path / "snapshot.json"
    before = os.umask(0o022)
    try:
        write_snapshot(path, SNAPSHOT)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_file_to_which_a_link_leads_is_written(tmp_path):
    target, path = tmp_path / "elsewhere" / "costs.json", tmp_path / "snapshot.json"
    target.parent.mkdir()
    path.symlink_to("elsewhere/costs.json")
    assert write_snapshot(path, structs.replace(SNAPSHOT, entries={}))
    assert write_snapshot(path, SNAPSHOT)
    assert path.is_symlink()
    assert read_snapshot(target) == SNAPSHOT
    assert [target] == [*target.parent.iterdir()]


def test_a_file_keeps_its_permissions_and_one_that_is_read_only_is_not_replaced(tmp_path):
    path = tmp_path / "snapshot.json"
    write_snapshot(path, SNAPSHOT)
    path.chmod(0o664)
    assert write_snapshot(path, structs.replace(SNAPSHOT, entries={}))
    assert path.stat().st_mode & 0o777 == 0o664
    path.chmod(0o444)
    before = path.read_bytes()
    with pytest.raises(PermissionError, match="it is read-only"):
        write_snapshot(path, SNAPSHOT)
    assert path.read_bytes() == before
    assert not write_snapshot(path, structs.replace(SNAPSHOT, entries={}))


@pytest.mark.parametrize(
    ("text", "share"), [("2 %", 0.02), ("2%", 0.02), ("0.5", 0.005), (3, 0.03), (0, 0), ("0 %", 0)]
)
def test_a_tolerance_is_a_share_in_percent(text, share):
    assert float(parse_tolerance(text, "here")) == share


@pytest.mark.parametrize(
    "text", ["", "-1", "-1 %", "2 units", "nan", "inf", "1e9", "two", None, True, float("nan"), [2]]
)
def test_no_other_tolerance_is_accepted(text):
    with pytest.raises(InvalidConfiguration, match=r"^here: expected a share in percent"):
        parse_tolerance(text, "here")
