"""A marker is read once to check it and once for each test, and a component is loaded once in a session."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pytest_airssys_wasm.plugin import file_cache
from support.passing import HEAD, passes

MANIFEST = """
[component]
name = "kernels"
version = "1"
wasm = "kernels.wat"
[resources.memory]
max_bytes = 1048576
[resources.cpu]
timeout_ms = 20_000
[[tests]]
name = "adds"
call = "add"
args = [1, 2]
returns = 3
"""
COUNTER = """
import atexit, json
from collections import Counter
from pathlib import Path
from pytest_airssys_wasm.plugin import file_cache, markers
from pytest_airssys_wasm.runtime.budget import limits
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.manifest import loading

COUNTS = Counter()
file_cache._SETTLED_NS = 10**18  # as if every file was written just now

def count(owner, name, key):
    original = getattr(owner, name)
    def counted(*args, **known):
        COUNTS[key(*args)] += 1
        return original(*args, **known)
    setattr(owner, name, counted)

count(markers, "read", lambda mark: f"read {mark.name}")
count(WasmEngine, "load", lambda engine, source: f"load {Path(source).name}")
count(loading, "load_manifest", lambda path: f"manifest {path.name}")

def pytest_unconfigure():
    Path(__file__).with_name("counts.json").write_text(json.dumps(COUNTS))
"""


@pytest.fixture
def counted(guest):
    guest.path("conftest.py").write_text(COUNTER)
    return guest


def counts(project):
    import json

    return json.loads(project.path("counts.json").read_text())


@pytest.mark.slow
def test_a_marker_is_read_once_to_check_it_and_once_for_each_test(counted):
    counted.write(
        test_a="""
            import pytest

            pytestmark = [pytest.mark.memory("1 MiB"), pytest.mark.wasi()]

            @pytest.mark.component("kernels.wat")
            @pytest.mark.timeout_ms("20 s")
            @pytest.mark.fuel(2_000)
            @pytest.mark.parametrize("number", [1, 2, 3])
            def test_a(component, wasm_limits, number):
                component.count(number * 300)
        """
    )
    ran = counted.run("-v")
    assert (ran.count("passed"), ran.count("failed")) == (1, 2), ran.text
    told = {name: times for name, times in counts(counted).items() if name.startswith("read")}
    assert told == dict.fromkeys(("read component", "read fuel", "read memory", "read timeout_ms", "read wasi"), 1 + 3)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("--wasm-isolation=process",)], ids=["thread", "process"])
def test_a_component_and_its_manifest_are_loaded_once_for_checks_and_tests(counted, workers):
    counted.path("Component.toml").write_text(MANIFEST)
    counted.write(
        test_a="""
            import pytest
            pytestmark = pytest.mark.component("kernels.wat")

            @pytest.mark.parametrize("number", [1, 2, 3])
            def test_a(component, number):
                assert component.calls() == 1
                assert component.add(number, 1) == number + 1
        """
    )
    ran = counted.run("--airssys-wasm", "--deselect=conformance", "-v", "Component.toml", "test_a.py", *workers)
    assert ran.count("passed") == 6 + 1 + 3, ran.text
    told = {name: times for name, times in counts(counted).items() if not name.startswith("read")}
    assert told == {"load kernels.wat": 1, "manifest Component.toml": 1}
    notes = [line for line in ran.text.splitlines() if line.startswith(("  loads: ", "  instantiates: "))]
    assert len(notes) == 2
    assert all(": compiled in " in note for note in notes)
    again = counted.run("--airssys-wasm", "--deselect=conformance", "-v", "Component.toml", *workers).text
    assert "  loads: from the cache in " in again


@pytest.mark.slow
def test_a_guest_that_changed_is_loaded_anew(guest):
    passes(
        guest,
        test_a="""
            import pytest
            from pathlib import Path

            GUEST = Path(__file__).with_name("changing.wat")

            @pytest.fixture(autouse=True)
            def built(request):
                GUEST.write_text(f'(module (func (export "n") (result i32) i32.const {request.node.callspec.params["n"]}))')

            @pytest.mark.component("changing.wat")
            @pytest.mark.memory("1 MiB")
            @pytest.mark.timeout_ms(20_000)
            @pytest.mark.parametrize("n", range(10))
            def test_n(built, component, n):
                assert component.n() == n
        """,
    )


def test_markers_that_are_added_before_their_fixture_is_used_hold(guest):
    passes(
        guest,
        conftest="""
            import pytest

            @pytest.fixture(autouse=True)
            def further(request, wasm_host):
                from pytest_airssys_wasm.plugin.item_settings import settings_of
                assert settings_of(request.node).limits.values.fuel == 1_000
                request.node.add_marker(pytest.mark.fuel(77, per="test"), append=False)
                request.node.add_marker(pytest.mark.wasm_limits(tables=3))
        """,
        test_a=HEAD
        + """
@pytest.mark.fuel(1_000)
def test_a(component, wasm_limits, limited_store):
    assert (wasm_limits.fuel, wasm_limits.tables) == (77, 3)
    with pytest.raises(OutOfFuel):
        [component.count(5) for _ in range(10)]
""",
    )


def test_bare_markers_act_when_fixtures_are_asked_for_by_name(guest):
    passes(
        guest,
        test_a="""
            import pytest
            from pytest_airssys_wasm import Wasi

            @pytest.mark.wasi
            @pytest.mark.memory("1 MiB")
            def test_a(request):
                assert request.getfixturevalue("limited_store").wasi == Wasi(stdin="")
        """,
    )


def test_the_values_of_files_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(file_cache, "_MOST_VALUES", 2)
    monkeypatch.setattr(file_cache, "_SETTLED_NS", 0)
    made = []
    cache = file_cache.FileCache()
    for name in "abc":
        (tmp_path / name).write_text(name)
    time.sleep(0.05)  # more than the resolution of time stamps

    def get(name, *key):
        return cache.get(tmp_path / name, lambda: made.append(name) or len(made), *key)

    assert [get("a"), get("a"), get("a", "other"), get("a"), get("b"), get("a")] == [1, 1, 2, 1, 3, 1]
    assert get("a", "other") == 4  # gave way to b
    os.utime(tmp_path / "a", (1, 1))
    assert get("a") == 5
    with pytest.raises(FileNotFoundError):
        get("d")


@pytest.fixture
def young(tmp_path, monkeypatch):
    """A file whose status does not tell that it changes."""
    monkeypatch.setattr(file_cache, "_status", lambda path: ((1,), False))
    path = tmp_path / "guest"
    path.write_text("one")
    return path


def test_a_file_that_was_changed_just_now_is_recognized_by_its_content(young):
    made = []
    cache = file_cache.FileCache()

    def get():
        return cache.get(young, lambda: made.append(young.read_text()) or len(made))

    assert [get(), get()] == [1, 1]
    young.write_text("two")
    assert [get(), get()] == [2, 2]


def test_the_value_of_a_young_file_that_is_too_large_to_be_recognized_is_not_kept(young, monkeypatch):
    monkeypatch.setattr(file_cache, "_MOST_BYTES", file_cache._BLOCK_BYTES)
    young.write_text("1" * (file_cache._BLOCK_BYTES + 1))
    cache = file_cache.FileCache()
    values = iter("ab")
    assert [cache.get(young, lambda: next(values)) for _ in range(2)] == ["a", "b"]


def test_a_device_is_not_read(young):
    cache = file_cache.FileCache()
    values = iter("ab")
    assert [cache.get(Path("/dev/zero"), lambda: next(values)) for _ in range(2)] == ["a", "b"]
