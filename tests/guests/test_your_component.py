"""The guests of "your own component", built by the commands of the page, pass the tests of its manifest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.checkout import DOCS

pytestmark = pytest.mark.guests
TEXT = (DOCS / "your-component.md").read_text("utf-8")


@pytest.fixture
def page(tmp_path):
    """The files of the page: of several versions the last."""
    for name, content in re.findall(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content.replace("cart.wat", "cart.wasm"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nwasm_memory_range = 512 KiB..64 MiB\n")
    return tmp_path


def build(folder, begins):
    (command,) = re.findall(rf"^({re.escape(begins)} .*)$", TEXT, re.MULTILINE)
    program, *arguments = command.split()
    here = Path(sys.executable).parent
    words = [sys.executable if program == "python" else shutil.which(program, path=here) or program, *arguments]
    subprocess.run(words, cwd=folder, check=True, timeout=300)


def run_pytest(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guest_in_c(page):
    build(page, "python -m ziglang cc")
    assert "14 passed" in run_pytest(page, "--airssys-wasm", ".")


def test_the_guest_in_javascript(page):
    if not shutil.which("npm"):
        pytest.skip("not here: npm")
    for begins in ("npm install", "npx jco componentize"):
        build(page, begins)
    manifest = page / "Component.toml"
    manifest.write_text(manifest.read_text().replace("512 KiB", "3 MiB").replace(", max_fuel = 200", ""))
    (page / "test_cart.py").unlink()  # it limits the fuel of the guest in C
    assert "9 passed" in run_pytest(page, "--airssys-wasm", ".")


def test_the_guest_in_python_with_the_needs_that_wasm_init_finds(page):
    build(page, "componentize-py -d wit")
    declared = page / "Component.toml"
    tests = declared.read_text().partition("[[imports]]")
    declared.unlink()
    assert "wrote Component.toml" in run_pytest(page, "--wasm-init", "cart.wasm")
    found = declared.read_text().partition("#   demo:shop/prices@1.0.0#price")[0]
    declared.write_text(found + "".join(tests[1:]).replace(", max_fuel = 200", ""))
    assert "9 passed" in run_pytest(page, "--airssys-wasm", ".", "--deselect", "test_cart.py")
