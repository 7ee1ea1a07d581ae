"""The lines in the header of a run: version, limits and cache, and the runtime behind an adapter."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin.fuel_against_time import session_lines
from pytest_airssys_wasm.plugin.settings import DEFAULT, SETTINGS
from pytest_airssys_wasm.runtime.budget.limit_text import WORDS, limit_text
from pytest_airssys_wasm.runtime.compile.user_folder import user_cache_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

    from pytest_airssys_wasm.plugin.given import Given
    from pytest_airssys_wasm.plugin.settings import Settings


def header_lines(config: pytest.Config) -> list[str]:
    """Return the lines of the plugin in the header of a run."""
    settings = config.stash[SETTINGS]
    folder = settings.wasm_cache_dir or user_cache_path()
    isolation = f"isolation {settings.wasm_isolation}, " if settings.wasm_isolation else ""
    lines = [f"wasm: wasmtime {version('wasmtime')}; {limits_text(settings)}; {isolation}cache {folder}"]
    limits, scale = _limits(settings), settings.wasm_timeout_scale
    timeout_ms = limits["timeout_ms"].value
    lines.extend(session_lines(config, limits["fuel"].value, None if timeout_ms is None else timeout_ms * scale))
    if settings.wasm_runtime is not None:
        from pytest_airssys_wasm.plugin import adapter

        if found := adapter.runtime_name(config):
            lines.append(f"wasm suite: {' '.join(found)} ({settings.wasm_runtime})")
    return lines


def limits_text(settings: Settings) -> str:
    """Return the limits that the command line gives, and those of tests whose markers and manifest give none."""
    ordered = settings.limits(from_command_line=True)
    defaults = {name: one for name, one in _limits(settings).items() if name not in ordered}
    no_memory = [] if "memory" in {**ordered, **defaults} else ["memory as each test says"]
    parts = [", ".join(_each(ordered)), ", ".join([*no_memory, *_each(defaults)])]
    if parts[1]:
        parts[1] = f"defaults: {parts[1]}"
    scale = settings.wasm_timeout_scale
    if scale != 1:
        parts.append(f"timeouts times {scale:g}")
    return "; ".join(filter(None, parts))


def _each(limits: Mapping[str, Given]) -> Iterator[str]:
    for name, word in WORDS.items():
        if name in limits:
            origin = "" if limits[name].where == DEFAULT else f" ({limits[name].where.removeprefix('ini value ')})"
            yield f"{word} {limit_text(name, limits[name].value)}{origin}"


def _limits(settings: Settings) -> dict[str, Given]:
    return {
        **settings.default_limits(),
        **settings.limits(from_command_line=False),
        **settings.limits(from_command_line=True),
    }
