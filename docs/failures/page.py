"""Writes docs/failures.md: runs the tests and manifests of this folder, and shows how each of them fails.

python docs/failures/page.py > docs/failures.md
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = 'pytest --airssys-wasm -m "not conformance" docs/failures'
HEAD = f"""# Failures, as the tool shows them

Every report below is printed by `{COMMAND}`;
its sources are in [docs/failures](failures/), and `python docs/failures/page.py` writes this page. Fuel, memory and
frames are the same on every machine; times are not.

A report names the verdict, the call in [WAVE](https://github.com/bytecodealliance/wasm-tools/tree/main/crates/wasm-wave)
notation, and use against limit. `enough` comes from running the call once more with that one limit lifted, for a second
at most: only where the guest can touch nothing of the host, and where nothing came before the call that could have
changed the guest's state. `rerun` is the command that shows the failure again.
"""
SITUATIONS = (
    ("test_fuel_runs_out", "Fuel runs out", "How much would have been enough is known."),
    ("test_it_never_ends", "It never ends", "Fuel is unlimited here, so the deadline ends it; no budget would do."),
    (
        "test_memory_runs_out",
        "Memory runs out",
        "The guest's allocator answers a refused growth with `unreachable`; the report says what it is.",
    ),
    ("test_a_panic", "A Rust panic", "The frames have the names their author wrote, innermost first."),
    ("test_a_value_that_does_not_fit", "An argument that does not fit its type", "Nothing has run; the path is named."),
    ("test_a_host_function_fails", "A host function fails", "Its own traceback comes first."),
    ("test_it_gives_up", "The guest exits", "What it wrote says why."),
    ("test_another_answer", "Another answer", "An ordinary assertion, with what the last execution used."),
    ("manifest of docs/failures/unknown-key/Component.toml", "A mistake in the manifest", ""),
    ("limits of docs/failures/too-large/Component.toml", "More memory than allowed, before any code runs", ""),
    ("imports of docs/failures/import/Component.toml", "An import that nothing provides", ""),
    ("deterministic of docs/failures/random/Component.toml", "Not deterministic", ""),
    (
        "tests[title-cases words] of docs/failures/wrong-answer/Component.toml",
        "A `[[tests]]` entry that does not hold",
        "",
    ),
)


def page() -> str:
    """The page, with what pytest prints now."""
    printed = reports(run())
    parts = [HEAD]
    for name, title, remark in SITUATIONS:
        report = next(text for node, text in printed.items() if node.endswith(name))
        parts.append(f"## {title}\n" + (f"\n{remark}\n" if remark else "") + f"\n```text\n{report}\n```\n")
    return "\n".join(parts)


def run() -> str:
    """What pytest prints."""
    arguments = ["-p", "no:cacheprovider", "-p", "no:randomly", "--airssys-wasm", "-m", "not conformance"]
    # The page is the same wherever it is made: in CI pytest shows more.
    others = {"CI", "BUILD_NUMBER", "PYTEST_ADDOPTS"}
    environment = {key: value for key, value in os.environ.items() if key not in others} | {"COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "docs/failures"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 1:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def reports(printed: str) -> dict[str, str]:
    """The report of each failure, by the name in its head line."""
    failures = printed.partition(" FAILURES ")[2].partition(" short test summary info ")[0]
    parts = re.split(r"^_{3,} (.+?) _{3,}$", failures, flags=re.MULTILINE)[1:]
    return {name: re.sub(r"\n=+$", "", text).strip("\n") for name, text in zip(parts[::2], parts[1::2])}


if __name__ == "__main__":
    sys.stdout.write(page())
