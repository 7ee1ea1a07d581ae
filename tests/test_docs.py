"""What the documentation shows is what happens."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_airssys_wasm.runtime.errors import Verdict
from pytest_airssys_wasm.runtime.manifest import parse_manifest

ROOT = Path(__file__).parents[1]


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_example_of_the_readme_passes(tmp_path):
    (test,) = blocks("README.md", "python")
    (guest,) = blocks("README.md", "wat")
    (tmp_path / "test_readme.py").write_text(test)
    (tmp_path / "transform.wat").write_text(guest)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "--strict-markers",
            "-p",
            "no:cacheprovider",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_examples_pass():
    done = subprocess.run(
        # With the checks of each Component.toml, but without the conformance suite.
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--airssys-wasm", "-m", "not conformance", str(ROOT / "examples")),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout


def test_the_manifest_of_the_docs_is_accepted():
    (text,) = blocks("docs/manifest.md", "toml")
    assert parse_manifest(text, Path("Component.toml")).memory_bytes == 1048576


@pytest.mark.parametrize(
    "document",
    [
        path
        for pattern in ("*.md", "docs/*.md", "examples/*.md", "examples/*/*.md")
        for path in sorted(ROOT.glob(pattern))
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_between_documents_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


def test_every_verdict_is_documented():
    text = (ROOT / "docs" / "usage.md").read_text("utf-8")
    assert [verdict for verdict in Verdict if f"`{verdict}`" not in text] == []


def test_the_failures_on_their_page_are_what_the_tool_prints(tmp_path):
    # A copy: pytest names files relative to the folder with the ini file.
    for name in ("docs", "examples", "fixtures"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "docs/failures/page.py")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert without_chance(done.stdout) == without_chance((ROOT / "docs/failures.md").read_text("utf-8"))


def without_chance(text):
    """What differs from run to run, taken out: times, and the numbers a guest drew."""
    text = re.sub(r"[\d.]+ ms of (\d+ ms) \([\d.e-]+ %\)", r"some of \1", text)
    return re.sub(r"roll\(\) returned -?\d+, and in a fresh store -?\d+", "roll() returned one, then another", text)
