"""The files of guests for worker processes: they stay while they are used, and are made again where they were lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from textwrap import dedent

import pytest

from pytest_airssys_wasm import ResourceLimits

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
GUEST = '(module (func (export "f") (result i32) i32.const 42))'


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["folder", "binary", "artefact"])
def test_files_that_somebody_removed_are_written_again(make_engine, scratch, lost):
    engine = make_engine()
    guest = engine.load(GUEST)
    assert engine.execute(guest, "f", limits=LIMITS).value == 42
    [folder] = scratch.glob("pytest-airssys-wasm-guests-*")
    if lost == "folder":
        shutil.rmtree(folder)
    else:
        [file] = folder.glob("*.wasm" if lost == "binary" else "*.cwasm")
        file.unlink()
    engine.backends._pool.close()  # ends the process that has read them
    for source in (guest, engine.load(GUEST + " ")):
        assert engine.execute(source, "f", limits=LIMITS).value == 42
    engine.close()
    assert [*scratch.iterdir()] == []


@pytest.mark.slow
def test_a_forked_process_that_ends_takes_no_files_from_its_parent(scratch):
    code = f"""
        import os
        from pytest_airssys_wasm import ProcessIsolation, ResourceLimits, WasmEngine
        engine = WasmEngine(isolation=ProcessIsolation())
        guest = engine.load({GUEST!r})
        limits = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
        with_one = lambda: engine.execute(guest, "f", limits=limits).value
        assert with_one() == 42
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            [folder] = [name for name in os.listdir({os.fspath(scratch)!r}) if "-guests-" in name]
            assert {{name.rpartition(".")[2] for name in os.listdir(f"{scratch}/{{folder}}")}} >= {{"wasm", "cwasm"}}
            assert with_one() == 42
        else:
            engine.close()
            del guest
    """
    environment = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [*scratch.iterdir()] == []
