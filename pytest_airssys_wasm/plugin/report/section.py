"""The section under a failing test that ran a guest: verdict, call, limits and usage, frames, output, and a command to
run the test again.
"""

from __future__ import annotations

import os
import shlex
from itertools import groupby, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.item_settings import origins_of
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.stash import DENIED_GROWTHS, OVERRULED, RERUN_FLAGS, ROOT_AND_START, STORE
from pytest_airssys_wasm.runtime.base.figures import measured_ms, percent, size
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.runtime.budget.limit_text import limit_text
from pytest_airssys_wasm.runtime.errors import WasmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_airssys_wasm.analysis.backtraces import SourceLine, SourceLineReader
    from pytest_airssys_wasm.analysis.growths import MemoryGrowths
    from pytest_airssys_wasm.runtime.base.outcome import Frame
    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.store.store import LimitedStore

SECTION = "WebAssembly"
_MAX_FRAMES = 20
_MAX_INLINED = 8
_MAX_DENIALS = 5
_MAX_NAME = 120
_MAX_OUTPUT = 4_000
_LEAST_WAIT_MS = 5.0
"""The minimum time without a processor that is shown, in milliseconds. Every thread waits for some time."""
_RERUNS_OF_A_FAILURE_S = 3.0
"""The time in seconds that re-runs may take that find out which limit is to blame for a failure."""
_GROWTHS_OF_A_FAILURE_S = 1.0
"""The time in seconds that re-runs may take that find the growths of memory before a failure."""
_GROWTH_FRAMES = 3
"""The number of functions that are shown of each growth of memory."""
_BAR = 16
"""The number of characters of a bar that stands for the whole memory limit."""
_RERUNS_S = 10.0
"""The time in seconds that all re-runs of a session may take together."""
_RERUNS_SPENT_S = pytest.StashKey[float]()
_SOURCE_LINES: pytest.StashKey[SourceLineReader] = pytest.StashKey()


def add_section(item: pytest.Item, report: pytest.TestReport, raised: BaseException) -> None:
    """Add a section to the report of a failing test: its guest's usage beside the limits, and a command to run the test
    again.
    """
    if not report.failed or report.when == "teardown":
        return
    lines: list[str] = []
    with telling(lambda mishap: lines.append(f"… the rest could not be written: {mishap}")):
        lines.extend(_lines(item, _guest_error(raised)))  # those before a mishap stay
    if lines or RERUN_FLAGS in item.stash:
        lines += _overruled_lines(item)
        with telling(lambda mishap: lines.append(f"rerun    unknown: {mishap}")):
            lines.append(f"rerun    {_rerun_command(item)}")
        append_section(report, SECTION, lines)


def append_section(report: pytest.TestReport, name: str, lines: Iterable[str]) -> None:
    """Add a section to the report of a failure, as a part of its text, so that JUnit files have it too."""
    text = "\n".join(lines)
    add = getattr(report.longrepr, "addsection", None)
    if add is None:
        report.sections.append((name, text))
    else:
        add(name, text)


def add_remarks(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add a section to the report of a passing test if its guests were refused memory, or if the command line replaced
    limits of its manifest. pytest shows it with `-rA` and `-rP`.
    """
    if not report.passed or report.when != "call":
        return
    lines = [*_overruled_lines(item)]
    refused = dict(item.user_properties).get(DENIED_GROWTHS, 0)
    if isinstance(refused, int) and refused:
        lines.append(f"refused  {counted(refused, 'growth')} of memory, by the memory limit")
    if lines:
        report.sections.append((SECTION, "\n".join(lines)))


def _overruled_lines(item: pytest.Item) -> Iterator[str]:
    yield from (f"limit    {value}" for name, value in item.user_properties if name == OVERRULED)


def _refusal_lines(store: LimitedStore) -> Iterator[str]:
    """Yield a line when the memory limit refused growths in a test's store, which the guest may have survived."""
    total = store.total
    if total is not None and total.denied_growths:
        limit = size(store.limits.memory)
        yield f"refused  {counted(total.denied_growths, 'growth')} of memory in this test; the limit is {limit}"


def _lines(item: pytest.Item, error: WasmError | None) -> Iterator[str]:
    store = item.stash.get(STORE, None)
    if error is not None and (error.call is not None or store is not None):
        yield from _error_lines(error, item.config, _origins(item, error))
        yield from _growth_lines(error, item.config)
        # First what the guest says itself: an interpreter writes the traceback of its program to stderr, and the frames
        # are those of the interpreter.
        yield from _output_lines(error.stdout, error.stderr)
        yield from _frame_lines(error, item.config)
    elif store is not None:
        if store.usage is not None:
            yield "of the last execution:"
        yield from _usage_lines(store.usage, store.limits.timeout_ms, _origins_of(item, store.limits))
        yield from _output_lines(store.stdout, store.stderr)
    earlier = 0
    if store is not None and store.usage is not None and store.total is not None:
        earlier = store.total.denied_growths - store.usage.denied_growths
    if store is not None and earlier:
        yield from _refusal_lines(store)


def _origins(item: pytest.Item, error: WasmError) -> Mapping[str, str]:
    from pytest_airssys_wasm.runtime.store.repetition import repetition_of

    repetition = repetition_of(error.call)
    return {} if repetition is None else _origins_of(item, repetition.limits)


def _origins_of(item: pytest.Item, limits: ResourceLimits) -> Mapping[str, str]:
    """Return the places of limits, as far as they are those of the test and not some that it made itself."""
    try:
        return origins_of(item, limits)
    except WasmError:  # which has failed the test already
        return {}


def _guest_error(raised: BaseException) -> WasmError | None:
    """Return the error of a guest that caused the failure; `None` if no guest did."""
    error: BaseException | None = raised
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, WasmError):
            return error
        seen.add(id(error))
        error = error.__cause__
    return None


def _blame(config: pytest.Config, error: WasmError) -> Iterator[str]:
    """Yield what the call would have needed and what else re-runs tell, or why a limit that ended it was not lifted."""
    from pytest_airssys_wasm.analysis.blaming import blame
    from pytest_airssys_wasm.analysis.errors import CannotRepeat
    from pytest_airssys_wasm.analysis.lifted_limits import limit_of

    has_limit = limit_of(error) is not None
    if error.call is None or not (has_limit or error.verdict in (Verdict.TRAP, Verdict.EXIT)):
        return
    spent_s = config.stash.get(_RERUNS_SPENT_S, 0.0)
    if spent_s >= _RERUNS_S:
        if has_limit:
            yield f"unknown: re-runs have taken {_RERUNS_S:g} s of this session; run this test alone"
        return
    started = monotonic()
    try:
        time_s = min(_RERUNS_OF_A_FAILURE_S, _RERUNS_S - spent_s)
        yield from blame(error, ceilings=config.stash[SETTINGS].ceilings, time_s=time_s).sentences
    except CannotRepeat as obstacle:
        if has_limit:
            yield f"unknown: {printable(str(obstacle))}"
    finally:
        config.stash[_RERUNS_SPENT_S] = spent_s + monotonic() - started


def _rerun_command(item: pytest.Item) -> str:
    """Return the command line that runs a test again under the same limits."""
    path, separator, names = item.nodeid.partition("::")
    here = (item.config.rootpath, item.config.invocation_params.dir)
    root, start = getattr(item.config, "workerinput", {}).get(ROOT_AND_START, here)
    # The node id of a file outside the root directory is its path.
    seen_from_here = path if Path(path).is_absolute() else os.path.relpath(Path(root, path), start)
    flags = (*item.stash.get(RERUN_FLAGS, ()), *item.config.stash[SETTINGS].flags)
    return shlex.join(["pytest", *flags, seen_from_here + separator + names])


def _error_lines(error: WasmError, config: pytest.Config, origins: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines about the end of an execution and its usage."""
    yield f"verdict  {error.verdict}"
    if error.call is not None:
        yield f"call     {printable(error.call.text)}"
        yield from _usage_lines(error.usage, error.call.limits["timeout_ms"], origins)
    found: list[str] = []
    with telling(lambda mishap: found.append(f"unknown: it could not be run again: {mishap}")):
        found.extend(_blame(config, error))
    yield from (f"blame    {text}" for text in found)


def _growth_lines(error: WasmError, config: pytest.Config) -> Iterator[str]:
    """Yield the growths of memory in a call, as bars up to the limit, if the limit refused one after some others."""
    usage, spent_s = error.usage, config.stash.get(_RERUNS_SPENT_S, 0.0)
    if usage is None or error.call is None or not usage.denied_growths or spent_s >= _RERUNS_S:
        return
    from pytest_airssys_wasm.analysis.errors import CannotRepeat
    from pytest_airssys_wasm.analysis.growths import memory_growths

    started = monotonic()
    try:
        time_s = min(_GROWTHS_OF_A_FAILURE_S, _RERUNS_S - spent_s)
        found = memory_growths(error, ceilings=config.stash[SETTINGS].ceilings, time_s=time_s)
    except CannotRepeat:
        return  # which the line `blame` has told
    finally:
        config.stash[_RERUNS_SPENT_S] = spent_s + monotonic() - started
    if all(growth.memory_bytes is None for growth in found.growths):
        return
    functions = _functions_of(found, error, config)
    yield f"growths of memory, up to the limit of {size(usage.memory_limit_bytes)}:"
    yield _growth_line(found.initial_bytes, usage.memory_limit_bytes, "at first")
    for growth in found.growths:
        names = " < ".join(map(functions.__getitem__, growth.frames[:_GROWTH_FRAMES]))
        where = f"with {growth.fuel:,} fuel" + (f", in {names}" if names else "")
        if growth.memory_bytes is not None:
            yield _growth_line(growth.memory_bytes, usage.memory_limit_bytes, where)
        if growth.refused:
            yield f"  {'refused' + f' {growth.refused:,} times' * (growth.refused > 1):<{_BAR + 12}} {where}"
    if not found.is_complete:
        yield "  … and more"


def _functions_of(found: MemoryGrowths, error: WasmError, config: pytest.Config) -> Mapping[Frame, str]:
    """Return the name of the function of each frame, with its source line where that is known."""
    from pytest_airssys_wasm.analysis.backtraces import SourceLineReader
    from pytest_airssys_wasm.runtime.store.repetition import repetition_of

    frames = [*dict.fromkeys(frame for growth in found.growths for frame in growth.frames[:_GROWTH_FRAMES])]
    repetition = repetition_of(error.call)
    lines: Sequence[SourceLine | None] = ()
    if repetition is not None:
        reader = config.stash.setdefault(_SOURCE_LINES, SourceLineReader())
        lines = reader.lines_in(repetition.component, frames).lines
    return {
        frame: _cut(frame.function or "<unnamed>") + ("" if line is None else f" ({_cut_before(str(line))})")
        for frame, line in zip_longest(frames, lines)
    }


def _growth_line(memory_bytes: int, limit_bytes: int, where: str) -> str:
    bar = "█" * max(1, round(_BAR * memory_bytes / max(1, limit_bytes))) if memory_bytes else ""
    return f"  {bar:<{_BAR}} {size(memory_bytes):>11} {where}"


def _frame_lines(error: WasmError, config: pytest.Config) -> Iterator[str]:
    """Yield a line for each frame of the guest, with its source line where the guest has debugging information."""
    if not error.frames:
        return
    lines: Sequence[SourceLine | None] = ()
    obstacles: list[str] = []
    with telling(obstacles.append):
        from pytest_airssys_wasm.analysis.backtraces import SourceLineReader

        found = config.stash.setdefault(_SOURCE_LINES, SourceLineReader()).lines_of(error)
        lines = found.lines
        obstacles += [printable(found.obstacle)] if found.obstacle else []
    yield "guest frames, innermost first:"
    shown = groupby(islice(zip_longest(error.frames, lines), _MAX_FRAMES))
    for (frame, line), repeated in shown:
        place = f"0x{frame.offset:x}" if line is None else f"{_cut_before(str(line))} (0x{frame.offset:x})"
        times = sum(1 for _ in repeated)
        yield f"  {_cut(str(frame))} at {place}" + (f", {times} times" if times > 1 else "")
        for caller in () if line is None else line.inlined_at[:_MAX_INLINED]:
            yield f"    inlined at {_cut_before(str(caller))}"
    if len(error.frames) > _MAX_FRAMES:
        yield f"  … and {len(error.frames) - _MAX_FRAMES} more"
    yield from (f"  lines unknown: {obstacle}" for obstacle in obstacles)


def _usage_lines(usage: Usage | None, timeout_ms: float | None, origins: Mapping[str, str]) -> Iterator[str]:
    """Yield what was used beside each limit, its share, and the place of the limit."""
    if usage is None:
        yield "no guest code was started"
        return
    fuel = usage.fuel
    is_fuel_known = fuel.is_exact or fuel.consumed > 0
    used = f"{'' if fuel.is_exact else 'at least '}{fuel.consumed:,}" if is_fuel_known else "unknown"
    limits = {"fuel": fuel.max_fuel, "timeout_ms": timeout_ms, "memory": usage.memory_limit_bytes}
    measured = {
        "fuel": fuel.consumed if is_fuel_known else None,
        "timeout_ms": usage.wall_ms,
        "memory": usage.peak_memory_bytes,
    }
    share = {name: _of(name, limit, measured[name], origins) for name, limit in limits.items()}
    cpu = ""
    if usage.cpu_ms is not None and usage.wall_ms - usage.cpu_ms > max(_LEAST_WAIT_MS, usage.wall_ms / 4):
        cpu = f" ({measured_ms(usage.cpu_ms)} ms of processor time)"
    refused = f", {counted(usage.denied_growths, 'growth')} refused" if usage.denied_growths else ""
    yield f"fuel     {used} of {share['fuel']}"
    yield f"time     {measured_ms(usage.wall_ms)} ms{cpu} of {share['timeout_ms']}"
    yield f"memory   peak {size(usage.peak_memory_bytes)} of {share['memory']}{refused}"
    yield from (f"denied   {_cut(capability)}" for capability in usage.denied_capabilities[:_MAX_DENIALS])


def _output_lines(stdout: bytes, stderr: bytes) -> Iterator[str]:
    """Yield the lines about the output of the guest."""
    for name, written in (("stdout", stdout), ("stderr", stderr)):
        if written:
            yield f"guest {name}:"
            yield from (f"  {printable(line)}" for line in _text(written).splitlines())


def _of(name: str, limit: float | None, used: float | None, origins: Mapping[str, str]) -> str:
    """Write a limit with the share of it that was used, if that is known, and the place where it was given."""
    origin = f" from {origins[name]}" if name in origins else ""
    if not limit or used is None:
        return limit_text(name, limit) + origin
    return f"{limit_text(name, limit)} ({percent(100 * used / limit)}){origin}"


def _text(written: bytes) -> str:
    text = written.decode("utf-8", "backslashreplace")
    if len(text) <= _MAX_OUTPUT:
        return text
    return f"… ({len(text) - _MAX_OUTPUT:,} characters before)\n{text[-_MAX_OUTPUT:]}"


def _cut_before(path: str) -> str:
    return path if len(path) <= _MAX_NAME else "…" + path[1 - _MAX_NAME :]


def _cut(name: str) -> str:
    text = printable(name)
    return text if len(text) <= _MAX_NAME else text[: _MAX_NAME - 1] + "…"
