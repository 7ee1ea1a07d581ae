"""What is shown: the header line, and a section under each failing test that ran a guest."""

from __future__ import annotations

import os
import shlex
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin import adapter as foreign
from pytest_airssys_wasm.plugin.fixtures import STORE
from pytest_airssys_wasm.plugin.report import section
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import WasmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.analysis.enough import Enough
    from pytest_airssys_wasm.plugin.settings import Settings

SECTION = "WebAssembly"
RERUN_FLAGS = pytest.StashKey[tuple[str, ...]]()
"""On an item that a plain `pytest <node id>` would not collect: the flags that it takes."""
_RERUNS_S = 10.0
"""What finding out how much would have been enough may take of a whole session."""
_RERUNS_SPENT_S = pytest.StashKey[float]()


def header(config: pytest.Config) -> list[str]:
    """Version of wasmtime, the limits in force where no marker says otherwise, the cache; the foreign runtime."""
    from platformdirs import user_cache_path

    settings = config.stash[SETTINGS]
    folder = settings.wasm_cache_dir or user_cache_path("pytest-airssys-wasm", appauthor=False)
    isolation = f", isolation {settings.wasm_isolation}" if settings.wasm_isolation else ""
    lines = [f"wasm: wasmtime {version('wasmtime')}, {limits_text(settings)}{isolation}, cache {folder}"]
    if found := foreign.who(config):
        lines.append(f"wasm suite: {' '.join(found)} ({settings.wasm_runtime})")
    return lines


def limits_text(settings: Settings) -> str:
    """The limits in force where no marker or manifest says otherwise."""
    fuel = settings.wasm_fuel.value if settings.wasm_fuel else ResourceLimits.DEFAULT_FUEL
    timeout_ms = settings.wasm_timeout_ms.value if settings.wasm_timeout_ms else ResourceLimits.DEFAULT_TIMEOUT_MS
    memory = section.size_text(settings.wasm_memory.value) if settings.wasm_memory else "as each test says"
    return f"memory {memory}, fuel {fuel:,}, timeout {timeout_ms:g} ms"


def add_section(item: pytest.Item, report: pytest.TestReport, raised: BaseException) -> None:
    """Say under a failing test what its guest used of its limits, and how to see it again."""
    if not report.failed or report.when == "teardown":
        return
    lines = [*_lines(item, _guest_error(raised))]
    if lines or RERUN_FLAGS in item.stash:
        lines.append(f"rerun    {rerun_command(item)}")
        report.sections.append((SECTION, "\n".join(lines)))


def _lines(item: pytest.Item, error: WasmError | None) -> Iterator[str]:
    store = item.stash.get(STORE, None)
    if error is not None and (error.call is not None or store is not None):
        yield from section.error_lines(error, _enough(item.config, error))
        yield from section.output_lines(error.stdout, error.stderr)
    elif store is not None:
        if store.usage is not None:
            yield "of the last execution:"
        yield from section.usage_lines(store.usage, store.limits.timeout_ms)
        yield from section.output_lines(store.stdout, store.stderr)


def _guest_error(raised: BaseException) -> WasmError | None:
    """The error of a guest behind what was raised."""
    error: BaseException | None = raised
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, WasmError):
            return error
        seen.add(id(error))
        error = error.__cause__
    return None


def _enough(config: pytest.Config, error: WasmError) -> Enough | None:
    spent_s = config.stash.get(_RERUNS_SPENT_S, 0.0)
    if error.call is None or spent_s > _RERUNS_S:
        return None
    from pytest_airssys_wasm.analysis.enough import how_much_is_enough
    from pytest_airssys_wasm.runtime.store.repetition import repetition_of

    repetition, started = repetition_of(error.call), monotonic()
    if repetition is None:
        return None
    engine = repetition.engine
    watcher, engine.on_execution = engine.on_execution, None  # a re-run is no execution of the test
    try:
        return how_much_is_enough(error)
    finally:
        engine.on_execution = watcher
        config.stash[_RERUNS_SPENT_S] = spent_s + monotonic() - started


def rerun_command(item: pytest.Item) -> str:
    """A command line that runs this test again under the same limits."""
    path, separator, names = item.nodeid.partition("::")
    seen_from_here = os.path.relpath(item.config.rootpath / path, item.config.invocation_params.dir)
    flags = (*item.stash.get(RERUN_FLAGS, ()), *item.config.stash[SETTINGS].flags)
    return shlex.join(["pytest", *flags, seen_from_here + separator + names])
