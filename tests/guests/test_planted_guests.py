"""Guests with planted faults come out of their sources byte for byte, and the faults of those that are too large to commit
are found.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pytest_airssys_wasm import ComponentTrapped, ResourceLimits, analysis
from support import till_guest
from support.checkout import ROOT

pytestmark = pytest.mark.guests

PLANTED = ROOT / "tests" / "fuzzing" / "guests"


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    return tmp_path_factory.mktemp("tools")


def built(name, tools, folder):
    build = [sys.executable, PLANTED / "build_planted.py", name, "--out", folder, "--tools", tools]
    done = subprocess.run(build, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return folder / f"{name}.wasm"


@pytest.mark.parametrize("name", ["parcels", "notes", "orders"])
def test_a_committed_guest_comes_out_of_its_source_byte_for_byte(name, tools, tmp_path):
    if not shutil.which("npm"):
        pytest.skip("not here: npm")
    if name == "orders" and not Path("/usr/lib/rustlib/wasm32-unknown-unknown/lib").exists():
        pytest.skip("not here: Debian's rustc with libstd-rust-dev-wasm32")
    assert built(name, tools, tmp_path).read_bytes() == (PLANTED / name / f"{name}.wasm").read_bytes()


def test_the_faults_of_a_guest_in_javascript_are_found(tools, tmp_path):
    if not shutil.which("npm"):
        pytest.skip("not here: npm")
    built("words", tools, tmp_path)
    shutil.copy(PLANTED / "words" / "Component.toml", tmp_path)
    options = ["-rA", "-p", "no:cacheprovider", "--airssys-wasm", "--wasm-conformance=never", "--wasm-fuzz=ci"]
    command = [sys.executable, "-m", "pytest", *options, "-k", "fuzz or worst-case", "."]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    for sentence in (
        r"width\(square\(0\)\) ended with trap \(unreachable\)",
        r"last\(\[\]\) ended with trap \(unreachable\)",
        r"number\(.*\) returned \d+, and in another fresh instance \d+",
    ):
        assert re.search(rf"^{sentence}", done.stdout, re.MULTILINE), done.stdout[-3_000:]
    assert set(re.findall(r"^FAILED \S+::(\S+)", done.stdout, re.MULTILINE)) == {
        "fuzz[width]",
        "fuzz[last]",
        "fuzz[number]",
    }


def built_till(language, tools, folder):
    build = [sys.executable, till_guest.FOLDER / "build_till.py", language, folder / "built.wasm", "--tools", tools]
    done = subprocess.run(build, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return folder / "built.wasm"


@pytest.mark.parametrize("language", till_guest.COMMITTED)
def test_the_same_guest_in_another_language_comes_out_byte_for_byte(language, tools, tmp_path):
    if not shutil.which("npm"):
        pytest.skip("not here: npm")
    committed = till_guest.FOLDER / "till" / till_guest.COMMITTED[language]
    assert built_till(language, tools, tmp_path).read_bytes() == committed.read_bytes()


def test_each_of_six_faults_in_javascript_is_found_without_python(tools, tmp_path):
    if not shutil.which("npm"):
        pytest.skip("not here: npm")
    till_guest.write(tmp_path, built_till("JavaScript", tools, tmp_path))
    manifest = tmp_path / "Component.toml"
    manifest.write_text(manifest.read_text().replace('"convert"]', '"convert", "init"]'))  # of the engine
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *till_guest.OPTIONS]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    till_guest.check(done.stdout)


TRAPPING = """function share(total: i32, people: i32): i32 {
  return total / people;
}

export function split(total: i32, people: i32): i32 {
  return share(total, people) + 1;
}
"""


def test_frames_of_a_guest_in_assemblyscript_have_the_lines_of_its_source_map(tools, tmp_path, monkeypatch, engine):
    if not shutil.which("npm"):
        pytest.skip("not here: npm")
    monkeypatch.syspath_prepend(str(ROOT / "fixtures" / "guests"))
    compiler = import_module("toolchains").Tools(folder=tools).npm("assemblyscript") / "bin" / "asc.js"
    (tmp_path / "split.ts").write_text(TRAPPING)
    options = ["--debug", "--sourceMap", "--runtime", "stub", "-o", "split.wasm"]
    subprocess.run(["node", compiler, "split.ts", *options], cwd=tmp_path, check=True, timeout=300)
    limits = ResourceLimits(memory="1 MiB", fuel=1_000, timeout_ms=20_000)
    with pytest.raises(ComponentTrapped) as trapped:
        engine.execute(engine.load(tmp_path / "split.wasm"), "split", 10, 0, limits=limits)
    assert [*map(str, analysis.source_lines(trapped.value).lines)] == ["split.ts:2", "split.ts:6"]
