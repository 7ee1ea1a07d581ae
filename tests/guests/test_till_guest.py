"""A till with six planted faults, from sources in several languages, and the source lines of a trap in AssemblyScript."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module

import pytest

from pytest_airssys_wasm import ComponentTrapped, ResourceLimits, analysis
from support import till_guest
from support.checkout import ROOT

pytestmark = pytest.mark.guests


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
