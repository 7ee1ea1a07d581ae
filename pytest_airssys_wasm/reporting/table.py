"""The table of exports in a terminal, as pieces of text with the tones in which the terminal shows them.

In a narrow terminal the less important columns are left out, and a note names them.
"""

from __future__ import annotations

from itertools import chain, groupby
from operator import attrgetter
from textwrap import wrap
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from pytest_airssys_wasm.reporting import formatting
from pytest_airssys_wasm.reporting.formatting import cut, width
from pytest_airssys_wasm.reporting.summaries import OK
from pytest_airssys_wasm.runtime.base.figures import measured_ms, percent, size
from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.reporting.summaries import ExportSummary

INSTANTIATION = "(instantiate)"
"""The name of an instantiation in the column of exports."""
_GAP = "  "
_LEAST_NAME = 24
_VERDICTS = 4
"""The divisor of the terminal's width that gives the maximum width of the verdicts in a row."""


NEAR_PERCENT = 80
"""The share of a limit in percent from which a figure counts as near the limit."""

Tone: TypeAlias = Literal["plain", "heading", "good", "near", "bad"]


class Piece(Struct, frozen=True, kw_only=True):
    """A part of a line that has one tone."""

    text: str
    tone: Tone = "plain"


class Line(Struct, frozen=True, kw_only=True):
    """A line of the table."""

    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The line as plain text."""
        return "".join(piece.text for piece in self.pieces)


class _Column(Struct, frozen=True, kw_only=True):
    """A column: its title, and the text of its cells."""

    title: str
    write: Callable[[ExportSummary], str]
    rank: int
    """The rank by which columns are left out in a narrow terminal, the highest first. A column of rank 0 is always
    shown.
    """
    share: Callable[[ExportSummary], float | None] = lambda _: None
    """The share of a limit, in percent, that determines the tone of a cell; `None` for a cell without a share."""


_COLUMNS = (
    _Column(title="calls", write=lambda row: formatting.count(row.calls), rank=2),
    _Column(title="fuel min", write=lambda row: formatting.fuel(row.fuel_min, is_exact=row.fuel_is_exact), rank=8),
    _Column(title="median", write=lambda row: formatting.fuel(row.fuel_median, is_exact=row.fuel_is_exact), rank=6),
    _Column(title="fuel max", write=lambda row: formatting.fuel(row.fuel_max, is_exact=row.fuel_is_exact), rank=0),
    _Column(title="fuel limit", write=formatting.fuel_limits, rank=5),
    _Column(
        title="fuel used",
        write=lambda row: percent(row.fuel_used_percent),
        rank=0,
        share=lambda row: row.fuel_used_percent,
    ),
    _Column(
        title="memory used",
        write=lambda row: percent(row.memory_used_percent),
        rank=1,
        share=lambda row: row.memory_used_percent,
    ),
    _Column(title="peak memory", write=lambda row: size(row.peak_memory_bytes), rank=3),
    _Column(title="memory limit", write=formatting.memory_limits, rank=7),
    _Column(title="median ms", write=lambda row: measured_ms(row.wall_median_ms), rank=9),
    _Column(title="max ms", write=lambda row: measured_ms(row.wall_max_ms), rank=4),
)


def render(rows: Sequence[ExportSummary], columns: int) -> tuple[Line, ...]:
    """Return the table as lines of at most `columns` columns (at least 72).

    Without rows there are no lines.
    """
    return tuple(_lines(rows, columns)) if rows else ()


def _lines(rows: Sequence[ExportSummary], columns: int) -> Iterator[Line]:
    chosen, cells = _fitting(rows, columns)
    widths = [_widest(column.title, *values) for column, values in zip(chosen, cells, strict=True)]
    verdicts = [_verdicts(row, columns // _VERDICTS) for row in rows]
    verdict_width = _widest("verdicts", *chain(*verdicts))
    room = columns - sum(widths) - verdict_width - len(_GAP) * (len(widths) + 2)
    names = [cut(_name(row), max(room, len("export"))) for row in rows]
    name_width = _widest("export", *names)

    def line(name: str, values: Sequence[str], verdict: Piece, tones: Sequence[Tone] | None = None) -> Line:
        padded = name + " " * (name_width - width(name))
        aligned = [value.rjust(size) for value, size in zip(values, widths, strict=True)]
        if not verdict.text:
            return _plain(_GAP.join(["", padded, *aligned]).rstrip())
        plain: list[Tone] = ["plain"] * len(aligned)
        cells = zip(aligned, tones or plain, strict=True)
        spaced = (Piece(text=f"{_GAP}{text}", tone=tone) for text, tone in cells)
        end = Piece(text=f"{_GAP}{verdict.text}", tone=verdict.tone)
        return Line(pieces=(Piece(text=f"{_GAP}{padded}"), *spaced, end))

    yield line("export", [column.title for column in chosen], Piece(text="verdicts"))
    numbered = zip(rows, names, zip(*cells, strict=True), verdicts, strict=True)
    for component, group in groupby(numbered, key=lambda entry: entry[0].component):
        yield Line(pieces=(Piece(text=cut(printable(component), columns) or '""', tone="heading"),))
        for row, name, values, (first, *more) in group:
            tone = _tone_of_verdicts(row)
            yield line(name, values, Piece(text=first, tone=tone), [_tone(column.share(row)) for column in chosen])
            yield from (line("", [""] * len(widths), Piece(text=rest, tone=tone)) for rest in more)
    yield from map(_plain, _notes(rows, chosen, columns))


def _plain(text: str) -> Line:
    return Line(pieces=(Piece(text=text),))


def _tone(share: float | None) -> Tone:
    if share is None or share < NEAR_PERCENT:
        return "plain"
    return "bad" if share >= 100 else "near"


def _tone_of_verdicts(row: ExportSummary) -> Tone:
    if any(verdict != OK for verdict, _ in row.verdicts):
        return "bad"
    return "near" if row.refused_calls else "good"


def _fitting(rows: Sequence[ExportSummary], columns: int) -> tuple[list[_Column], list[list[str]]]:
    """Select the columns that leave enough room for names and verdicts, and return them with their cells."""
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


def _name(row: ExportSummary) -> str:
    return INSTANTIATION if row.export is None else printable(row.export)


def _verdicts(row: ExportSummary, most: int) -> list[str]:
    """Return the lines of a row's last column."""
    lines: list[str] = []
    for verdict in formatting.endings(row):
        text = cut(printable(verdict), most - 1)
        if lines and len(lines[-1]) + len(text) + len(", ,") <= most:
            lines[-1] += f", {text}"
        else:
            lines.append(text)
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def _notes(rows: Sequence[ExportSummary], chosen: Sequence[_Column], columns: int) -> Iterator[str]:
    if any(row.lower_bounds for row in rows):
        yield from wrap("≥: only a lower bound is known for some calls", columns, subsequent_indent=_GAP)
    if any(row.refused_calls for row in rows):
        yield from wrap(formatting.REFUSED, columns, subsequent_indent=_GAP)
    if left_out := [column.title for column in _COLUMNS if column not in chosen]:
        yield from wrap(f"left out for lack of room: {', '.join(left_out)}", columns, subsequent_indent=_GAP)
