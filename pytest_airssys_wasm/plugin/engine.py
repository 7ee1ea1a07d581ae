"""The engine that all tests of a pytest process share.

It is created on first use, and closed at the end of the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation
    from pytest_airssys_wasm.runtime.base.outcome import Finished
    from pytest_airssys_wasm.runtime.compile.cache import CompileCache
    from pytest_airssys_wasm.runtime.engine import WasmEngine

_ON_EXECUTION: pytest.StashKey[Callable[[Finished], None]] = pytest.StashKey()
_ENGINE: pytest.StashKey[WasmEngine] = pytest.StashKey()


def listen(config: pytest.Config, listener: Callable[[Finished], None]) -> None:
    """Have the engines of this session call a function with each execution, after those that were given before."""
    known = config.stash.get(_ON_EXECUTION, None)
    config.stash[_ON_EXECUTION] = listener if known is None else _one_after_the_other(known, listener)


def _one_after_the_other(
    first: Callable[[Finished], None], second: Callable[[Finished], None]
) -> Callable[[Finished], None]:
    def tell_both(finished: Finished) -> None:
        first(finished)
        second(finished)

    return tell_both


def the_engine(config: pytest.Config) -> WasmEngine:
    """Return the engine of this process, with the compile cache and the isolation of the settings."""
    if _ENGINE not in config.stash:
        isolation = None
        if config.stash[SETTINGS].wasm_isolation == "process":
            from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation

            isolation = ProcessIsolation()
        config.stash[_ENGINE] = new_engine(config, _cache(config), isolation)
    return config.stash[_ENGINE]


def new_engine(config: pytest.Config, cache: CompileCache | None, isolation: ProcessIsolation | None) -> WasmEngine:
    """Return a new engine that follows the settings, and is closed at the end of the session.

    The timeouts of the isolation are multiplied by `--wasm-timeout-scale`.
    """
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.manifest.loading import PLATFORM_RANGE

    settings = config.stash[SETTINGS]
    engine = WasmEngine(
        cache,
        memory_range=settings.wasm_memory_range or PLATFORM_RANGE,
        on_execution=config.stash.get(_ON_EXECUTION, None),
        isolation=None if isolation is None else isolation.scaled(settings.wasm_timeout_scale),
    )
    config.add_cleanup(engine.close)
    return engine


def clear_cache(config: pytest.Config) -> None:
    """Remove the compiled components from the cache if `--wasm-cache-clear` is given: once, before any xdist worker
    starts.
    """
    if config.stash[SETTINGS].wasm_cache_clear and not hasattr(config, "workerinput"):
        _cache(config).clear()


def _cache(config: pytest.Config) -> CompileCache:
    from pytest_airssys_wasm.plugin.report.progress import teller
    from pytest_airssys_wasm.runtime.compile.cache import CompileCache

    return CompileCache(config.stash[SETTINGS].wasm_cache_dir, on_progress=teller(config))
