"""The fitting of formulas to exact figures: linear equations that hold to the unit, or not at all."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.analysis.laws.terms import Factor, Formula, value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.analysis.laws.terms import Basis, Monomial, Point

MOST_DEGREE = 3
"""The highest power that is tried."""
BLOCKS = (2, 4, 8, 16, 3, 32, 64)
"""The numbers of elements that unrolled and vectorised loops take at once, in the order in which they are tried."""
_RESIDUES = (2, 4, 8, 16, 3)
"""The periods for which a formula of its own is tried for each residue."""
SPARE = 3
"""The number of points that must be predicted beyond those that determine the coefficients."""
_PRIME = 2**61 - 1

Figures = tuple[int, ...]
"""The figures of one execution that are explained together, such as fuel and memory."""


class Model(Struct, frozen=True, eq=False):
    """A family of formulas: all sums of the monomials of a basis.

    It is equal to itself only: a hash of the whole basis would take longer than what `_row` remembers.
    """

    basis: Basis

    @property
    def unknowns(self) -> int:
        """The number of coefficients."""
        return len(self.basis)


@lru_cache(maxsize=8)
def models(size: int = 0) -> tuple[Model, ...]:
    """Return the families of formulas in one size, from the simplest to the most complicated one."""
    found = [*_polynomials(size), *_blocks(size), *_by_residue(size)]
    return tuple(sorted(found, key=lambda model: model.unknowns))


def _polynomials(size: int) -> Iterator[Model]:
    for degree in range(MOST_DEGREE + 1):
        yield Model(tuple(_power(size, exponent) for exponent in range(degree + 1)))


def _blocks(size: int) -> Iterator[Model]:
    """Yield polynomials in the whole blocks and the rest, for loops over blocks with a loop over the rest behind."""
    for period in BLOCKS:
        partial = (Factor("partial", size, period),)
        for degree in range(1, MOST_DEGREE + 1):
            basis = tuple(
                _powers(Factor("blocks", size, period, i), Factor("rest", size, period, j))
                for i, j in product(range(degree + 1), repeat=2)
                if i + j <= degree and (j < period or j <= 1)
            )
            yield Model(basis)
            if degree < MOST_DEGREE and period > 2:
                yield Model((*basis, partial))


def _by_residue(size: int) -> Iterator[Model]:
    """Yield polynomials whose fixed part, or all of whose coefficients, depend on the residue."""
    for period in _RESIDUES:
        residues = [Factor("residue", size, period, residue) for residue in range(period)]
        for degree in range(MOST_DEGREE + 1):
            yield Model((*((one,) for one in residues), *(_power(size, exponent) for exponent in range(1, degree + 1))))
            if degree:
                powers = [_power(size, exponent) for exponent in range(degree + 1)]
                yield Model(tuple((*power, one) for power, one in product(powers, residues)))


def _power(size: int, exponent: int) -> Monomial:
    return _powers(Factor("power", size, 1, exponent))


def _powers(*factors: Factor) -> Monomial:
    return tuple(factor for factor in factors if factor.value)


def explained(model: Model, points: Sequence[Point], figures: Sequence[Figures]) -> int:
    """Return how many of the first points a formula of the model explains; 0 if they are too few to tell.

    They are enough if the first of them determine the coefficients and the last three agree, and also the other way
    round. So no coefficient is there for the sake of a few points at an end.
    """
    count, determined_by = _consistent(model, points, figures)
    if count < determined_by + SPARE:
        return 0
    _, determined_by = _consistent(model, points[:count][::-1], figures[:count][::-1])
    return 0 if count < determined_by + SPARE else count


def contradicts(model: Model, points: Sequence[Point], figures: Sequence[Figures]) -> bool:
    """Return whether no formula of the model explains all points."""
    return _consistent(model, points, figures)[0] < len(points)


@lru_cache(maxsize=4_096)
def _row(model: Model, point: Point) -> tuple[int, ...]:
    """Return the monomials of a model for these sizes: all models are tried at the same ones again and again."""
    return tuple(value(monomial, point) % _PRIME for monomial in model.basis)


def _consistent(model: Model, points: Sequence[Point], figures: Sequence[Figures]) -> tuple[int, int]:
    """Return how many of the first points one formula of the model explains, and how many of them determine it.

    If they do not determine it, the second number is larger than that of all points. The arithmetic is modulo a large
    prime, which is quick; `solve` is exact.
    """
    count = model.unknowns
    rows: list[tuple[int, list[int]]] = []  # with the column of the pivot, which is 1
    determined_by = len(points) + 1
    for index, (point, figure) in enumerate(zip(points, figures)):
        row = [*_row(model, point), *(one % _PRIME for one in figure)]
        for pivot, other in rows:
            if times := row[pivot]:
                row = [(a - times * b) % _PRIME for a, b in zip(row, other)]
        pivot = next((column for column in range(count) if row[column]), -1)
        if pivot >= 0:
            inverse = pow(row[pivot], -1, _PRIME)
            rows.append((pivot, [one * inverse % _PRIME for one in row]))
            if len(rows) == count:
                determined_by = index + 1
        elif any(row[count:]):
            return index, determined_by
    return len(points), determined_by


def solve(model: Model, points: Sequence[Point], figures: Sequence[Figures]) -> tuple[Formula, ...] | None:
    """Return the formula of each figure; `None` if none explains all points, if several do, or if the coefficients are
    not such as loops have: whole numbers, halves and sixths, and for a formula by residues parts of the period.
    """
    count = model.unknowns
    rows: list[tuple[int, list[Fraction]]] = []
    for point, figure in zip(points, figures):
        row = [Fraction(value(monomial, point)) for monomial in model.basis] + [Fraction(one) for one in figure]
        for pivot, other in rows:
            if times := row[pivot]:
                row = [a - times * b if b else a for a, b in zip(row, other)]
        pivot = next((column for column in range(count) if row[column]), -1)
        if pivot >= 0:
            first = row[pivot]
            rows.append((pivot, [one / first if one else one for one in row]))
        elif any(row[count:]):
            return None
    if len(rows) < count:
        return None
    found: dict[int, list[Fraction]] = {}
    for pivot, row in reversed(rows):
        found[pivot] = [
            row[count + which] - sum(row[other] * found[other][which] for other in found if row[other])
            for which in range(len(figures[0]))
        ]
    if any(_divisor(model) % one.denominator for column in found.values() for one in column):
        return None
    return tuple(
        Formula.of((found[column][which], model.basis[column]) for column in range(count))
        for which in range(len(figures[0]))
    )


def _divisor(model: Model) -> int:
    """Return the number of which all denominators are divisors: 6 for the sum of the first squares, and the period."""
    residues = {factor.period for monomial in model.basis for factor in monomial if factor.kind == "residue"}
    return 6 * max(residues, default=1)
