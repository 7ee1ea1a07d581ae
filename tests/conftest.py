"""The fixtures of every folder of tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_airssys_wasm.runtime.compile.cache import CompileCache
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from support.fork_server import Forks

pytest.register_assert_rewrite("support")

# Tests start hundreds of processes, of which each would compile this package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Beside a busy machine an example may take as long as it likes.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")


def pytest_collection_finish() -> None:
    """The collector passes over what stays to the end: to go through thousands of tests takes it 80 ms, each time."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def plain_pytest_in_processes() -> Iterator[None]:
    """The pytest that tests start as a process runs without plugins of others that warn or shuffle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", "-p no:asyncio -p no:randomly")
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible_processes() -> None:
    """Take SIGINT as usual: processes that a shell starts in the background ignore it, and so would each child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Processes in which pytest runs."""
    from support.fork_server import Forks

    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> CompileCache:
    """A cache for engines that compile in processes: the guest of many tests takes one process, and not one each."""
    from pytest_airssys_wasm import CompileCache

    return CompileCache(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="session")
def new_engine(compile_cache: CompileCache) -> Callable[[str], WasmEngine]:
    """Makes an engine for guests in this process (`thread`) or in others (`process`)."""
    from pytest_airssys_wasm import ProcessIsolation, WasmEngine

    def make(mode: str) -> WasmEngine:
        return WasmEngine(compile_cache, isolation=ProcessIsolation()) if mode == "process" else WasmEngine()

    return make


@pytest.fixture(scope="session")
def engine(new_engine: Callable[[str], WasmEngine]) -> Iterator[WasmEngine]:
    """One engine for all tests of the runtime. `ISOLATION=process pytest tests/runtime` runs their guests elsewhere."""
    engine = new_engine(os.environ.get("ISOLATION", "thread"))
    yield engine
    engine.close()


@pytest.fixture
def own_engine() -> Iterator[WasmEngine]:
    """An engine of this test alone: what others leave to be released counts in the figures of `engine`."""
    from pytest_airssys_wasm import WasmEngine

    with WasmEngine() as engine:
        yield engine


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage is collected meanwhile: Python drops what a signal handler raises in a callback of the collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
