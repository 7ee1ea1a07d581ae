"""The difference of two cost laws of one export: which formulas have changed, and where this matters the most."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pytest_airssys_wasm.analysis.laws.sizes import NAMES
from pytest_airssys_wasm.analysis.laws.terms import Formula

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.analysis.laws.law import Law
    from pytest_airssys_wasm.analysis.laws.terms import Factor, Point

_MOST_POINTS = 4_096
"""The number of sizes of a range at which two formulas are compared: all of them in a range that is not longer."""


class ChangedRange(Struct, frozen=True, kw_only=True):
    """A range of sizes for which another formula holds than before."""

    low: Point
    """The smallest value of each size."""
    high: Point
    """The largest value of each size."""
    before: Formula
    after: Formula


class ChangedFigure(Struct, frozen=True, kw_only=True):
    """A figure, of fuel or of memory, for arguments of one size."""

    point: Point
    """The value of each size."""
    before: int
    after: int

    @property
    def share(self) -> Fraction:
        """The increase as a share of the figure before; a figure that was 0 counts as 1."""
        return Fraction(self.after - self.before, max(1, self.before))


class FigureDifference(Struct, frozen=True, kw_only=True):
    """The difference of the fuel, or of the peak memory in bytes."""

    ranges: tuple[ChangedRange, ...] = ()
    """The ranges in which the figures differ, in the order of the sizes."""
    most: ChangedFigure | None = None
    """The figure with the largest increase; `None` if none increases."""
    least: ChangedFigure | None = None
    """The figure with the largest decrease; `None` if none decreases."""


class LawDifference(Struct, frozen=True, kw_only=True):
    """The difference of two laws, for the sizes of which both of them speak."""

    before: Law
    after: Law
    names: tuple[str, ...] = ()
    """The names of the sizes in `ranges` and `point`."""
    fuel: FigureDifference = FigureDifference()
    memory: FigureDifference = FigureDifference()
    """The difference of the peak memory; empty unless both laws have formulas for it."""
    has_less: bool = False
    """Whether the law before has sizes, or a memory, of which the law after does not speak."""
    has_more: bool = False
    """Whether the law after has sizes, or a memory, of which the law before does not speak."""
    obstacle: str | None = None
    """The reason why the laws cannot be compared at all; `None` if they can."""

    @property
    def figures(self) -> tuple[FigureDifference, FigureDifference]:
        """The differences of the fuel and of the peak memory."""
        return self.fuel, self.memory

    def grows(self, tolerance: Fraction = Fraction(0)) -> bool:
        """Return whether a figure increases by more than this share, for some size."""
        return any(one.most is not None and one.most.share > tolerance for one in self.figures)

    @property
    def shrinks(self) -> bool:
        """Whether a figure decreases for some size."""
        return any(one.least is not None for one in self.figures)


def law_difference(before: Law, after: Law) -> LawDifference:
    """Return the difference of two laws of one export, for the sizes of which both of them speak.

    A law without sizes speaks of all, and one that holds a size speaks of that value only. In a range with more than
    4,096 sizes, the formulas are compared at 4,096 of them, its ends included.
    """
    main, other = sorted((after, before), key=lambda law: len(law.sizes), reverse=True)
    axes = tuple(dict.fromkeys((*_meanings(main), *_meanings(other))))
    if len(axes) > len(NAMES) or not (_covers(before, axes) and _covers(after, axes)):
        reason = f"it is about {_subject(after)}, and was about {_subject(before)}"
        return LawDifference(before=before, after=after, obstacle=reason)
    fuel: list[ChangedRange] = []
    memory: list[ChangedRange] = []
    for old, new in product(_spans(before, axes), _spans(after, axes)):
        low, high = tuple(map(max, old.low, new.low)), tuple(map(min, old.high, new.high))
        if any(a > b for a, b in zip(low, high)):
            continue
        low, high = (tuple(int(x) for x in corner) for corner in (low, high))
        fuel.append(ChangedRange(low=low, high=high, before=old.fuel, after=new.fuel))
        if old.memory is not None and new.memory is not None:
            memory.append(ChangedRange(low=low, high=high, before=old.memory, after=new.memory))
    if not fuel:
        reason = f"it holds for {after.ranges_text}, and held for {before.ranges_text}"
        return LawDifference(before=before, after=after, obstacle=reason)
    return LawDifference(
        before=before,
        after=after,
        names=NAMES[: len(axes)],
        fuel=_figure_difference(fuel),
        memory=_figure_difference(memory),
        has_less=_exceeds(before, after, axes),
        has_more=_exceeds(after, before, axes),
    )


def _meanings(law: Law) -> tuple[str, ...]:
    return tuple(law.meanings.get(name) or name for name in law.sizes)


def _subject(law: Law) -> str:
    return " and ".join([*_meanings(law), *(f"{meaning} = {value:,}" for meaning, value in law.held.items())])


def _covers(law: Law, axes: Sequence[str]) -> bool:
    """Return whether a law says something about each of these sizes, all others being the same."""
    return not law.sizes or all(one in _meanings(law) or one in law.held for one in axes)


class _Span(Struct, frozen=True):
    """A piece of a law in terms of all sizes that are compared."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    fuel: Formula
    memory: Formula | None


def _spans(law: Law, axes: Sequence[str]) -> list[_Span]:
    meanings = _meanings(law)
    places = [axes.index(one) for one in meanings]
    spans = []
    for piece in law.pieces:
        lows, highs = dict(zip(meanings, piece.low)), dict(zip(meanings, piece.high))
        spans.append(
            _Span(
                low=tuple(lows.get(one, law.held.get(one, 0)) for one in axes),
                high=tuple(highs.get(one, law.held.get(one, math.inf)) for one in axes),
                fuel=_placed(piece.fuel, places),
                memory=None if piece.memory is None else _placed(piece.memory, places),
            )
        )
    return spans


def _placed(formula: Formula, places: Sequence[int]) -> Formula:
    """Return a formula in which each size has its place among all sizes that are compared."""

    def place(factor: Factor) -> Factor:
        return factor if factor.kind == "least" else replace(factor, size=places[factor.size])

    return Formula(tuple((figure, tuple(map(place, monomial))) for figure, monomial in formula.terms))


def _exceeds(law: Law, other: Law, axes: Sequence[str]) -> bool:
    """Return whether a law speaks of sizes, or of memory, of which the other one does not."""
    mine, its = _spans(law, axes), _spans(other, axes)
    lows, highs = zip(mine[0].low, its[0].low), zip(mine[-1].high, its[-1].high)
    if any(a < b for a, b in lows) or any(a > b for a, b in highs):
        return True
    return all(one.memory is not None for one in mine) and any(one.memory is None for one in its)


def _figure_difference(ranges: Sequence[ChangedRange]) -> FigureDifference:
    changed: list[ChangedRange] = []
    most: ChangedFigure | None = None
    least: ChangedFigure | None = None
    for one in ranges:
        if one.before == one.after:
            continue
        differs = False
        for point in _points(one.low, one.high):
            figure = ChangedFigure(point=point, before=int(one.before.at(point)), after=int(one.after.at(point)))
            differs |= figure.before != figure.after
            if figure.share > (0 if most is None else most.share):
                most = figure
            if figure.share < (0 if least is None else least.share):
                least = figure
        if differs:
            changed.append(one)
    return FigureDifference(ranges=_joined(changed), most=most, least=least)


def _joined(ranges: Sequence[ChangedRange]) -> tuple[ChangedRange, ...]:
    """Return the ranges with neighbours of one size joined where the formulas before and after are the same."""
    joined: list[ChangedRange] = []
    for one in sorted(ranges, key=lambda one: one.low):
        last = joined[-1] if joined else None
        is_next = last is not None and len(one.low) == 1 and one.low[0] == last.high[0] + 1
        if last is not None and is_next and (last.before, last.after) == (one.before, one.after):
            joined[-1] = ChangedRange(low=last.low, high=one.high, before=one.before, after=one.after)
        else:
            joined.append(one)
    return tuple(joined)


def _points(low: Point, high: Point) -> Iterator[Point]:
    most = int(_MOST_POINTS ** (1 / max(1, len(low))))
    yield from product(*(spread(a, b, most) for a, b in zip(low, high)))


def spread(low: int, high: int, most: int = _MOST_POINTS) -> Sequence[int]:
    """Return the whole numbers of a range, or this many of them, spread evenly from one end to the other."""
    count = high - low + 1
    return range(low, high + 1) if count <= most else [low + index * (count - 1) // (most - 1) for index in range(most)]
