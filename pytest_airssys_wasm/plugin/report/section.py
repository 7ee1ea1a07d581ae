"""The section under a failing test that ran a guest: verdict, call, limits and use, frames, output, rerun."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_airssys_wasm.analysis.enough import Enough
    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.errors import WasmError

T = TypeVar("T", int, float)

_MAX_FRAMES = 20
_MAX_DENIALS = 5
_MAX_NAME = 120
_MAX_OUTPUT = 4_000


def error_lines(error: WasmError, enough: Enough | None) -> Iterator[str]:
    """What ended an execution, and how much it used."""
    yield f"verdict  {error.verdict}"
    if error.call is not None:
        yield f"call     {printable(error.call.text)}"
        yield from usage_lines(error.usage, error.call.limits["timeout_ms"])
    if enough is not None:
        yield f"enough   {enough_text(enough)}"
    if error.frames:
        yield "guest frames, innermost first:"
        yield from (f"  {_cut(str(frame))} at 0x{frame.offset:x}" for frame in error.frames[:_MAX_FRAMES])
        if len(error.frames) > _MAX_FRAMES:
            yield f"  … and {len(error.frames) - _MAX_FRAMES} more"


def usage_lines(usage: Usage | None, timeout_ms: float | None) -> Iterator[str]:
    """Use beside limit, and its share."""
    if usage is None:
        yield "no guest code was started"
        return
    fuel = usage.fuel
    used = f"{fuel.consumed:,}" if fuel.is_exact else f"at least {fuel.consumed:,}" if fuel.consumed else "unknown"
    yield f"fuel     {used} of {_of(fuel.max_fuel, '{:,}'.format, fuel.consumed)}"
    yield f"time     {usage.wall_ms:.1f} ms of {_of(timeout_ms, '{:g} ms'.format, usage.wall_ms)}"
    memory = _of(usage.memory_limit_bytes, size_text, usage.peak_memory_bytes)
    refused = f", {usage.denied_growths} growth(s) refused" if usage.denied_growths else ""
    yield f"memory   peak {size_text(usage.peak_memory_bytes)} of {memory}{refused}"
    yield from (f"denied   {_cut(capability)}" for capability in usage.denied_capabilities[:_MAX_DENIALS])


def output_lines(stdout: bytes, stderr: bytes) -> Iterator[str]:
    """What the guest wrote."""
    for name, written in (("stdout", stdout), ("stderr", stderr)):
        if written:
            yield f"guest {name}:"
            yield from (f"  {printable(line)}" for line in _text(written).splitlines())


def enough_text(enough: Enough) -> str:
    """What a run with the limit lifted showed, as a sentence."""
    name = enough.limit
    if enough.needed is not None:
        unit = {"fuel": "{:,.0f} fuel", "timeout_ms": "about {:.0f} ms"}.get(name)
        needed = unit.format(enough.needed) if unit else size_text(int(enough.needed))
        return f"{needed}: run again with this limit lifted, it returned"
    if enough.verdict is Verdict.TIMEOUT:
        return "unknown: run again with this limit lifted, it had not returned after 1 s; does it end at all?"
    return f"unknown: run again with this limit lifted, it ended with {enough.verdict}"


def size_text(count: int) -> str:
    """Bytes in the largest fitting unit."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} B"


def _of(limit: T | None, write: Callable[[T], str], used: float) -> str:
    if limit is None:
        return "unlimited"
    written = write(limit)
    if not limit:
        return written
    share = 100 * used / limit
    return f"{written} ({share:.0f} %)" if share >= 10 else f"{written} ({share:.2g} %)"


def _text(written: bytes) -> str:
    text = written.decode("utf-8", "backslashreplace")
    if len(text) <= _MAX_OUTPUT:
        return text
    return f"… ({len(text) - _MAX_OUTPUT:,} characters before)\n{text[-_MAX_OUTPUT:]}"


def _cut(name: str) -> str:
    text = printable(name)
    return text if len(text) <= _MAX_NAME else text[: _MAX_NAME - 1] + "…"
