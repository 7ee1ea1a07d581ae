"""Machines that lack something: an error that names it, in both modes, and never a verdict about the guest."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_airssys_wasm import ResourceLimits, UnfitHost, Wasi
from pytest_airssys_wasm.isolation import compile as compiling
from pytest_airssys_wasm.isolation import compile_worker, pool, unfit
from pytest_airssys_wasm.runtime.budget import machine
from pytest_airssys_wasm.runtime.compile import artefacts
from pytest_airssys_wasm.runtime.guest import store_context

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
GUEST = '(module (memory 1) (func (export "f") (result i32) i32.const 42))'
SCRIPT = """
import json, sys
from pytest_airssys_wasm import ProcessIsolation, ResourceLimits, Wasi, WasmEngine, WasmError
module, limits = '(module (memory 1) (func (export "f") (result i32) i32.const 42))', ResourceLimits(memory="1 MiB", timeout_ms=20_000)
component = f'''(component (core {module[1:-1].replace("module", "module $m", 1)})
  (core instance $i (instantiate $m)) (func (export "f") (result u32) (canon lift (core func $i "f"))))'''
for mode in (None, ProcessIsolation()):
    with WasmEngine(isolation=mode) as engine:
        for source, wasi in ((module, None), (component, Wasi(stdin="x"))):
            try:
                print(engine.execute(engine.load(source), "f", limits=limits, wasi=wasi).value)
            except WasmError as error:
                print(f"{type(error).__name__}: {error}")
"""


def ran(*command, **environment):
    done = subprocess.run(
        [*command, sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )
    return done.stdout.splitlines() or done.stderr


def mounted(*steps):
    """A command that runs another where some file systems are mounted anew; skips where that is not allowed."""
    prefix = ("unshare", "--mount", "sh", "-c", " && ".join((*steps, 'exec "$@"')), "sh")
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    return prefix


@pytest.mark.slow
def test_too_small_an_address_space_is_named():
    lines = ran("sh", "-c", 'ulimit -v 2000000; exec "$@"', "sh")
    assert len(lines) == 4, lines
    for line in lines:
        assert line.startswith("UnfitHost: the address space of this process: expected"), line
        assert line.endswith("got 2048000000")


@pytest.mark.slow
def test_too_small_a_size_of_files_is_named():
    lines = ran("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
    assert lines[0] == "42"
    assert lines[1].startswith("UnfitHost: the size of files that this process may write (ulimit -f): expected"), lines
    assert all(line.startswith("UnfitHost: the temporary folder (TMPDIR): expected") for line in lines[2:]), lines
    assert len(lines) == 4


@pytest.mark.slow
def test_a_temporary_folder_whose_name_is_not_utf_8_is_named(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    lines = ran(TMPDIR=str(folder))
    assert lines[:2] == ["42", "42"]
    for line in lines[2:]:
        assert line.startswith("UnfitHost: the temporary folder (TMPDIR): expected a folder whose path is UTF-8"), line
    assert [*folder.iterdir()] == []


@pytest.mark.slow
def test_a_temporary_folder_that_code_cannot_be_mapped_from_is_good_enough():
    lines = ran(*mounted("mount -t tmpfs -o noexec,size=60m none /mnt", "export TMPDIR=/mnt"))
    assert lines == ["42"] * 4


@pytest.mark.slow
def test_a_full_temporary_folder_is_named():
    lines = ran(*mounted("mount -t tmpfs -o size=24k none /mnt", "export TMPDIR=/mnt"))
    assert lines[:2] == ["42", "42"]
    for line in lines[2:]:
        assert line.startswith(
            "UnfitHost: the temporary folder (TMPDIR): expected a folder that can be written to ("
        ), line
    assert len(lines) == 4


@pytest.mark.slow
def test_without_proc_the_streams_of_guests_are_refused_by_name():
    lines = ran(*mounted("mount -t tmpfs none /proc"))
    assert lines[0] == "42"
    assert all(line.startswith("UnfitHost: /proc: expected a mounted /proc") for line in lines[1:]), lines
    assert len(lines) == 4


def test_streams_without_paths_are_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(store_context.system.os.path, "isdir", lambda path: path != "/dev/fd")
    with pytest.raises(UnfitHost, match="/proc"):
        store_context.wasi_config(Wasi(stdin="x"), None)


@contextmanager
def little_memory(free_bytes):
    """Let the system refuse more than this to the process."""
    held_kib = Path("/proc/self/status").read_text("ascii").partition("VmData:")[2].split()[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(held_kib) * 1024 + free_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def test_memory_that_the_machine_refuses_to_a_growing_guest_is_not_its_trap(engine):
    guest = engine.load(
        """(module (memory 1)
        (func (export "grow") (result i32) (memory.grow (i32.const 16384)))
        (func (export "must-grow") (if (i32.eq (memory.grow (i32.const 16384)) (i32.const -1)) (then unreachable)))
        (func (export "trap") unreachable))"""
    )
    if engine.isolation is not None:
        pytest.skip("the memories are in another process")
    much = ResourceLimits(memory="2 GiB", fuel=None, timeout_ms=60_000)
    with little_memory(2**28):
        assert engine.execute(guest, "grow", limits=much).value == -1
        with pytest.raises(UnfitHost) as caught:
            engine.execute(guest, "must-grow", limits=much)
    assert caught.value.usage.denied_growths == 0
    with pytest.raises(Exception, match="unreachable"):
        engine.execute(guest, "trap", limits=much)


@pytest.mark.parametrize(
    ("limits", "where"),
    [
        ({"RLIMIT_AS": 2**31, "RLIMIT_DATA": 2**31}, "the address space of this process"),
        ({"RLIMIT_DATA": 2**31}, "the data of this process"),
        ({}, "the memory of this machine"),
    ],
)
def test_what_bounds_the_memory_is_named(monkeypatch, limits, where):
    kinds = {getattr(machine.resource, name): (limit, limit) for name, limit in limits.items()}
    unlimited = (machine.resource.RLIM_INFINITY,) * 2
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: kinds.get(kind, unlimited))
    assert machine.no_memory().where.startswith(where)
    assert machine.is_short_of_addresses(2**30) == ("RLIMIT_AS" in limits)


@pytest.mark.slow
@pytest.mark.parametrize("place", [compiling, pool])
def test_a_process_that_cannot_start_is_not_held_against_the_guest(make_engine, monkeypatch, place):
    engine = make_engine()
    guest = engine.load(GUEST)
    monkeypatch.setattr(place, "_MODULE", "no_such_module")
    with pytest.raises(UnfitHost, match=r"a Python that can start .*No module named no_such_module"):
        engine.execute(engine.load(GUEST + " ") if place is compiling else guest, "f", limits=LIMITS)


def test_a_result_that_the_compiler_cannot_write_is_told(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(GUEST.encode())
    answer = compile_worker._carry_out("text", source, tmp_path / "gone" / "result")
    assert answer == {"unwritable": "No such file or directory"}


@pytest.mark.parametrize("given", [1, "x", unfit.NOTHING])
def test_what_a_process_lacks_is_told_as_it_is(capsys, given):
    error = UnfitHost("/proc", given, "a folder")
    unfit.tell_unfit(error)
    told = unfit.told_unfit(SimpleNamespace(stderr=["x", *capsys.readouterr().err.splitlines()]))
    assert (type(told), str(told)) == (UnfitHost, str(error))
    assert unfit.told_unfit(SimpleNamespace(stderr=["x", f"{unfit._SIGN}{json.dumps([1])}", f"{unfit._SIGN}x"])) is None


def test_an_artefact_that_may_not_be_mapped_is_read(tmp_path, engine, monkeypatch):
    path = tmp_path / "artefact"
    path.write_bytes(engine.load(GUEST).raw.serialize())
    assert artefacts.can_be_executed(path)
    monkeypatch.setattr(artefacts, "can_be_executed", lambda file: False)
    refused = artefacts.wasmtime.WasmtimeError("failed to make memory executable")

    class Refusing(artefacts.wasmtime.Module):
        @classmethod
        def deserialize_file(cls, engine, path):
            raise refused

    monkeypatch.setattr(artefacts, "class_of", lambda kind: Refusing)
    assert artefacts.load_artefact("module", engine.raw, Path(path)).raw.exports
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"\S"):
        artefacts.load_artefact("module", engine.raw, path)
