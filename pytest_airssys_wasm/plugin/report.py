"""What is shown: the header line, and a section under each failing test that ran a guest."""

from __future__ import annotations

import os
import shlex
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from pytest_airssys_wasm.plugin.fixtures import STORE
from pytest_airssys_wasm.plugin.options import SETTINGS
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.limits import ResourceLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from pytest_airssys_wasm.plugin.options import Settings
    from pytest_airssys_wasm.runtime.store import LimitedStore
    from pytest_airssys_wasm.runtime.usage import Usage

T = TypeVar("T", int, float)

SECTION = "WebAssembly"
_MAX_FRAMES = 20
_MAX_NAME = 120
_MAX_OUTPUT = 4_000


def header(settings: Settings) -> str:
    """Version of wasmtime, the limits in force where no marker says otherwise, and the cache."""
    from platformdirs import user_cache_path

    fuel = settings.wasm_fuel.value if settings.wasm_fuel else ResourceLimits.DEFAULT_FUEL
    timeout_ms = settings.wasm_timeout_ms.value if settings.wasm_timeout_ms else ResourceLimits.DEFAULT_TIMEOUT_MS
    memory = _bytes(settings.wasm_memory.value) if settings.wasm_memory else "as each test says"
    folder = settings.wasm_cache_dir or user_cache_path("pytest-airssys-wasm", appauthor=False)
    return (
        f"wasm: wasmtime {version('wasmtime')}, memory {memory}, fuel {fuel:,}, timeout {timeout_ms:g} ms, "
        f"cache {folder}"
    )


def add_section(item: pytest.Item, report: pytest.TestReport, error: BaseException | None) -> None:
    """Say under a failing test what its guest used of its limits, and how to see it again."""
    store = item.stash.get(STORE, None)
    if store is None or not report.failed or report.when == "teardown":
        return
    lines = _lines(item, store, error)
    report.sections.append((SECTION, "\n".join(lines)))


def _lines(item: pytest.Item, store: LimitedStore, error: BaseException | None) -> Iterator[str]:
    if isinstance(error, WasmError):
        yield f"verdict  {error.verdict}"
    usage = error.usage if isinstance(error, WasmError) else None
    if usage is None and store.usage is not None:
        yield "of the last execution:"
    yield from _usage_lines(usage or store.usage, store.limits)
    if isinstance(error, WasmError) and error.frames:
        yield "guest frames, innermost first:"
        yield from (f"  {_cut(str(frame))} at 0x{frame.offset:x}" for frame in error.frames[:_MAX_FRAMES])
        if len(error.frames) > _MAX_FRAMES:
            yield f"  … and {len(error.frames) - _MAX_FRAMES} more"
    for name, written in (("stdout", store.stdout), ("stderr", store.stderr)):
        if written:
            yield f"guest {name}:"
            yield from (f"  {line}" for line in _text(written).splitlines())
    yield f"rerun    {rerun_command(item)}"


def _usage_lines(usage: Usage | None, limits: ResourceLimits) -> Iterator[str]:
    if usage is None:
        yield "no guest code was started"
        return
    fuel = usage.fuel
    used = f"{'' if fuel.is_exact else 'at least '}{fuel.consumed:,}"
    yield f"fuel     {used} of {_of(fuel.max_fuel, '{:,}'.format, fuel.consumed)}"
    yield f"time     {usage.wall_ms:.1f} ms of {_of(limits.timeout_ms, '{:g} ms'.format, usage.wall_ms)}"
    memory = _of(usage.memory_limit_bytes, _bytes, usage.peak_memory_bytes)
    refused = f", {usage.denied_growths} growth(s) refused" if usage.denied_growths else ""
    yield f"memory   peak {_bytes(usage.peak_memory_bytes)} of {memory}{refused}"


def _of(limit: T | None, write: Callable[[T], str], used: float) -> str:
    if limit is None:
        return "unlimited"
    written = write(limit)
    if not limit:
        return written
    share = 100 * used / limit
    return f"{written} ({share:.0f} %)" if share >= 10 else f"{written} ({share:.2g} %)"


def rerun_command(item: pytest.Item) -> str:
    """A command line that runs this test again under the same limits."""
    path, separator, names = item.nodeid.partition("::")
    seen_from_here = os.path.relpath(item.config.rootpath / path, item.config.invocation_params.dir)
    return shlex.join(["pytest", *item.config.stash[SETTINGS].flags, seen_from_here + separator + names])


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} B"


def _text(written: bytes) -> str:
    text = written.decode("utf-8", "backslashreplace")
    if len(text) <= _MAX_OUTPUT:
        return text
    return f"… ({len(text) - _MAX_OUTPUT:,} characters before)\n{text[-_MAX_OUTPUT:]}"


def _cut(name: str) -> str:
    printable = "".join(character if character.isprintable() else "?" for character in name)
    return printable if len(printable) <= _MAX_NAME else printable[: _MAX_NAME - 1] + "…"
