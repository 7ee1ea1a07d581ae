"""The steadiness of the suite: this program runs it many times, and reports every case that ended differently.

    python tests/steadiness/steadiness.py --runs 20
    python tests/steadiness/steadiness.py --runs 20 --loaded

What stands after `--` is given to pytest in place of `--airssys-wasm -n 2`. Exits with 1 where a case differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting import json_report
from pytest_airssys_wasm.reporting.summaries import count_categories

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.reporting.model import TestRecord

SUITE = ("--airssys-wasm", "-n", "2")
MISSING = "not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of pytest."""

    seconds: float
    status: int
    tests: dict[str, TestRecord]

    def ending(self, name: str) -> str:
        """The outcome of a test."""
        return self.tests[name].category if name in self.tests else MISSING


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and print as it goes; 1 where a case did not end the same way each time."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=f"What stands after -- is given to pytest in place of: {' '.join(SUITE)}",
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--loaded", action="store_true", help="beside a process for each core that never rests")
    parser.add_argument("--folder", type=Path, help="where pytest runs (default: an empty folder)")
    parser.add_argument("pytest", nargs="*", default=[*SUITE], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    print(f"pytest {' '.join(options.pytest)}{' beside busy cores' if options.loaded else ''}")
    print("| run | seconds | how it ended | exit status |\n|--:|--:|---|--:|", flush=True)
    runs: list[Run] = []
    with ExitStack() as stack:
        if options.loaded:
            stack.enter_context(busy_cores())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for number in range(1, options.runs + 1):
            runs.append(run := run_once(options.pytest, folder, scratch / f"{number}.json"))
            print(
                f"| {number} | {run.seconds:.1f} | {count_categories(run.tests.values())} | {run.status} |", flush=True
            )
    different = [*differences(runs)]
    seconds = sorted(run.seconds for run in runs)
    print(f"\n{len(runs)} runs of {seconds[0]:.1f} to {seconds[-1]:.1f} s, {len(different)} differences")
    print("".join(f"\n{difference}" for difference in different))
    return 1 if different else 0


@contextmanager
def busy_cores() -> Iterator[None]:
    """Start as many processes that never rest as there are cores."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def run_once(arguments: Sequence[str], folder: Path, report: Path) -> Run:
    """Run pytest in `folder`. A run that leaves no report ends the whole: it says nothing of any case."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--wasm-report={report}", *arguments]
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    seconds = time.monotonic() - started
    if not report.exists():
        raise SystemExit(f"{done.stdout}\npytest wrote no report, exit status {done.returncode}")
    tests = {test.test: test for test in json_report.read(report).tests}
    return Run(seconds=seconds, status=done.returncode, tests=tests)


def differences(runs: Sequence[Run]) -> Iterator[str]:
    """For each test that ended in several ways a text: the runs of each way, the rarest first, and the reasons."""
    for name in sorted({name for run in runs for name in run.tests}):
        endings = [run.ending(name) for run in runs]
        if len({*endings}) == 1:
            continue
        lines = [name]
        for ending in sorted({*endings}, key=endings.count):
            numbers = [number for number, each in enumerate(endings, 1) if each == ending]
            lines.append(f"  {ending} in {', '.join(map(str, numbers))}")
        failed = [number for number, ending in enumerate(endings, 1) if ending == "failed"]
        lines += [f"  {number}: {runs[number - 1].tests[name].reason}" for number in failed]
        yield "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
