"""The growth of a cost with the size of the arguments: constant, linear, quadratic, or worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.analysis.laws.fitting import explained, models, solve

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("1", "n", "n^2", "n^3")
_LEAST_POINTS = 8
_CONSTANT = 1.05
"""The factor between the costs of the largest and of a quarter of this size below which a cost is constant."""
_RATIOS = {"n": (1.6, 2.15), "n^2": (3.2, 5.0), "n^3": (6.0, 10.0)}
"""The factors by which the cost of the second half of a size is larger than that of its second quarter."""


def growth_of(costs: Mapping[int, int]) -> str | None:
    """Return how costs grow, from exact figures by size: `1`, `n`, `n^2`, `n^3`, or `None` if it is none of these.

    An exact formula decides, if there is one for the upper three quarters of the sizes. Otherwise the increments
    decide from a quarter of the largest size to its half, and from there to the whole: fixed costs do not matter then.
    A single dear part of the largest arguments also makes the last increment large, so the increments of half the size
    must not contradict.
    """
    if len(costs) < 3:
        return None
    largest = max(costs)
    upper = [size for size in sorted(costs) if 4 * size >= largest]
    degree = _degree({size: costs[size] for size in upper})
    if degree is not None:
        return _NAMES[degree]
    if costs[largest] <= _CONSTANT * costs[min(costs, key=lambda size: abs(size - largest // 4))]:
        return "1"
    name = _by_increments(costs, largest)
    before = _by_increments(costs, largest // 2)
    return name if name is None or before is None else min(name, before, key=_NAMES.index)


def _by_increments(costs: Mapping[int, int], largest: int) -> str | None:
    """Return how the costs grow up to the size that is nearest to `largest`."""
    quarter, half, whole = (min(costs, key=lambda size: abs(size - largest // part)) for part in (4, 2, 1))
    first, second = costs[half] - costs[quarter], costs[whole] - costs[half]
    if first <= 0 or not quarter < half < whole:
        return None
    ratio = second / first * (half - quarter) / (whole - half) * 2
    return next((name for name, (low, high) in _RATIOS.items() if low <= ratio <= high), None)


def _degree(costs: Mapping[int, int]) -> int | None:
    """Return the degree of the simplest formula that explains all figures."""
    points, figures = [(size,) for size in costs], [(cost,) for cost in costs.values()]
    for model in models():
        if len(points) < max(_LEAST_POINTS, model.unknowns + 3):
            break
        if explained(model, points, figures) == len(points):
            formulas = solve(model, points, figures)
            if formulas is not None:
                return formulas[0].degree
    return None
