"""The last step of the tutorial: the guest in C, built by the command of the page."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from support.checkout import DOCS

PAGE = DOCS / "tutorial.md"


@pytest.mark.guests
def test_the_guest_in_c_does_what_the_one_in_text_does(tmp_path):
    text = PAGE.read_text("utf-8")
    for name in ("Component.toml", "collatz.c"):
        (content,) = re.findall(
            rf"^<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE
        )
        (tmp_path / name).write_text(content.replace("collatz.wat", "collatz.wasm"))
    (command,) = re.findall(r"^python (-m ziglang .*)$", text, re.MULTILINE)
    subprocess.run([sys.executable, *command.split()], cwd=tmp_path, check=True, timeout=300)
    validate = [sys.executable, "-m", "pytest", "--airssys-wasm", ".", "-W", "error"]
    done = subprocess.run(validate, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout
