"""The documentation shows commands and output as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from support.checkout import ROOT
from support.documents import Block, Folder, Untrue, blocks_of
from support.fork_server import plain_environment

PAGES = [*sorted(ROOT.glob("[CRS]*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").rglob("README.md"))
ELSEWHERE = {"reports.md", "failures.md", "protocol.md"}
"""Pages whose blocks have tests of their own."""
LONG = {"conformance.md", "costs.md", "fuzzing.md", "howto.md"}
"""Pages whose commands take seconds."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=pytest.mark.slow if page.name in LONG else ())
        for page in PAGES
        if page.name not in ELSEWHERE
    ],
)
def test_every_block_of_a_page_is_true(page, tmp_path, forks):
    folder = Folder(tmp_path, forks)
    for block in blocks_of(page):
        folder.try_block(block)
    folder.run_tests()


def test_only_what_takes_minutes_or_tells_times_is_passed_over():
    passed_over = [block.place for page in PAGES for block in blocks_of(page) if block.is_passed_over]
    assert {place.partition(":")[0] for place in passed_over} == {"benchmarks.md"}, passed_over


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```console\n$ python -c 'print(1)'\n2\n```", "comes out:\n1"),
        ("```console\n$ rm x\n```", "only pytest and python are run"),
        ("```python\n1 / 0\n```", "ZeroDivisionError"),
        ("```python\ndef test_a(): pass\n```", "needs a comment that names its file"),
        ("```toml\n[wasi]\nnet = true\n```", "expected a known key"),
        ("```ini\n[pytest]\nwasm_feul = 1\n```", "Unknown config option: wasm_feul"),
        ("```ini\n[pytest]\nwasm_fuel = much\n```", "expected a whole number"),
        ("```sh\npytest --airssys-wasm \\\n  --wasm-feul 1\n```", "no such option: --wasm-feul"),
        ("```wat\n(module\n```", "WasmtimeError"),
        ("```\ntext\n```", "nobody knows"),
    ],
)
def test_an_untrue_block_is_found(text, complaint, tmp_path, forks):
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{text}\n")
    (block,) = blocks_of(page)
    with pytest.raises(Untrue, match=re.escape(complaint)) as found:
        Folder(tmp_path, forks).try_block(block)
    assert str(found.value).startswith("page.md:3: ")


def test_a_failing_test_of_a_page_is_found(tmp_path, forks):
    folder = Folder(tmp_path, forks)
    folder.try_block(Block("page.md:1", "file: test_a.py", "python", "def test_a():\n    assert 1 == 2\n"))
    with pytest.raises(Untrue, match="assert 1 == 2"):
        folder.run_tests()


def test_every_fence_belongs_to_a_block_that_is_tried():
    for page in PAGES:
        assert page.read_text("utf-8").count("\n```") == 2 * len(blocks_of(page)), page.name


@pytest.mark.slow
def test_the_examples_pass(forks):
    code, output = forks.run(
        [
            *("-q", "-p", "no:cacheprovider"),
            # With the checks of each Component.toml, but without the conformance suite.
            *("--airssys-wasm", "examples"),
            "--wasm-timeout-scale=20",  # other tests run beside them
        ],
        cwd=ROOT,
        environment=plain_environment(),
        timeout_s=300,
    )
    assert code == 0, output


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text("utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not heading or heading in headings(there), f"{target}#{heading}"


def headings(page):
    """The anchors that GitHub makes of them."""
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_verdict_is_documented():
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert [verdict for verdict in Verdict if f"`{verdict}`" not in text] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reference", "features"])
def test_a_printed_page_is_what_the_code_says(name):
    printed = subprocess.run([sys.executable, ROOT / "docs" / f"{name}.py"], capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == (ROOT / "docs" / f"{name}.md").read_text("utf-8"), (
        f"python docs/{name}.py > docs/{name}.md"
    )


def test_every_advisory_on_the_page_is_fixed_in_each_version_that_is_accepted():
    listed = re.findall(
        r"^\| \[RUSTSEC-[\d-]+\].*\| ([\d.]+) \|$", (ROOT / "docs/features.md").read_text("utf-8"), re.M
    )
    (least,) = re.findall(r'"wasmtime>=([\d.]+),', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert len(listed) > 10
    assert all(tuple(map(int, fixed.split("."))) <= tuple(map(int, least.split("."))) for fixed in listed)


@pytest.mark.slow
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
    """Return the text without the parts that differ from run to run: times, and numbers that a guest drew."""
    # A busy machine may not give the interrupted guest the time to come back with its frames.
    text = text.replace("guest frames, innermost first:\n  spin at 0x5c\n", "")
    text = re.sub(
        r"[\d.,]+ ms(?: \([\d.,]+ ms of processor time\))? of ([\d,]+ ms) \(<?[\d.]+ %\)", r"some of \1", text
    )
    text = re.sub(r": the guest had [^:]*: the machine was busy", "", text)
    text = text.replace("blame    the machine was busy: the guest had little processor time\n", "")
    text = text.replace("blame    the guest itself took the time\n", "")
    return re.sub(r"roll\(\) returned -?\d+, and in a fresh store -?\d+", "roll() returned one, then another", text)
