"""A Python guest, built by componentize-py from this project's own source: 18 MB, and as limited as any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_airssys_wasm.conformance.loader import data_folder
from pytest_airssys_wasm.runtime.base.values import Err, Ok
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.compile.cache import CompileCache
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import OutOfFuel
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

pytestmark = pytest.mark.guests

LIMITS = ResourceLimits(memory="64 MiB", fuel=50_000_000, timeout_ms=60_000)


@pytest.fixture(scope="module")
def guest_file(tmp_path_factory):
    out = tmp_path_factory.mktemp("guests")
    build = data_folder("fixtures") / "guests" / "build.py"
    done = subprocess.run(
        [sys.executable, str(build), "python-transform", "--out", str(out)], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    (built,) = Path(out).rglob("*.wasm")
    return built


def test_a_python_guest_runs_under_limits_and_loads_from_the_cache(guest_file, tmp_path):
    told = []
    cold = WasmEngine(CompileCache(tmp_path / "cache", on_progress=told.append))
    guest = cold.load(guest_file)
    assert told, "a compilation of many seconds says that it goes on"
    assert cold.execute(guest, "transform", "hello world", limits=LIMITS, wasi=Wasi()).value == Ok("Hello World")
    assert isinstance(cold.execute(guest, "transform", "", limits=LIMITS, wasi=Wasi()).value, Err)
    with pytest.raises(OutOfFuel):
        cold.execute(guest, "spin", limits=LIMITS, wasi=Wasi())
    told.clear()
    warm = WasmEngine(CompileCache(tmp_path / "cache", on_progress=told.append))
    again = warm.load(guest_file)
    assert told == []
    costs = {warm.execute(again, "transform", "a b", limits=LIMITS, wasi=Wasi()).usage.fuel.consumed for _ in range(3)}
    assert len(costs) == 1
