"""The smallest size of the arguments of an export with which a call meets a limit, found by runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.analysis.tightest import bisect
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.values import Ok, Variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.analysis.laws.law import CostLaw
    from pytest_airssys_wasm.analysis.laws.terms import Formula, Point
    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

_MOST = 2**24
"""The largest size that is tried, of texts and integers."""
_MOST_VALUES = 2**17
"""The largest number of elements that are tried in one call, since Python converts each of them."""
_MOST_FUEL = 2_000_000_000
"""The fuel that all runs together may spend."""


class _TooDear(Exception):
    """The internal error for a search whose runs have spent all of their fuel."""


class MetLimit(Struct, frozen=True, kw_only=True):
    """The smallest sizes with which a call meets a limit."""

    point: Point
    """The sizes; with those of the step before, the call returns."""
    before: Point
    """The sizes of the step before."""
    verdict: Verdict
    """The verdict of the call with these sizes."""


def met_limit(
    law: CostLaw, limits: ResourceLimits, at: Callable[[int], Point], run: Callable[[Point], Rerun], returning: int
) -> MetLimit | None:
    """Return the smallest sizes with which a call meets a limit, beyond those of step `returning`, which returns.

    `at` gives the sizes of each step, and `run` makes a call with them. The law says where to look, also beyond its
    range; what is returned was found by runs. Returns `None` if no call of up to 16,777,216 bytes or 131,072 elements
    meets a limit, if one fails for another reason, and if the search would spend more than 2,000,000,000 units of fuel.
    """
    most = _most_steps(law, at)
    if most <= returning:
        return None
    done: dict[int, Rerun] = {}

    def ends(step: int) -> bool:
        if step not in done:
            if sum(one.fuel for one in done.values()) > _MOST_FUEL:
                raise _TooDear
            done[step] = run(at(step))
        return done[step].error is not None

    guess = _predicted(law, limits, at, returning, most)
    try:
        if guess == most:
            if not ends(most):
                return None
            guess = min(2 * returning + 1, most)
        step = bisect(ends, returning, guess, most)
    except (TypeError, ValueError, OverflowError, _TooDear):  # the integer type does not have so large a value
        return None
    verdict = done[step].verdict if ends(step) else Verdict.OK
    if verdict not in (Verdict.OUT_OF_FUEL, Verdict.OUT_OF_MEMORY, Verdict.RESOURCE_LIMIT):
        return None
    return MetLimit(point=at(step), before=at(step - 1), verdict=verdict)


def _predicted(law: CostLaw, limits: ResourceLimits, at: Callable[[int], Point], returning: int, most: int) -> int:
    """Return the step at which the last formulas of a law meet a limit; `most` if they do not until then."""
    piece = law.pieces[-1]
    bounds: list[tuple[Formula | None, int | None]] = [(piece.fuel, limits.fuel), (piece.memory, limits.memory)]
    steps = [most]
    for formula, bound in bounds:
        if formula is not None and bound is not None and formula.at(at(most)) > bound:
            low, high = returning, most
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if formula.at(at(middle)) > bound else (middle, high)
            steps.append(high)
    return min(steps)


def _most_steps(law: CostLaw, at: Callable[[int], Point]) -> int:
    """Return the number of steps that may be tried: fewer where each adds elements to a list."""
    few, many = 64, 128
    added = _values(law.make(at(many))) - _values(law.make(at(few)))
    return min(_MOST, _MOST_VALUES * (many - few) // added) if added > 0 else _MOST


def _values(given: Any) -> int:
    """Return the number of values in an argument that Python has to convert one by one."""
    match given:
        case Mapping():
            return sum(map(_values, given.values()))
        case list() | tuple():
            return sum(map(_values, given))
        case Ok(value=inner) | Variant(payload=inner):
            return _values(inner)
        case _:
            return 1
