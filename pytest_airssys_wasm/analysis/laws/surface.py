"""The search for a formula in two sizes, from what is known about each of them alone."""

from __future__ import annotations

from itertools import chain, product
from typing import TYPE_CHECKING

from pytest_airssys_wasm.analysis.laws.fitting import MOST_DEGREE, SPARE, Model, contradicts, explained, solve
from pytest_airssys_wasm.analysis.laws.law import Piece
from pytest_airssys_wasm.analysis.laws.terms import Factor

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.analysis.laws.fitting import Figures
    from pytest_airssys_wasm.analysis.laws.pieces import Stretch
    from pytest_airssys_wasm.analysis.laws.terms import Monomial, Point

    Measure = Callable[[Point], Figures | None]

_PREDICTIONS = 24
"""The number of fresh points that a formula in two sizes has to predict."""
_MOST_POINTS = 64


def learn_surface(
    measure: Measure, alone: Sequence[Sequence[Stretch]], lows: Point, highs: Point, chance: random.Random
) -> Piece | None:
    """Return a formula in two sizes, or `None` if none of those that are tried holds.

    `alone` are the pieces of a law for each size while the other one is held. Raises `OutOfRuns`, as `measure` does.
    """
    highs = _returning(measure, lows, highs)
    alone = [[one for one in pieces if one.low <= most] for pieces, most in zip(alone, highs)]
    if not all(alone):
        return None
    mains = [max(pieces, key=lambda piece: min(piece.high, highs[0]) - piece.low) for pieces in alone]
    low, high = tuple(one.low for one in mains), tuple(min(one.high, most) for one, most in zip(mains, highs))
    bases = [_basis(one, size) for size, one in enumerate(mains)]
    crossed = tuple(a + b for a, b in product(*bases) if _degree(a) + _degree(b) <= MOST_DEGREE)
    candidates = [(crossed, low, high)]
    if low != lows:
        candidates.insert(0, (crossed, lows, highs))
    for begin in dict.fromkeys((lows, tuple(max(1, x) for x in lows))):
        candidates += [(_with_least(), begin, highs), (_whole_polynomial(), begin, highs)]
    tried: list[Point] = []
    for basis, begin, end in candidates:
        if all(a <= b for a, b in zip(begin, end)):
            found = _fit(measure, Model(basis), begin, end, tried, chance)
            if found is not None:
                return found
    return None


def _returning(measure: Measure, lows: Point, highs: Point) -> Point:
    """Return the largest sizes, halved until a call with both of them returns."""
    while measure(highs) is None and any(high > low + 8 for low, high in zip(lows, highs)):
        highs = tuple(max(low, high // 2) for low, high in zip(lows, highs))
    return highs


def _fit(
    measure: Measure, model: Model, low: Point, high: Point, tried: list[Point], chance: random.Random
) -> Piece | None:
    """Return the formulas of a model if they explain what is known and predict fresh points.

    `tried` are the points at which the guest was run for other models; those of this one are added.
    """
    points: list[Point] = []
    figures: list[Figures] = []
    formulas = None
    for point in chain(tried, _points(low, high, chance)):
        if point in points or not all(a <= x <= b for a, x, b in zip(low, point, high)):
            continue
        figure = measure(point)
        if figure is None:
            return None
        if point not in tried:
            tried.append(point)
        points.append(point)
        figures.append(figure)
        if len(points) < model.unknowns + SPARE:
            continue
        if formulas is None:
            if contradicts(model, points, figures):
                return None
            formulas = solve(model, points, figures) if explained(model, points, figures) else None
            needed = len(points) + _PREDICTIONS
        elif any(formula.at(point) != one for formula, one in zip(formulas, figure)):
            return None
        elif len(points) >= needed:
            break
    return None if formulas is None else Piece(low=low, high=high, fuel=formulas[0], memory=formulas[1])


def _points(low: Point, high: Point, chance: random.Random) -> Iterator[Point]:
    """Yield points of a rectangle: small ones, corners, the diagonal, and others by chance."""
    corners = [*product(*zip(low, high))]
    for index in range(_MOST_POINTS):
        match index % 4:
            case 0:
                yield tuple(min(b, a + chance.randrange(12)) for a, b in zip(low, high))
            case 1 if corners:
                yield corners.pop()
            case 2:
                x = max(low) + int((max(0, min(high) - max(low)) + 1) ** chance.random()) - 1
                yield tuple(min(b, max(a, x + more)) for a, b, more in zip(low, high, (0, chance.randrange(-1, 2))))
            case _:
                yield tuple(a + chance.randrange(b - a + 1) for a, b in zip(low, high))


def _basis(stretch: Stretch, size: int) -> list[Monomial]:
    """Return the monomials of a law of one size, as those of the size of this index."""
    plain: list[Monomial] = [(), (Factor("power", size),)]
    used = [monomial for formula in stretch.formulas for _, monomial in formula.terms]
    kinds = {factor.kind for monomial in used for factor in monomial}
    monomials = plain if kinds <= {"power"} else plain[:1]
    moved = [tuple(Factor(one.kind, size, one.period, one.value) for one in monomial) for monomial in used]
    return [*dict.fromkeys([*monomials, *moved])]


def _with_least() -> tuple[Monomial, ...]:
    n, m, least = Factor("power", 0), Factor("power", 1), Factor("least", 0)
    squares = [Factor(one.kind, one.size, 1, 2) for one in (n, m, least)]
    return ((), (n,), (m,), (least,), (n, m), *((one,) for one in squares))


def _whole_polynomial() -> tuple[Monomial, ...]:
    return tuple(
        tuple(Factor("power", size, 1, exponent) for size, exponent in enumerate(exponents) if exponent)
        for exponents in product(range(MOST_DEGREE + 1), repeat=2)
        if sum(exponents) <= MOST_DEGREE
    )


def _degree(monomial: Monomial) -> int:
    return sum(factor.value for factor in monomial if factor.kind != "residue" and factor.kind != "partial")
