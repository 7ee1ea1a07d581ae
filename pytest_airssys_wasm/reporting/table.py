"""The table of exports for a terminal. Where it is narrow, the less important columns go, and it says so."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from textwrap import wrap
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting import figures
from pytest_airssys_wasm.reporting.text import cut, width
from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.reporting.rows import Row

INSTANTIATION = "(instantiate)"
_GAP = "  "
_LEAST_NAME = 24
_VERDICTS = 4
"""One column in four is the most that verdicts get in a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    title: str
    write: Callable[[Row], str]
    rank: int
    """The highest goes first where there is too little room; 0 stays."""


_COLUMNS = (
    _Column(title="calls", write=lambda row: figures.count(row.calls), rank=2),
    _Column(title="fuel min", write=lambda row: figures.fuel(row.fuel_min, is_exact=row.fuel_is_exact), rank=8),
    _Column(title="median", write=lambda row: figures.fuel(row.fuel_median, is_exact=row.fuel_is_exact), rank=6),
    _Column(title="fuel max", write=lambda row: figures.fuel(row.fuel_max, is_exact=row.fuel_is_exact), rank=0),
    _Column(title="fuel limit", write=figures.fuel_limits, rank=5),
    _Column(title="used", write=lambda row: figures.percent(row.fuel_used_percent), rank=0),
    _Column(title="peak memory", write=lambda row: figures.size(row.peak_memory_bytes), rank=3),
    _Column(title="memory limit", write=figures.memory_limits, rank=7),
    _Column(title="median ms", write=lambda row: figures.milliseconds(row.wall_median_ms), rank=9),
    _Column(title="max ms", write=lambda row: figures.milliseconds(row.wall_max_ms), rank=4),
)


def render(rows: Sequence[Row], columns: int) -> tuple[str, ...]:
    """Lines of plain text, none wider than `columns` (as long as that is 72 or more); none without rows."""
    return tuple(_lines(rows, columns)) if rows else ()


def _lines(rows: Sequence[Row], columns: int) -> Iterator[str]:
    chosen, cells = _fitting(rows, columns)
    widths = [_widest(column.title, *values) for column, values in zip(chosen, cells, strict=True)]
    verdicts = [_verdicts(row, columns // _VERDICTS) for row in rows]
    verdict_width = _widest("verdicts", *chain(*verdicts))
    room = columns - sum(widths) - verdict_width - len(_GAP) * (len(widths) + 2)
    names = [cut(_name(row), max(room, len("export"))) for row in rows]
    name_width = _widest("export", *names)

    def line(name: str, values: Sequence[str], verdict: str) -> str:
        padded = name + " " * (name_width - width(name))
        aligned = (value.rjust(size) for value, size in zip(values, widths, strict=True))
        return _GAP.join(["", padded, *aligned, verdict]).rstrip()

    yield line("export", [column.title for column in chosen], "verdicts")
    numbered = zip(rows, names, zip(*cells, strict=True), verdicts, strict=True)
    for component, group in groupby(numbered, key=lambda entry: entry[0].component):
        yield cut(printable(component), columns) or '""'
        for _, name, values, (first, *more) in group:
            yield line(name, values, first)
            yield from (line("", [""] * len(widths), rest) for rest in more)
    yield from _notes(rows, chosen, columns)


def _fitting(rows: Sequence[Row], columns: int) -> tuple[list[_Column], list[list[str]]]:
    """The columns that leave enough room for names and verdicts, with what stands in them."""
    chosen = sorted(_COLUMNS, key=attrgetter("rank"))
    cells = {column.title: [column.write(row) for row in rows] for column in chosen}
    name = min(_LEAST_NAME, _widest("export", *map(_name, rows)))
    verdicts = _widest("verdicts", *chain.from_iterable(_verdicts(row, columns // _VERDICTS) for row in rows))
    needed = {title: _widest(title, *values) + len(_GAP) for title, values in cells.items()}
    room = columns - name - verdicts - 2 * len(_GAP)
    while chosen[-1].rank and sum(needed[column.title] for column in chosen) > room:
        del chosen[-1]
    kept = [column for column in _COLUMNS if column in chosen]
    return kept, [cells[column.title] for column in kept]


def _widest(*cells: str) -> int:
    return max(map(width, cells))


def _name(row: Row) -> str:
    return INSTANTIATION if row.export is None else printable(row.export)


def _verdicts(row: Row, most: int) -> list[str]:
    """What stands in the last column, in as many lines as it takes."""
    lines: list[str] = []
    for verdict in figures.verdicts(row):
        shown = cut(printable(verdict), most - 1)
        if lines and len(lines[-1]) + len(shown) + len(", ,") <= most:
            lines[-1] += f", {shown}"
        else:
            lines.append(shown)
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def _notes(rows: Sequence[Row], chosen: Sequence[_Column], columns: int) -> Iterator[str]:
    if any(row.lower_bounds for row in rows):
        yield from wrap("≥: of some calls only a lower bound is known", columns, subsequent_indent=_GAP)
    if left_out := [column.title for column in _COLUMNS if column not in chosen]:
        yield from wrap(f"left out for want of room: {', '.join(left_out)}", columns, subsequent_indent=_GAP)
