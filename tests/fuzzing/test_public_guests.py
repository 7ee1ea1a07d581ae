"""The programs of others that `benchmarks/public_guests.py` fuzzes are those that were tested, and their faults are named."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from pytest_airssys_wasm.runtime.manifest.loading import load_manifest
from support.checkout import ROOT


@pytest.fixture(scope="module")
def public():
    spec = importlib.util.spec_from_file_location("public_guests", ROOT / "benchmarks" / "public_guests.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_a_package_with_other_contents_is_refused(public, tmp_path):
    (tmp_path / "ms.tgz").write_bytes(b"another package")
    with pytest.raises(SystemExit, match=r"^ms 0\.7\.0 \(npm\) has the SHA-256 digest \w{64}, expected \w{64}$"):
        public.MS.check(tmp_path / "ms.tgz")


def test_a_package_that_cannot_be_had_is_named(public, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(public.Unfetched, match=r"^trim 0\.0\.1 \(npm\)$"):
        public.TRIM.fetch(tmp_path)


def test_each_program_has_exports_and_a_manifest_here(public):
    for name in public.PROGRAMS:
        folder = public.GUESTS / name.partition(",")[0]
        assert load_manifest(folder / "Component.toml").fuzz is not None
        assert (folder / "world.wit").exists()


def test_a_missing_fault_and_a_false_accusation_are_told(public):
    found = """ujson says:
dumps([0, 0], 33192) ended with trap (memory-out-of-bounds)
PASSED Component.toml::fuzz-limits
FAILED Component.toml::fuzz[dumps] - dumps([0, 0], 33192) ended with…
"""
    lines = public.judge(public.PROGRAMS["ujson"], found)
    assert lines[0] == "fuzz[dumps]: dumps([0, 0], 33192) ended with trap (memory-out-of-bounds)"
    with pytest.raises(SystemExit, match=r"fuzz\[dumps\] should have passed"):
        public.judge(public.PROGRAMS["ujson, mended"], found)
    with pytest.raises(SystemExit, match=r"fuzz\[dumps\] should have failed\n.*does not say"):
        public.judge(public.PROGRAMS["ujson"], found.replace("dumps", "loads"))
