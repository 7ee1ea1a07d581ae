"""A comparison of fuzzing in one process and in two xdist workers: the processor time of the busiest process for the same
examples. This time equals the elapsed time on a machine with a free processor for each process. The limit on the time of
a profile is lifted, because on a busy machine fewer examples would fit into it.

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
from msgspec.structs import replace
from pathlib import Path
from pytest_airssys_wasm.fuzzing.profiles import PROFILES

PROFILES.update({name: replace(profile, time_s=1e6) for name, profile in PROFILES.items()})

def pytest_unconfigure(config):
    Path(__file__).with_name(f"processor-{os.getpid()}").write_text(str(time.process_time()))
"""
MADE = re.compile(r"^ *\S.*?: .*?\b([\d,]+) (?:examples|runs)\b", re.MULTILINE)


def fuzz(folder: Path, profile: str, workers: int) -> tuple[int, float, list[float]]:
    """Return the examples that were tried, the elapsed seconds, and the processor seconds of each process."""
    options = ["-v", "-p", "no:cacheprovider", "-p", "no:randomly", "--airssys-wasm", "--wasm-conformance=never"]
    command = [sys.executable, "-m", "pytest", *options, f"--wasm-fuzz={profile}", "-k", "fuzz or worst-case"]
    started = time.monotonic()
    done = subprocess.run([*command, f"-n{workers}", "."], cwd=folder, capture_output=True, text=True, check=False)
    elapsed_s = time.monotonic() - started
    if done.returncode:
        raise SystemExit(done.stdout[-3_000:])
    made = sum(int(number.replace(",", "")) for number in MADE.findall(done.stdout))
    return made, elapsed_s, sorted(float(file.read_text()) for file in folder.glob("processor-*"))


def compare(name: str, guest: Path, manifest: str, profile: str) -> None:
    """Print a line for one process, a line for two, and the ratio of their times."""
    times = []
    for workers in (0, 2):
        with tempfile.TemporaryDirectory() as made_for_it:
            folder = Path(made_for_it)
            shutil.copy(guest, folder / f"guest{guest.suffix}")
            (folder / "Component.toml").write_text(manifest, "utf-8")
            (folder / "conftest.py").write_text(TELL, "utf-8")
            made, elapsed_s, processor_s = fuzz(folder, profile, workers)
        times.append(processor_s[-1])
        each = ", ".join(f"{one:.1f}" for one in processor_s)
        print(
            f"{name:10} {workers or 1} {made:8,} examples, {each} s of processors ({elapsed_s:.1f} s elapsed)",
            flush=True,
        )
    share = 100 * times[1] / sum(processor_s)
    print(
        f"{name:10} x{times[0] / times[1]:.2f}, and the busier worker had {share:.0f} % of the time of all", flush=True
    )


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
