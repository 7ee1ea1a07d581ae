"""A session that uses nothing of the package pays nothing: neither wasmtime nor hypothesis is loaded for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_airssys_wasm

HEAVY = ("wasmtime", "hypothesis", "msgspec", "tomli", "tomllib", "filelock", "jinja2")


def imported(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], cwd=cwd, capture_output=True, text=True, check=True
    )
    return done.stderr


def loaded(importtime: str, package: str) -> bool:
    return re.search(rf"\|\s+{package}(\.|$)", importtime, re.MULTILINE) is not None


@pytest.mark.parametrize("module", ["pytest_airssys_wasm", "pytest_airssys_wasm.plugin"])
def test_importing_loads_nothing_heavy(module):
    text = imported("-c", f"import {module}")
    assert loaded(text, module)
    assert not [package for package in HEAVY if loaded(text, package)]


def test_a_run_that_uses_nothing_of_the_plugin_loads_neither_wasmtime_nor_hypothesis(tmp_path):
    (tmp_path / "test_plain.py").write_text("def test_a(tmp_path): pass")
    # Some versions of hypothesis's own plugin load it when the run ends.
    text = imported("-m", "pytest", "-q", "-p", "no:hypothesispytest", cwd=tmp_path)
    assert loaded(text, "pytest_airssys_wasm.plugin")
    assert not loaded(text, "wasmtime")
    assert not loaded(text, "hypothesis")


def test_every_public_name_is_there_and_nothing_else():
    assert sorted(pytest_airssys_wasm.__all__) == pytest_airssys_wasm.__all__
    for name in pytest_airssys_wasm.__all__:
        assert getattr(pytest_airssys_wasm, name).__name__ == name
    assert set(pytest_airssys_wasm.__all__) <= set(dir(pytest_airssys_wasm))
    with pytest.raises(AttributeError, match="no attribute 'wasmtime'"):
        _ = pytest_airssys_wasm.wasmtime


def test_type_checkers_see_the_same_names():
    source = Path(pytest_airssys_wasm.__file__).read_text("utf-8")
    imports = source.partition("if TYPE_CHECKING:")[2].partition("\n_EXPORTS")[0]
    assert set(pytest_airssys_wasm.__all__) == set(re.findall(r"\b[A-Z]\w+|\bcurrent_execution", imports)) - {
        "Any",
        "TYPE_CHECKING",
    }
