"""Memory, time and disk use of a session with thousands of different guests: `python benchmarks/many_guests.py`.

Each guest is a component in a folder of its own, with a manifest. They are tested with the fixture `component`, first
with an empty compile cache, then with the cache that this has filled; and they are checked with `pytest --airssys-wasm`.
As many tests without a guest are run for comparison. The resident memory of each process is measured when it has run a
tenth, half, and nearly all of its tests. `--guests 1000` makes fewer guests, `-n 2` divides the tests between two
processes, and `--report` writes all reports as well. With words, only the rows whose names contain one of them are
measured.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import wasmtime

GUEST = """(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32)
      (i32.add (i32.const {number}) (i32.add (local.get 0) (local.get 1)))))
  (core instance $i (instantiate $m))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add"))))"""
MANIFEST = """[component]
name = "guest"
version = "0.1.0"
[resources.memory]
max_bytes = "1 MiB"
[resources.cpu]
timeout_seconds = 60
[[tests]]
name = "adds"
call = "add"
args = [1, 2]
returns = {sum}
"""
TESTS = """import pytest

@pytest.mark.parametrize("number", [
    pytest.param(number, marks=pytest.mark.component(f"guest{{number}}/guest.wasm")) for number in range({guests})
])
def test_adds(component, number):
    assert component.add(1, 2) == number + 3
"""
PLAIN = """import pytest

@pytest.mark.parametrize("number", range({guests}))
def test_adds(number):
    assert number + 3 == 3 + number
"""
RECORDER = """import os
from pathlib import Path

def pytest_runtest_protocol(item):
    COUNT.append(None)

COUNT = []

def pytest_runtest_logfinish(nodeid):
    if len(COUNT) in MARKS:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        MARKS[len(COUNT)] = pages * os.sysconf("SC_PAGE_SIZE") // 2**20

MARKS = {}

def pytest_collection_finish(session):
    if not session.config.option.collectonly and session.items:
        number = len(session.items) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        MARKS.update(dict.fromkeys((number // 10, number // 2, number - number // 50)))

def pytest_sessionfinish(session):
    if MARKS:
        line = " ".join(str(MARKS[number] or "-") for number in sorted(MARKS))
        with Path(os.environ["RESIDENT"]).open("a") as file:
            file.write(f"{len(session.items)} {line}\\n")
"""


def write_guests(folder: Path, guests: int) -> None:
    """Write the guests with their manifests, and the tests."""
    for number in range(guests):
        place = folder / f"guest{number}"
        place.mkdir()
        (place / "guest.wasm").write_bytes(wasmtime.wat2wasm(GUEST.format(number=number)))
        (place / "Component.toml").write_text(MANIFEST.format(sum=number + 3))
    (folder / "test_guests.py").write_text(TESTS.format(guests=guests))
    (folder / "test_plain.py").write_text(PLAIN.format(guests=guests))
    (folder / "conftest.py").write_text(RECORDER)
    (folder / "pytest.ini").write_text("[pytest]\n")


def measure(name: str, folder: Path, scratch: Path, *options: str) -> None:
    """Run pytest, and print a line of the table."""
    resident, cache = scratch / "resident", scratch / "cache"
    resident.write_text("")
    environment = {**os.environ, "RESIDENT": str(resident), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-q", "--wasm-cache-dir", str(cache), *options]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    took_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode:
        raise SystemExit(ran.stdout[-3_000:] + ran.stderr[-3_000:])
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    disk_mib = sum(path.stat().st_blocks * 512 for path in cache.iterdir()) / 2**20
    for line in resident.read_text().splitlines():
        items, *mib = line.split()
        figures = " ".join(f"{one:>7}" for one in mib)
        print(f"{name:32}{items:>8}{took_s:9.1f}{cpu_s:9.1f}   {figures}{disk_mib:15.0f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guests", type=int, default=10_000, help="the number of guests (default: 10,000)")
    parser.add_argument("-n", dest="workers", type=int, default=0, help="the number of processes of pytest-xdist")
    parser.add_argument("--report", action="store_true", help="write reports in JSON, HTML and JUnit XML, too")
    parser.add_argument("names", nargs="*", help="a part of the names of the rows that are measured")
    given = parser.parse_args()
    print(f"{'':32}{'tests':>8}{'s':>9}{'CPU s':>9}   RSS in MiB at 10 %, 50 %, end  cache MiB")
    with tempfile.TemporaryDirectory() as place:
        folder, scratch = Path(place) / "guests", Path(place) / "scratch"
        folder.mkdir()
        scratch.mkdir()
        (scratch / "cache").mkdir(mode=0o700)
        write_guests(folder, given.guests)
        options = [*(["-n", str(given.workers)] if given.workers else [])]
        if given.report:
            reports = [f"--wasm-report={scratch}/report.{kind}" for kind in ("json", "html")]
            options += [*reports, f"--junitxml={scratch}/junit.xml"]
        rows = {
            "plain tests, no guest": ["test_plain.py"],
            "tests, cache cold": ["test_guests.py"],
            "tests, cache warm": ["test_guests.py"],
            "checks, cache warm": [".", "--airssys-wasm", "--ignore=test_guests.py", "--ignore=test_plain.py"],
        }
        for name, arguments in rows.items():
            if not given.names or any(word in name for word in given.names):
                measure(name, folder, scratch, *arguments, *options)


if __name__ == "__main__":
    sys.exit(main())
