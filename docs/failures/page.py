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
COMMAND = "pytest --airssys-wasm docs/failures"
HEAD = f"""# Failing tests

`{COMMAND}` prints every report on this page.
The sources are in `docs/failures`, and [`python docs/failures/page.py`](failures/page.py) writes the page. Fuel, memory and
frames are the same on every machine; times are not.

A report shows the verdict, the call in [WAVE](https://github.com/bytecodealliance/wasm-tools/tree/main/crates/wasm-wave)
notation, and the usage of each limit. For the lines `blame`, the call was run again with one limit lifted, and, if it
returned, with less and less of it. [This is only done](design.md#what-a-failed-call-would-have-needed) if the guest cannot
affect the host, and if no earlier call could have changed the state of the guest. The line `rerun` is the command that
repeats the failure.
"""
SITUATIONS = (
    (
        "test_fuel_runs_out",
        "The guest runs out of fuel",
        "The report shows how much fuel the call needs: with one unit less it fails.",
    ),
    (
        "test_it_never_ends",
        "The guest never ends",
        "Fuel is unlimited in this test, so the deadline ends the guest. The report shows what took the time.",
    ),
    (
        "test_memory_runs_out",
        "The guest runs out of memory",
        "The guest's allocator executes `unreachable` when a growth is refused. The report names the actual cause.",
    ),
    ("test_a_panic", "A Rust panic", "The frames show the function names of the source code, innermost first."),
    (
        "test_a_value_that_does_not_fit",
        "An argument does not match its type",
        "The message gives the path to the value. No guest code has run.",
    ),
    ("test_a_host_function_fails", "A host function fails", "The traceback of the host function comes first."),
    ("test_it_gives_up", "The guest exits", "The report includes the output of the guest on stderr."),
    (
        "test_another_answer",
        "The result is wrong",
        "An ordinary assertion fails. The report shows the resources that the last execution used.",
    ),
    ("manifest of docs/failures/unknown-key/Component.toml", "A mistake in the manifest", ""),
    ("limits of docs/failures/too-large/Component.toml", "The guest declares too much memory", ""),
    ("imports of docs/failures/import/Component.toml", "An import is missing", ""),
    ("deterministic of docs/failures/random/Component.toml", "The guest is not deterministic", ""),
    (
        "tests[title-cases words] of docs/failures/wrong-answer/Component.toml",
        "A `[[tests]]` entry fails",
        "",
    ),
)


def page() -> str:
    """Return the page, with the present output of pytest."""
    printed = reports(run())
    parts = [HEAD]
    for name, title, remark in SITUATIONS:
        report = next(text for node, text in printed.items() if node.endswith(name))
        parts.append(f"## {title}\n" + (f"\n{remark}\n" if remark else "") + f"\n```text\n{report}\n```\n")
    return "\n".join(parts)


def run() -> str:
    """Return the output of pytest."""
    arguments = ["-p", "no:cacheprovider", "-p", "no:randomly", "--airssys-wasm"]
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
    """Return the report of each failure, by the name in its head line."""
    failures = printed.partition(" FAILURES ")[2].partition(" short test summary info ")[0]
    parts = re.split(r"^_{3,} (.+?) _{3,}$", failures, flags=re.MULTILINE)[1:]
    return {name: re.sub(r"\n=+$", "", text).strip("\n") for name, text in zip(parts[::2], parts[1::2])}


if __name__ == "__main__":
    sys.stdout.write(page())
