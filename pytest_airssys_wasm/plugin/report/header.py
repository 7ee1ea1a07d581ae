"""The lines in the header of a run: version, limits and cache, and the runtime behind an adapter."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin import adapter
from pytest_airssys_wasm.plugin.report.section import size_text
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

if TYPE_CHECKING:
    import pytest

    from pytest_airssys_wasm.plugin.settings import Settings


def header_lines(config: pytest.Config) -> list[str]:
    """Return the lines of the plugin in the header of a run."""
    from platformdirs import user_cache_path

    settings = config.stash[SETTINGS]
    folder = settings.wasm_cache_dir or user_cache_path("pytest-airssys-wasm", appauthor=False)
    isolation = f", isolation {settings.wasm_isolation}" if settings.wasm_isolation else ""
    lines = [f"wasm: wasmtime {version('wasmtime')}, {limits_text(settings)}{isolation}, cache {folder}"]
    if found := adapter.runtime_name(config):
        lines.append(f"wasm suite: {' '.join(found)} ({settings.wasm_runtime})")
    return lines


def limits_text(settings: Settings) -> str:
    """Return the limits of tests without markers and manifests, as one line."""
    fuel = settings.wasm_fuel.value if settings.wasm_fuel else ResourceLimits.DEFAULT_FUEL
    timeout_ms = settings.wasm_timeout_ms.value if settings.wasm_timeout_ms else ResourceLimits.DEFAULT_TIMEOUT_MS
    memory = size_text(settings.wasm_memory.value) if settings.wasm_memory else "as each test says"
    return f"memory {memory}, fuel {fuel:,}, timeout {timeout_ms:g} ms"
