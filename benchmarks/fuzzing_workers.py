"""A comparison of fuzzing in one process and in two xdist workers: the examples and runs per second of processor time
of the busiest process. This time equals the elapsed time on a machine with a free processor for each process.

    python benchmarks/fuzzing_workers.py [PROFILE]
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.planted_guests import SOUND

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = """
[component]
name = "guest"
version = "1.0.0"
wasm = "guest.{ending}"
[resources.memory]
max_bytes = 2_097_152
[resources.cpu]
timeout_ms = 20_000
{fuzz}
"""
EXCLUDED = '[fuzz]\nexclude = ["demo:inventory/broken@1.0.0#*", "demo:inventory/echo@1.0.0#blob"]'
TELL = """
import os, time
from pathlib import Path

def pytest_unconfigure(config):
    Path(__file__).with_name(f"processor-{os.getpid()}").write_text(str(time.process_time()))
"""
MADE = re.compile(r"^ *\S.*?: .*?\b([\d,]+) (?:examples|runs)\b", re.MULTILINE)


def fuzz(folder: Path, profile: str, workers: int) -> tuple[int, float, float]:
    """Return the examples that were tried, the elapsed seconds, and the processor seconds of the busiest process."""
    options = ["-v", "-p", "no:cacheprovider", "-p", "no:randomly", "--airssys-wasm", "--wasm-conformance=never"]
    command = [sys.executable, "-m", "pytest", *options, f"--wasm-fuzz={profile}", "-k", "fuzz or worst-case"]
    started = time.monotonic()
    done = subprocess.run([*command, f"-n{workers}", "."], cwd=folder, capture_output=True, text=True, check=False)
    elapsed_s = time.monotonic() - started
    if done.returncode:
        raise SystemExit(done.stdout[-3_000:])
    made = sum(int(number.replace(",", "")) for number in MADE.findall(done.stdout))
    return made, elapsed_s, max(float(file.read_text()) for file in folder.glob("processor-*"))


def compare(name: str, guest: Path, manifest: str, profile: str) -> None:
    """Print a line for one process, a line for two, and the ratio of their rates."""
    rates = []
    for workers in (0, 2):
        with tempfile.TemporaryDirectory() as made_for_it:
            folder = Path(made_for_it)
            shutil.copy(guest, folder / f"guest{guest.suffix}")
            (folder / "Component.toml").write_text(manifest, "utf-8")
            (folder / "conftest.py").write_text(TELL, "utf-8")
            made, elapsed_s, processor_s = fuzz(folder, profile, workers)
        rates.append(made / processor_s)
        figures = f"{made:8,} in {processor_s:5.1f} s of a processor ({elapsed_s:5.1f} s elapsed): {rates[-1]:7,.0f}/s"
        print(f"{name:10} {workers or 1} {figures}", flush=True)
    print(f"{name:10} x{rates[1] / rates[0]:.2f}", flush=True)


def main() -> None:
    profile = sys.argv[1] if len(sys.argv) > 1 else "ci"
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.wat"
        sound.write_text(SOUND, "utf-8")
        compare("sound", sound, MANIFEST.format(ending="wat", fuzz=""), profile)
    inventory = ROOT / "fixtures" / "guests" / "inventory" / "inventory.wasm"
    compare("inventory", inventory, MANIFEST.format(ending="wasm", fuzz=EXCLUDED), profile)


if __name__ == "__main__":
    main()
