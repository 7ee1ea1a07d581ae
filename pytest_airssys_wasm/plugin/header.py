"""The lines in the header of a run: version, limits and cache, and the runtime behind an adapter."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from pytest_airssys_wasm.plugin.settings import DEFAULT, SETTINGS
from pytest_airssys_wasm.runtime.budget.limit_text import WORDS, limit_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_airssys_wasm.plugin.settings import Given, Settings


def header_lines(config: pytest.Config) -> list[str]:
    """Return the lines of the plugin in the header of a run."""
    settings = config.stash[SETTINGS]
    folder = settings.wasm_cache_dir or user_cache_path("pytest-airssys-wasm", appauthor=False)
    isolation = f", isolation {settings.wasm_isolation}" if settings.wasm_isolation else ""
    lines = [f"wasm: wasmtime {version('wasmtime')}, {limits_text(settings)}{isolation}, cache {folder}"]
    lines.extend(_speed_lines(settings))
    if settings.wasm_runtime is not None:
        from pytest_airssys_wasm.plugin import adapter

        if found := adapter.runtime_name(config):
            lines.append(f"wasm suite: {' '.join(found)} ({settings.wasm_runtime})")
    return lines


def limits_text(settings: Settings) -> str:
    """Return the limits of tests without markers. A manifest overrides those of the ini file, and the defaults."""
    found = _limits(settings)
    parts = ["memory as each test says"] if "memory" not in found else []
    for name, word in WORDS.items():
        if name in found:
            origin = "" if found[name].where == DEFAULT else f" ({found[name].where.removeprefix('ini value ')})"
            parts.append(f"{word} {limit_text(name, found[name].value)}{origin}")
    scale = settings.wasm_timeout_scale
    return ", ".join(parts) + (f", timeouts times {scale:g}" if scale != 1 else "")


def _limits(settings: Settings) -> dict[str, Given]:
    return {
        **settings.default_limits(),
        **settings.limits(from_command_line=False),
        **settings.limits(from_command_line=True),
    }


_LEAST_FUEL_PER_MS = 100_000
"""The fuel per millisecond that every machine can use. If the limits need less, nothing is measured."""


def _speed_lines(settings: Settings) -> Iterator[str]:
    """Yield a line if a guest cannot use up the fuel limit of the session before its timeout.

    Such a guest ends at the timeout on one machine, and with its fuel used up on another.
    """
    limits = _limits(settings)
    fuel, timeout_ms = limits["fuel"].value, limits["timeout_ms"].value * settings.wasm_timeout_scale
    if not timeout_ms or fuel <= _LEAST_FUEL_PER_MS * timeout_ms:
        return
    from pytest_airssys_wasm.analysis.speed import BULK, fuel_per_ms
    from pytest_airssys_wasm.runtime.errors import WasmError

    try:
        speeds = fuel_per_ms()
    except (OSError, WasmError):
        return  # the tests will say what keeps guests from running here
    fastest = max((speed for kind, speed in speeds.items() if kind != BULK), default=math.inf)
    needed_ms = fuel / fastest
    if needed_ms <= timeout_ms:
        return
    by_kind = ", ".join(f"{kind} {_two_digits(speed):,}" for kind, speed in speeds.items())
    yield (
        f"wasm: this machine takes about {_two_digits(needed_ms):,} ms or more for {limit_text('fuel', fuel)} fuel, so "
        f"the timeout of {limit_text('timeout_ms', timeout_ms)} comes first (fuel per ms: {by_kind})"
    )


def _two_digits(number: float) -> int:
    """Round to two significant digits, because further ones vary from run to run."""
    return int(float(f"{number:.2g}"))
