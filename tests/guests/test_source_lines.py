"""The frames of guests that compilers have built have the lines that docs/reports.md shows."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from support.checkout import DOCS

pytestmark = pytest.mark.guests
TEXT = (DOCS / "reports.md").read_text("utf-8")

TEST = """
import pytest

@pytest.mark.component("guest.wasm")
@pytest.mark.memory("1 MiB")
@pytest.mark.timeout_ms(20_000)
def test_split(component):
    component.split(10, 0)
"""


def build(folder, *changes):
    """Build the guest of the page by the command of the page, with other options in the place of some."""
    (source,) = re.findall(r"^<!-- file: guest\.c -->\n```c\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    (folder / "guest.c").write_text(source)
    (command,) = re.findall(r"^python (-m ziglang cc .*)$", TEXT, re.MULTILINE)
    for before, after in changes:
        command = command.replace(before, after)
    subprocess.run([sys.executable, *command.split()], cwd=folder, check=True, timeout=300)


def frames(folder):
    (folder / "test_a.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    text = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300).stdout
    found = text.partition("guest frames, innermost first:\n")[2].partition("rerun ")[0]
    assert found, text
    return found


def test_the_guest_of_the_page_has_the_frames_of_the_page(tmp_path):
    build(tmp_path)
    (shown,) = re.findall(r"^```text\nguest frames, innermost first:\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert without_positions(frames(tmp_path)) == without_positions(shown)


def test_version_5_of_dwarf_is_read_too(tmp_path):
    build(tmp_path, ("-g ", "-gdwarf-5 "), ("-O1", "-O0 -fno-sanitize=all"))
    assert without_positions(frames(tmp_path)) == (
        "  guest.wasm!share at guest.c:2 (0x)\n  guest.wasm!split at guest.c:6 (0x)\n"
    )


def without_positions(text):
    return re.sub(r"0x\w+", "0x", text)
