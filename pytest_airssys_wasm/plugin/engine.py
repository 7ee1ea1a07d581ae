"""What a pytest process shares: one engine and the suite's runners. Made on first use, released at the end."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.adapter import the_adapter
from pytest_airssys_wasm.plugin.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pytest_airssys_wasm.conformance.runner import CaseRunner
    from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation
    from pytest_airssys_wasm.protocol.messages import Runtime
    from pytest_airssys_wasm.runtime.base.call import Finished
    from pytest_airssys_wasm.runtime.compile.cache import CompileCache
    from pytest_airssys_wasm.runtime.engine import WasmEngine

WATCHER: pytest.StashKey[Callable[[Finished], None]] = pytest.StashKey()
"""Who is told of each execution, where somebody wants to know."""
_ENGINE = pytest.StashKey["WasmEngine"]()
_RUNNER = pytest.StashKey["CaseRunner"]()
_ISOLATED_RUNNER = pytest.StashKey["CaseRunner"]()
_RELEASE = pytest.StashKey[ExitStack]()


def the_engine(config: pytest.Config) -> WasmEngine:
    """The engine, with the compile cache and the isolation of the settings."""
    if _ENGINE not in config.stash:
        from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation

        isolation = ProcessIsolation() if config.stash[SETTINGS].wasm_isolation == "process" else None
        config.stash[_ENGINE] = _new_engine(config, _cache(config), isolation)
    return config.stash[_ENGINE]


def the_runner(config: pytest.Config, needs: Collection[str] = ()) -> CaseRunner:
    """The runner of conformance cases that need this.

    Those about the compiler have an engine of their own: with tight bounds, that the suite be quick, and without the
    cache, in which bombs would take the place of guests.
    """
    is_own = "isolated-compile" in needs and config.stash[SETTINGS].wasm_runtime is None
    key = _ISOLATED_RUNNER if is_own else _RUNNER
    if key not in config.stash:
        from pytest_airssys_wasm.conformance.inprocess import BOMB_ISOLATION, InProcessRuntime
        from pytest_airssys_wasm.conformance.runner import CaseRunner
        from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder

        runtime: Runtime
        if is_own:
            runtime = InProcessRuntime(_new_engine(config, None, BOMB_ISOLATION))
        else:
            runtime = the_adapter(config) or InProcessRuntime(the_engine(config))
        scratch = _at_end(config).enter_context(ScratchFolder("suite"))
        config.stash[key] = CaseRunner(runtime, scratch)
    return config.stash[key]


def release(config: pytest.Config) -> None:
    """Close what was made, in the reverse order."""
    if _RELEASE in config.stash:
        config.stash[_RELEASE].close()


def clear_cache(config: pytest.Config) -> None:
    """Remove the compiled components, as `--wasm-cache-clear` asks: once, before any xdist worker starts."""
    if config.stash[SETTINGS].wasm_cache_clear and not hasattr(config, "workerinput"):
        _cache(config).clear()


def _new_engine(config: pytest.Config, cache: CompileCache | None, isolation: ProcessIsolation | None) -> WasmEngine:
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.manifest.loading import PLATFORM_RANGE

    engine = WasmEngine(
        cache,
        memory_range=config.stash[SETTINGS].wasm_memory_range or PLATFORM_RANGE,
        on_execution=config.stash.get(WATCHER, None),
        isolation=isolation,
    )
    _at_end(config).callback(engine.close)
    return engine


def _at_end(config: pytest.Config) -> ExitStack:
    return config.stash.setdefault(_RELEASE, ExitStack())


def _cache(config: pytest.Config) -> CompileCache:
    from pytest_airssys_wasm.plugin.report.progress import teller
    from pytest_airssys_wasm.runtime.compile.cache import CompileCache

    return CompileCache(config.stash[SETTINGS].wasm_cache_dir, on_progress=teller(config))
