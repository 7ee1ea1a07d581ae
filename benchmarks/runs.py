"""The rows of the table of ratios that are about loading, threads, and whole runs of pytest."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import wasmtime
from alternation import repeated
from by_hand import ADD, COUNT, guest_of_code
from session import LIMITS

from pytest_airssys_wasm.runtime.compile.cache import CompileCache
from pytest_airssys_wasm.runtime.compile.signatures import SETTLED_S
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from pathlib import Path

    from alternation import Repeat
    from session import Session

    from pytest_airssys_wasm.runtime.guest.instance import Instance

_PLUGIN = ("-p", "pytest_airssys_wasm.plugin")
_EMPTY_PLUGIN = ("-p", "nothing")
"""A plugin without content, because pytest reads the metadata of all packages if there is any plugin."""
_IDLE = "def test_it(): assert True\n"
_MARKED = """@pytest.mark.{0}("1 MiB")
@pytest.mark.{1}(100{3})
@pytest.mark.{2}(100)
def test_{3}(): pass
"""
_OURS = f'''
import pytest

@pytest.mark.component("""{ADD}""")
@pytest.mark.memory("1 MiB")
def test_it(component):
    assert component.add(1, 2) == 3
'''
_BY_HAND = f'''
from threading import Timer

import wasmtime
from wasmtime import component as wc

def test_it():
    config = wasmtime.Config()
    config.consume_fuel = config.epoch_interruption = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    store.set_limits(2**20, 20_000, 64, 16, 16)
    store.set_fuel(1_000_000)
    store.set_epoch_deadline(1)
    deadline = Timer(0.1, engine.increment_epoch)
    deadline.start()
    instance = wc.Linker(engine).instantiate(store, wc.Component(engine, """{ADD}"""))
    assert instance.get_func(store, "add")(store, 1, 2) == 3
    deadline.cancel()
    store.get_fuel()
'''


def warm_load(session: Session) -> dict[str, Repeat]:
    """Load a large guest that has not changed from the cache, beside mapping its artefact."""
    guest, folder = session.folder / "large.wasm", session.folder / "cache"
    folder.mkdir(mode=0o700, exist_ok=True)
    guest.write_bytes(guest_of_code(100 if session.is_quick else 4_000))
    engine = WasmEngine(CompileCache(folder))
    engine.load(guest)
    time.sleep(SETTLED_S)  # until then, it may change without another time stamp
    engine.load(guest)
    artefact = max(folder.glob("*.cwasm"), key=lambda path: path.stat().st_size)
    return {
        "ours": repeated(lambda: engine.load(guest)),
        "other": repeated(lambda: wasmtime.Module.deserialize_file(engine.raw, str(artefact))),
    }


def two_threads(session: Session) -> dict[str, Repeat]:
    """Call guests of about half a millisecond on two threads, beside as many calls on one."""
    engine = WasmEngine()
    stores = [LimitedStore(engine, LIMITS).instantiate(engine.load(COUNT)) for _ in range(2)]
    rounds, times = (1_000, 1) if session.is_quick else (1_000_000, 10)

    def calls(instance: Instance) -> None:
        for _ in range(times):
            instance.call("count", rounds)

    def on_two() -> None:
        threads = [threading.Thread(target=calls, args=(instance,)) for instance in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def on_one() -> None:
        for instance in stores:
            calls(instance)

    return {"ours": repeated(on_two), "other": repeated(on_one)}


def idle_plugin(session: Session) -> dict[str, Repeat]:
    """Run pytest with the plugin but without a guest, beside pytest without the plugin."""
    test = _written(session.folder / "idle", _IDLE)
    return {"ours": _pytest(test, *_PLUGIN), "other": _pytest(test, *_EMPTY_PLUGIN)}


def marked_tests(session: Session) -> dict[str, Repeat]:
    """Collect tests with three markers each, beside as many tests without any."""
    number = 10 if session.is_quick else 1_000
    plain = "".join(f"def test_{n}(): pass\n" for n in range(number))
    marked = "import pytest\n" + "".join(_MARKED.format("memory", "fuel", "timeout_ms", n) for n in range(number))
    sides = {"ours": marked, "other": plain}
    return {
        side: _pytest(_written(session.folder / f"collected-{side}", text), "--collect-only", "-qq", *_PLUGIN)
        for side, text in sides.items()
    }


def foreign_markers(session: Session) -> dict[str, Repeat]:
    """Collect tests with three markers each, beside as many tests with three markers of nobody, without the plugin."""
    number = 10 if session.is_quick else 1_000
    ours = "".join(_MARKED.format("memory", "fuel", "timeout_ms", n) for n in range(number))
    others = "".join(_MARKED.format("one", "other", "third", n) for n in range(number))
    ini = "[pytest]\nmarkers =\n  one: of nobody\n  other: of nobody\n  third: of nobody\n"
    folders = [
        _written(session.folder / f"marks-{side}", "import pytest\n" + text)
        for side, text in (("a", ours), ("b", others))
    ]
    (folders[1] / "pytest.ini").write_text(ini)
    return {
        "ours": _pytest(folders[0], "--collect-only", "-qq", *_PLUGIN),
        "other": _pytest(folders[1], "--collect-only", "-qq", *_EMPTY_PLUGIN),
    }


def component_test(session: Session) -> dict[str, Repeat]:
    """Run one test with a component in pytest, beside the same by hand."""
    return {
        "ours": _pytest(_written(session.folder / "component", _OURS), *_PLUGIN),
        "other": _pytest(_written(session.folder / "by-hand", _BY_HAND), *_EMPTY_PLUGIN),
    }


def _written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "test_it.py").write_text(text)
    (folder / "nothing.py").touch()
    return folder


def _pytest(folder: Path, *options: str) -> Repeat:
    """Return the repetition of a run of pytest without other plugins, measured in processor time."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]

    def repeat(times: int) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(times):
            subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return repeat


RUNS = (
    ("warm load of a large guest", 3, "mapping the artefact", warm_load),
    ("two threads", 0.625, "one thread", two_threads),
    ("idle plugin", 1.03, "pytest without it", idle_plugin),
    ("1,000 marked tests collected", 1.15, "1,000 plain ones", marked_tests),
    ("1,000 tests with three markers each", 1.05, "foreign markers, no plugin", foreign_markers),
    ("component test, end to end", 1.1, "by hand, in pytest", component_test),
)
"""The rows: name, ratio to be reached, what it is compared with, and the function that prepares both sides."""
