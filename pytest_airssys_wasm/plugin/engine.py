"""One engine for a pytest process: made on first use, closed when pytest ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.options import SETTINGS
from pytest_airssys_wasm.plugin.progress import teller

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.cache import CompileCache
    from pytest_airssys_wasm.runtime.engine import WasmEngine

_ENGINE = pytest.StashKey["WasmEngine"]()


def the_engine(config: pytest.Config) -> WasmEngine:
    """The engine, with the compile cache of the settings."""
    if _ENGINE not in config.stash:
        from pytest_airssys_wasm.runtime.engine import WasmEngine

        config.stash[_ENGINE] = WasmEngine(cache=_cache(config))
    return config.stash[_ENGINE]


def close_engine(config: pytest.Config) -> None:
    """Close the engine, if one was made."""
    if _ENGINE in config.stash:
        config.stash[_ENGINE].close()
        del config.stash[_ENGINE]


def clear_cache(config: pytest.Config) -> None:
    """Remove the compiled components, as `--wasm-cache-clear` asks: once, before any xdist worker starts."""
    if config.stash[SETTINGS].wasm_cache_clear and not hasattr(config, "workerinput"):
        _cache(config).clear()


def _cache(config: pytest.Config) -> CompileCache:
    from pytest_airssys_wasm.runtime.cache import CompileCache

    return CompileCache(config.stash[SETTINGS].wasm_cache_dir, on_progress=teller(config))
