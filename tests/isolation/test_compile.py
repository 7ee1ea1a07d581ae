"""Compiling in isolation: the same guests and the same messages, and an end for whatever exhausts the compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_airssys_wasm import (
    CompileCache,
    InvalidComponent,
    InvalidConfiguration,
    ProcessIsolation,
    ResourceLimitExceeded,
    ResourceLimits,
    RuntimeDied,
    WasmEngine,
)
from pytest_airssys_wasm.isolation import compile_worker as compile_child
from support.bombs import MODULE, children, nested_ifs, nested_instances, wait_for

COMPONENT = """(component
  (core module $m (func (export "square") (param i32) (result i32) (i32.mul (local.get 0) (local.get 0))))
  (core instance $i (instantiate $m))
  (func (export "square") (param "x" u32) (result u32) (canon lift (core func $i "square"))))"""
LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.slow
@pytest.mark.parametrize("source", [MODULE, COMPONENT], ids=["module", "component"])
def test_a_guest_compiled_in_isolation_runs_as_any_other(make_engine, engine, source, scratch):
    isolated = make_engine()
    guest, plain = isolated.load(source), engine.load(source)
    assert guest.was_compiled
    found, expected = (
        isolated.execute(guest, "square", 9, limits=LIMITS),
        engine.execute(plain, "square", 9, limits=LIMITS),
    )
    assert (found.value, found.usage.fuel) == (81, expected.usage.fuel)
    assert str(guest.exports) == str(plain.exports)
    isolated.close()
    assert [*scratch.glob("pytest-airssys-wasm-*")] == []


@pytest.mark.parametrize(
    "source",
    [
        b"\0asm\1\0\0\0\xff\xff",
        b"(module (func (result i32)))",
        b"(module (func",
        b"(module (func" + b" " * 2**18,
        b"(component (func (export \"f\")))",
        b"\0asm\x0d\0\1\0\x63",
    ],
)  # fmt: skip
def test_what_is_invalid_is_refused_in_the_same_words(make_engine, engine, source):
    with pytest.raises(InvalidComponent) as plain:
        engine.load(source)
    with pytest.raises(InvalidComponent) as isolated:
        make_engine().load(source)
    assert str(isolated.value) == str(plain.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bomb", "bound", "resource"),
    [
        (nested_ifs, {"compile_memory_bytes": "100 MiB"}, "compile-memory"),
        (nested_ifs, {"compile_timeout_ms": "2 s"}, "compile-time"),
    ],
)
def test_what_exhausts_the_compiler_is_a_verdict(make_engine, bomb, bound, resource, scratch):
    engine = make_engine(ProcessIsolation(**{"compile_timeout_ms": "2 min", **bound}))
    source, before_bytes = bomb(), resident_bytes()
    with pytest.raises(ResourceLimitExceeded, match=r"<bytes>: compiling it takes (more|longer) than") as caught:
        engine.load(source)
    assert caught.value.resource == resource
    assert resident_bytes() - before_bytes < 32 * 2**20
    assert [*scratch.glob("pytest-airssys-wasm-*")] == []
    assert wait_for(lambda: not children())
    assert make_engine().load(MODULE).was_compiled


@pytest.mark.slow
def test_the_start_of_its_process_is_none_of_the_compilers_time(make_engine, tmp_path, monkeypatch):
    (tmp_path / "slow_start.py").write_text(
        f"import time; time.sleep(3)\nfrom {compile_child.__name__} import main\nmain()"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("pytest_airssys_wasm.isolation.compile._MODULE", "slow_start")
    assert make_engine(ProcessIsolation(compile_timeout_ms="2 s")).load(MODULE).was_compiled


@pytest.mark.slow
def test_what_is_small_compiled_and_large_once_it_is_loaded_is_refused(make_engine, monkeypatch):
    """Nested instances within the compiler's bounds: loading the artefact would take twice the limit here."""
    # They are counted before they are compiled; this is the bound behind that one.
    monkeypatch.setattr("pytest_airssys_wasm.runtime.binary.facts._instance_bytes", lambda binary, name: 0)
    before_bytes = resident_bytes()
    with pytest.raises(ResourceLimitExceeded, match="in each process that loads it") as caught:
        make_engine().load(nested_instances())
    assert caught.value.resource == "compile-memory"
    assert resident_bytes() - before_bytes < 32 * 2**20


def test_memory_that_is_used_again_counts_as_well():
    def make():
        return [bytes(1_000) for _ in range(100_000)]

    freed, pin = make(), bytes(1_000)  # behind which it cannot shrink by itself
    del freed
    price = compile_child.price(make)
    assert pin
    assert price is None or price > 80 * 2**20


def test_the_artefact_is_the_entry_of_the_cache(make_engine, tmp_path):
    cache = CompileCache(tmp_path / "cache")
    assert make_engine(cache=cache).load(MODULE).was_compiled
    [entry] = (tmp_path / "cache").glob("*.cwasm")
    assert entry.stat().st_mode & 0o777 == 0o600

    class Unreachable(ProcessIsolation):
        def compile(self, *_):
            raise AssertionError("nothing is to be compiled")

    assert not make_engine(Unreachable(), CompileCache(tmp_path / "cache")).load(MODULE).was_compiled
    # Compiled here, it would be the same.
    plain = WasmEngine(CompileCache(tmp_path / "cache"))
    assert plain.execute(plain.load(MODULE), "square", 9, limits=LIMITS).value == 81
    plain.close()


@pytest.mark.slow
def test_what_could_not_be_compiled_leaves_nothing_in_the_cache(make_engine, tmp_path):
    engine = make_engine(ProcessIsolation(compile_memory_bytes="100 MiB"), CompileCache(tmp_path / "cache"))
    with pytest.raises(ResourceLimitExceeded):
        engine.load(nested_ifs())
    assert [one.suffix for one in (tmp_path / "cache").iterdir()] == [".lock"]


@pytest.mark.slow
def test_two_processes_with_one_cache_compile_once_between_them(tmp_path):
    (tmp_path / "guest.wat").write_text(MODULE)
    code = f"""
        from pathlib import Path
        from pytest_airssys_wasm import CompileCache, ProcessIsolation, WasmEngine
        if __name__ == "__main__":
            engine = WasmEngine(CompileCache(Path({str(tmp_path / "cache")!r})), isolation=ProcessIsolation())
            print(engine.load({str(tmp_path / "guest.wat")!r}).was_compiled)
            engine.close()
    """
    started = [subprocess.Popen([sys.executable, "-c", dedent(code)], stdout=subprocess.PIPE, text=True) for _ in "ab"]
    said = sorted(one.communicate(timeout=120)[0].strip() for one in started)
    assert said == ["False", "True"]
    assert len([*(tmp_path / "cache").glob("*.cwasm")]) == 1


@pytest.mark.slow
def test_threads_load_at_once(make_engine):
    engine = make_engine()
    sources = [f'(module (func (export "f") (result i32) i32.const {number}))' for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        guests = [*threads.map(engine.load, sources)]
    assert [engine.execute(guest, "f", limits=LIMITS).value for guest in guests] == [*range(6)]


class Recorded:
    """An isolation that notes what it is asked, and leaves what no compiler would."""

    def __init__(self):
        self.asked = []

    def new_backends(self):
        return None

    def translate(self, text, name):
        self.asked.append(("translate", name))
        return b"\0asm\1\0\0\0"

    def compile(self, kind, binary, name, artefact):
        self.asked.append((kind, name))
        artefact.write_bytes(b"\x7fELF no artefact")


def test_only_long_text_is_translated_in_isolation_and_a_wrong_artefact_is_refused(make_engine):
    isolation = Recorded()
    engine = make_engine(isolation)
    for source in ("(module)", "(module)" + " " * 2**18):
        with pytest.raises(RuntimeDied, match="is not an artefact") as caught:
            engine.load(source)
        assert caught.value.reason == "garbage"
    assert isolation.asked == [("module", "<text>"), ("translate", "<text>"), ("module", "<text>")]


def test_bounds_take_units_and_are_checked():
    isolation = ProcessIsolation(memory_bytes="64 MiB", compile_timeout_ms="2 s")
    assert (isolation.memory_bytes, isolation.compile_timeout_ms) == (64 * 2**20, 2_000)
    for field, value in (("compile_timeout_ms", -1), ("compile_memory_bytes", "much"), ("grace_ms", float("nan"))):
        with pytest.raises(InvalidConfiguration, match=field):
            ProcessIsolation(**{field: value})


@pytest.mark.parametrize(("field", "least_mib"), [("memory_bytes", 64), ("compile_memory_bytes", 48)])
def test_less_than_a_process_needs_to_start_is_refused_when_it_is_said(field, least_mib):
    assert getattr(ProcessIsolation(**{field: least_mib * 2**20}), field) == least_mib * 2**20
    with pytest.raises(InvalidConfiguration, match=rf"^{field}: expected at least {least_mib} MiB: .* got {2**20}$"):
        ProcessIsolation(**{field: "1 MiB"})
    with pytest.raises(InvalidConfiguration, match=field):
        ProcessIsolation(**{field: least_mib * 2**20 - 1})


@pytest.mark.slow
def test_the_least_is_enough_to_compile_and_to_run(make_engine):
    engine = make_engine(
        ProcessIsolation(memory_bytes="64 MiB", compile_memory_bytes="48 MiB", compile_timeout_ms="2 min")
    )
    guest = engine.load(COMPONENT)
    assert engine.execute(guest, "square", 5, limits=LIMITS).value == 25
