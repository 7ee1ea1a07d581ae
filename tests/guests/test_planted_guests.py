"""The planted guests come out of their sources byte for byte, and fuzzing finds the faults of those that are too large to
commit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.checkout import ROOT

pytestmark = pytest.mark.guests

PLANTED = ROOT / "tests" / "fuzzing" / "guests"


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


def fuzzed(name, tools, folder, *options):
    """Build a guest, fuzz it with the profile `ci`, and return the failed checks and the output."""
    built(name, tools, folder)
    shutil.copy(PLANTED / name / "Component.toml", folder)
    always = ["-rA", "-p", "no:cacheprovider", "--airssys-wasm", "--wasm-conformance=never", "--wasm-fuzz=ci"]
    command = [sys.executable, "-m", "pytest", *always, *options]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    return set(re.findall(r"^FAILED \S+::(\S+)", done.stdout, re.MULTILINE)), done.stdout


def test_the_faults_of_a_guest_in_javascript_are_found(tools, tmp_path):
    if not shutil.which("npm"):
        pytest.skip("not here: npm")
    failed, output = fuzzed("words", tools, tmp_path, "-k", "fuzz or worst-case", ".")
    for sentence in (
        r"width\(square\(0\)\) ended with trap \(unreachable\)",
        r"last\(\[\]\) ended with trap \(unreachable\)",
        r"number\(.*\) returned \d+, and in another fresh instance \d+",
    ):
        assert re.search(rf"^{sentence}", output, re.MULTILINE), output[-3_000:]
    assert failed == {"fuzz[width]", "fuzz[last]", "fuzz[number]"}


def test_the_faults_of_a_guest_in_python_are_found(tools, tmp_path):
    # Each of the other checks of such a large guest takes all of its time.
    checks = ["fuzz[initials]", "fuzz[share]", "fuzz-sequence"]
    wide = ["-o", "wasm_memory_range=512 KiB..64 MiB"]
    failed, output = fuzzed("teams", tools, tmp_path, *wide, *(f"Component.toml::{check}" for check in checks))
    for sentence in (
        r'initials\(" "\) ended with trap \(unreachable\)',
        r"share\(0, some\(0\)\) ended with trap \(unreachable\)",
        r'enrol\(""\) makes memory grow from .* to the limit in \d+ repetitions',
    ):
        assert re.search(rf"^{sentence}", output, re.MULTILINE), output[-3_000:]
    assert failed == set(checks)
