"""The guest till of tests/validation/guests, which has the same six faults in three languages, and what is said of them."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from support.checkout import TESTS

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = TESTS / "validation" / "guests"
COMMITTED = {"C": "till-c.wasm", "AssemblyScript": "till-assemblyscript.wasm"}
"""The binaries by language; the one in JavaScript is too large."""
OPTIONS = ("--airssys-wasm", "--wasm-conformance=never", "--wasm-fuzz=quick", "-k", "not worst-case and not fuzz-", ".")
SENTENCES = {
    "fuzz[average]": r"average\(\[\]\) ended with trap",
    "tests[the total has every price]": r"total\(\[100, 250\]\) returned 100, expected 350",
    "deterministic": r"receipt\(\) returned \d+, and in a fresh store \d+.*; it imports clocks",
    "tests[half a euro can be paid]": r"ways\(50\) ended with out-of-fuel: the fuel budget of 5,000,000 was spent",
    "tests[customers are not kept]": r"greet\(\"Ada\"\) added 64 KiB of memory, .*, max_growth is 0 B, in repetition \d+",
    "tests[a currency that costs nothing]": r"convert\(100, \"XXX\"\) ended with trap \(.+\); expected 0",
}
"""The checks that fail, with the beginning of what they say."""


def write(folder: Path, binary: Path) -> None:
    """Write the manifest, and the binary under the name that it has there."""
    shutil.copy(FOLDER / "till" / "Component.toml", folder)
    shutil.copy(binary, folder / "till.wasm")


def check(output: str) -> None:
    """Check the output of pytest: each fault is found and named, and nothing else is accused."""
    failed = set(re.findall(r"^FAILED \S*?::(.+?) - ", output, re.MULTILINE))
    assert failed == set(SENTENCES), output[-3_000:]
    for sentence in SENTENCES.values():
        assert re.search(rf"^{sentence}", output, re.MULTILINE), sentence
