"""Each row of the table of values in docs/manifest.md, as the argument and the result of a `[[tests]]` entry."""

from __future__ import annotations

import re
import shutil
from functools import partial

import pytest

from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.loading import load_manifest
from pytest_airssys_wasm.validation.candidate import Candidate
from pytest_airssys_wasm.validation.steps import check_entry
from support.checkout import ROOT

HEAD = """[component]
name = "inventory"
version = "0.1.0"
[resources.memory]
max_bytes = 4194304
[resources.cpu]
timeout_ms = 20_000
"""
ECHO = {
    "`bool`": ["bool"],
    "`s8` … `u64`": ["u8", "s64", "u64"],
    "`f32`, `f64`": ["f32", "f64", "f32", "f64"],
    "`char`, `string`": ["char"],
    "`enum`": ["unit"],
    "`list<u8>`": ["bytes", "bytes"],
    "`list<T>`, `tuple<…>`": ["pair"],
    "`record`": ["size"],
    "`variant`": ["condition", "condition"],
    "`flags`": ["handling"],
    "`option<T>`": ["option", "option"],
    "`option<option<T>>`": ["nested-option"] * 3,
    "`result<T, E>`": ["result", "result"],
    "`result`": ["empty-result", "empty-result"],
}
"""The functions that give back their arguments, by row, one for each example in the row."""


def rows():
    _, _, table = (ROOT / "docs" / "manifest.md").read_text("utf-8").partition("| WIT | TOML |\n|---|---|\n")
    return dict(re.findall(r"^\| (.+?) \| (.+?) \|$", table, re.MULTILINE))


def test_every_row_is_tried():
    assert rows().keys() == ECHO.keys()


@pytest.mark.parametrize("row", ECHO)
def test_an_argument_written_so_comes_back_written_so(engine, tmp_path, row):
    examples = re.findall(r"`([^`]+)`", rows()[row])
    entries = [
        f'[[tests]]\nname = "{number}"\ncall = "demo:inventory/echo@1.0.0#echo-{name}"\n'
        f"args = [{example}]\nreturns = {example}\n"
        for number, (name, example) in enumerate(zip(ECHO[row], examples, strict=True))
    ]
    shutil.copy(ROOT / "fixtures" / "guests" / "inventory" / "inventory.wasm", tmp_path)
    (tmp_path / "Component.toml").write_text(HEAD + "".join(entries), "utf-8")
    manifest = load_manifest(tmp_path / "Component.toml")
    candidate = Candidate(
        engine=engine,
        wasm=manifest.wasm,
        loader=partial(engine.load, manifest.wasm, manifest=manifest),
        manifest=manifest,
        declared_limits=manifest.limits(),
        host=HostFunctions(),
        wasi=None,
    )
    for test in manifest.tests:
        assert check_entry(candidate, test).startswith("returned ")
