"""The lines of the section `WebAssembly fuel snapshot`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_airssys_wasm.analysis.snapshots.comparison import FAILING, Change, Comparison, State
from pytest_airssys_wasm.analysis.snapshots.model import Cost, RecordedLaw
from pytest_airssys_wasm.plugin.snapshot.law_text import difference_of, difference_text
from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.runtime.base import figures
from pytest_airssys_wasm.runtime.base.printable import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = max(len(state) for state in State)
_MOST_COLUMNS = 200

_DIFFERING = frozenset({State.REGRESSED, State.INCOMPARABLE, State.TOLERATED, State.IMPROVED})


def change_lines(comparison: Comparison, *, with_not_run: bool) -> Iterator[tuple[str, bool]]:
    """Yield a line for each entry that is not unchanged, and whether it fails a check.

    Entries that did not run have a line only if `with_not_run` is set.
    """
    for change in comparison.changes:
        if change.state is not State.UNCHANGED and (with_not_run or change.state is not State.NOT_RUN):
            yield _line(change), change.state in FAILING


def not_run_line(comparison: Comparison) -> str | None:
    """Return the line that counts the entries that did not run; `None` if there are none."""
    number = len(comparison.of(State.NOT_RUN))
    return f"{State.NOT_RUN:<{_WIDTH}}  {counted(number, 'entry', 'entries')} (-v lists them)" if number else None


def cause_lines(comparison: Comparison) -> Iterator[str]:
    """Yield what may be the cause of the changes: another engine, and guests that have changed."""
    if comparison.engine_changes:
        yield printable(f"The engine differs: {'; '.join(comparison.engine_changes)}.")
    if comparison.guest_changes and any(change.state in _DIFFERING for change in comparison.changes):
        yield printable(f"Changed since the snapshot: {', '.join(comparison.guest_changes)}.")


def total_line(comparison: Comparison) -> str:
    """Return the number of entries in each state."""
    counts = Counter(change.state for change in comparison.changes)
    return ", ".join(f"{counts[state]:,} {state}" for state in State if counts[state]) or "no entries"


def _line(change: Change) -> str:
    label = cut(printable(change.key.label), _MOST_COLUMNS)  # guests choose the names of their exports
    return f"{change.state:<{_WIDTH}}  {printable(change.key.test)} {label}: {_figures(change)}"


def _figures(change: Change) -> str:
    before, after = change.before, change.after
    known = before or after
    if isinstance(known, RecordedLaw):
        return _law(known, change)
    assert known is not None
    if before is None or after is None:
        return f"fuel {known.fuel:,}, memory {figures.size(known.peak_memory_bytes)}"
    assert isinstance(before, Cost)
    assert isinstance(after, Cost)
    return _costs(before, after)


def _law(known: RecordedLaw, change: Change) -> str:
    if change.difference is not None:
        return difference_text(change.difference)
    reason = f"; {change.reason}" if change.reason else ""
    return printable(f"{known.law.full_text}{reason}")


def _costs(before: Cost, after: Cost) -> str:
    parts = []
    if before.fuel != after.fuel or before.peak_memory_bytes == after.peak_memory_bytes:
        parts.append(f"fuel {before.fuel:,} → {after.fuel:,} ({difference_of(before.fuel, after.fuel)})")
    if before.peak_memory_bytes != after.peak_memory_bytes:
        parts.append(_memory(before, after))
    if before.executions != after.executions:
        parts.append(f"executions {before.executions:,} → {after.executions:,}")
    return ", ".join(parts)


def _memory(before: Cost, after: Cost) -> str:
    old, new = before.peak_memory_bytes, after.peak_memory_bytes
    sign = "+" if new > old else "-"
    return f"memory {figures.size(old)} → {figures.size(new)} ({sign}{figures.size(abs(new - old))})"
