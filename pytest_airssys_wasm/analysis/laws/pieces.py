"""The search for a formula in one size, in pieces: from exact figures at few sizes to formulas for all of them.

A formula is never taken from points that only just determine it. It has to explain further ones, predict fresh ones to
the unit, and where it fails, its range ends, and another piece begins.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import chain, islice
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.analysis.laws.fitting import SPARE, Model, explained, models, solve
from pytest_airssys_wasm.analysis.laws.terms import Formula

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.analysis.laws.fitting import Figures

_WINDOWS = (8, 16, 24, 40)
"""The numbers of sizes in a row at which the guest is run, until a formula is found."""
_MOST_SINGLE = 8
"""The number of sizes in a row that may have a figure of their own, such as 0."""
_CONSTANT = Model(((),))
_FIRST_SUSPECTS = 6
"""The number of suspects that are tried before anything else."""
_FIRST_PREDICTIONS = 5
"""The number of fresh points that a formula predicts before the next piece is looked for."""


class OutOfRuns(Exception):
    """The internal error for a search that has made all of its runs, or whose time is up."""


class Stretch(Struct, frozen=True, kw_only=True):
    """The formulas that hold from one size to another, both included."""

    low: int
    high: int
    formulas: tuple[Formula, ...]

    def predict(self, x: int) -> Figures:
        """Return the figures for a size; a figure that is not whole stands for itself and matches no measured one."""
        return tuple(formula.at((x,)) for formula in self.formulas)  # type: ignore[misc]


class Learnt(Struct, frozen=True, kw_only=True):
    """The result of a search: pieces that follow each other, and the reason why there are not more of them."""

    stretches: tuple[Stretch, ...]
    reason: str
    """The reason why nothing is said about larger sizes; empty if the pieces cover all of them."""


class Samples:
    """The figures that are known, and the runs that may still be made for more."""

    def __init__(
        self,
        measure: Callable[[int], Figures | None],
        most: int,
        is_over: Callable[[], bool],
        suspects: Sequence[int] = (),
    ) -> None:
        self.suspects = suspects
        """The sizes at which the guest may behave differently, because it has them in its code."""
        self.known: dict[int, Figures | None] = {}
        self.kept_back = 2 * most // 5
        """The number of runs that are kept for the attempt to refute a law when it has been found."""
        self._measure = measure
        self._left = most
        self._is_over = is_over

    @property
    def left(self) -> int:
        """The number of runs that may still be made."""
        return 0 if self._is_over() else max(0, self._left - self.kept_back)

    def at(self, x: int) -> Figures | None:
        """Return the figures for a size; `None` if the call does not return. Raises `OutOfRuns`."""
        if x not in self.known:
            if not self.left:
                raise OutOfRuns
            self._left -= 1
            self.known[x] = self._measure(x)
        return self.known[x]

    def between(self, low: int, high: int) -> list[int]:
        """Return the sizes of a range whose figures are known, in order, up to the first that does not return."""
        found = []
        for x in sorted(x for x in self.known if low <= x <= high):
            if self.known[x] is None:
                break
            found.append(x)
        return found


def learn(samples: Samples, low: int, high: int, chance: random.Random) -> Learnt:
    """Return pieces of formulas from `low` on, as far as the runs reach, at most to `high`."""
    stretches: list[Stretch] = []
    reason = ""
    start = low
    while start <= high:
        found, reason = _next(samples, start, high, stretches[-1] if stretches else None, chance)
        stretches += found
        if reason or not found:
            break
        start = found[-1].high + 1
    samples.kept_back = 0
    predicted: Counter[int] = Counter()
    while stretches:
        refuted, size, is_sure = _refute(samples, stretches, predicted, chance)
        if refuted is None:
            if not is_sure:
                stretches = _certain(samples, stretches, predicted)
                reason = reason or "no more runs may be made"
            break
        if size in _multiples(stretches) and size > stretches[refuted].low:
            cut = stretches[refuted]
            del stretches[refuted:], predicted[cut.low]
            stretches.append(Stretch(low=cut.low, high=size - 1, formulas=cut.formulas))
            reason = f"from {size:,} on, some sizes cost something else at regular distances"
            continue
        begin = stretches[refuted].low
        for one in stretches[refuted:]:
            del predicted[one.low]
        del stretches[refuted:]
        while begin <= high:
            found, reason = _next(samples, begin, high, stretches[-1] if stretches else None, chance)
            stretches += found
            if reason or not found:
                break
            begin = found[-1].high + 1
    return Learnt(stretches=tuple(stretches), reason=reason)


def _refute(
    samples: Samples, stretches: Sequence[Stretch], predicted: Counter[int], chance: random.Random
) -> tuple[int | None, int, bool]:
    """Spend the remaining runs on fresh points. Return the index of a piece whose formula fails, the size at which it
    fails, and whether each piece has predicted enough points, which are counted in `predicted` by the beginnings of the
    pieces.
    """
    low, high = stretches[0].low, stretches[-1].high
    lacking = [*_lacking(samples, stretches, predicted, chance)]
    suspects = iter([x for x in samples.suspects if low <= x <= high and x not in samples.known])
    others = _in_turns(suspects, _fresh(low, high, chance))
    for x in chain(islice(suspects, _FIRST_SUSPECTS), lacking, _multiples(stretches), others):
        if not samples.left:
            break
        if x in samples.known or not low <= x <= high:
            continue
        index = next(i for i, one in enumerate(stretches) if one.low <= x <= one.high)
        if samples.at(x) != stretches[index].predict(x):
            return index, x, False
        predicted[stretches[index].low] += 1
    return None, 0, all(_is_certain(samples, one, predicted) for one in stretches)


def _in_turns(suspects: Iterator[int], fresh: Iterator[int]) -> Iterator[int]:
    """Yield two suspects for each fresh size, and the rest of the fresh ones."""
    for x in fresh:
        yield from islice(suspects, 2)
        yield x


def _multiples(stretches: Sequence[Stretch]) -> list[int]:
    """Return multiples of single sizes that have a figure of their own: a guest may do something at every 97th size."""
    singles = [one.low for one in stretches if one.low == one.high and one.low > _MOST_SINGLE]
    return [times * size for size in singles for times in (2, 3)]


def _lacking(
    samples: Samples, stretches: Sequence[Stretch], predicted: Counter[int], chance: random.Random
) -> Iterator[int]:
    """Yield sizes at which pieces have to be tried that have not predicted enough yet."""
    for one in stretches:
        untried = _untried(samples, one)
        missing = _needed(len(untried) + predicted[one.low]) - predicted[one.low]
        yield from chance.sample(untried, max(0, min(len(untried), missing)))


def _untried(samples: Samples, one: Stretch) -> list[int]:
    return [x for x in range(one.low, one.high + 1) if x not in samples.known]


def _needed(count: int) -> int:
    """Return how many of some sizes have to be tried: three, and more for a long range."""
    return min(count, 2 + count.bit_length() // 2)


def _is_certain(samples: Samples, one: Stretch, predicted: Counter[int]) -> bool:
    count = len(_untried(samples, one)) + predicted[one.low]
    return predicted[one.low] >= _needed(count) or count == predicted[one.low]


def _certain(samples: Samples, stretches: Sequence[Stretch], predicted: Counter[int]) -> list[Stretch]:
    """Return the pieces up to the first that has not predicted enough, and of that one as much as has been run."""
    kept: list[Stretch] = []
    for one in stretches:
        if _is_certain(samples, one, predicted):
            kept.append(one)
            continue
        end = one.low
        while samples.known.get(end) is not None:
            end += 1
        if end > one.low:
            kept.append(Stretch(low=one.low, high=min(one.high, end - 1), formulas=one.formulas))
        break
    return kept


def _fresh(low: int, high: int, chance: random.Random) -> Iterator[int]:
    """Yield sizes at which formulas often break, and others by chance, as many small as large ones."""
    edges = [
        base**exponent + more for base, most in ((2, 20), (10, 6)) for exponent in range(3, most) for more in (0, 1)
    ]
    chance.shuffle(edges)
    inside = [x for x in edges if low <= x <= high]
    span = high - low
    if span < 1:
        return
    for round_ in range(min(4 * span, 300)):
        if round_ % 2 and inside:
            yield inside.pop()
        elif round_ % 4:
            yield low + chance.randrange(span + 1)
        else:
            yield min(high, low + int((span + 1) ** chance.random()))


def _next(
    samples: Samples, start: int, high: int, before: Stretch | None, chance: random.Random
) -> tuple[list[Stretch], str]:
    """Return the pieces from `start` to the end of the next formula, and the reason if there is none."""
    singles, found = 0, None
    try:
        for window in _WINDOWS:
            for x in range(start, min(high, start + window - 1) + 1):
                if samples.at(x) is None:
                    break
            singles, found = _best_start(samples, start, high, before)
            if found is None:
                continue
            found = _extend(samples, start + singles, high, before, found, chance)
            is_cut = found.high < min(high, start + window - 1)
            if not is_cut or window >= _WINDOWS[1]:
                break
    except OutOfRuns:
        found = _kept(samples, start + singles, high, found)
        reason = "no more runs may be made" if found is None or found.high < high else ""
        return ([] if found is None else [*_single(samples, start, singles), found]), reason
    if found is None:
        known = samples.between(start, high)
        if known and known[-1] - known[0] + 1 == len(known) <= _MOST_SINGLE and known[-1] == high:
            return [*_single(samples, start, len(known))], ""
        return [], f"no formula of degree 3 or less explains the sizes from {start:,} on"
    return [*_single(samples, start, singles), found], ""


def _single(samples: Samples, start: int, count: int) -> list[Stretch]:
    """Return pieces of one size each; neighbours with the same figures are one piece."""
    pieces: list[Stretch] = []
    for x in range(start, start + count):
        figures = samples.known[x]
        assert figures is not None
        formulas = tuple(map(Formula.constant, figures))
        if pieces and pieces[-1].formulas == formulas:
            pieces[-1] = Stretch(low=pieces[-1].low, high=x, formulas=formulas)
        else:
            pieces.append(Stretch(low=x, high=x, formulas=formulas))
    return pieces


def _best_start(samples: Samples, start: int, high: int, before: Stretch | None) -> tuple[int, Stretch | None]:
    """Return how many sizes have a figure of their own, and the formula behind them that reaches farthest."""
    best: tuple[int, Stretch | None] = 0, None
    for singles in range(_MOST_SINGLE + 1):
        if start + singles not in samples.known or samples.known[start + singles] is None:
            break
        found = _best(samples, start + singles, high, before)
        if found is not None and (best[1] is None or found.high > best[1].high):
            best = singles, found
    return best


def _best(samples: Samples, start: int, high: int, before: Stretch | None) -> Stretch | None:
    """Return the simplest formula that explains most of the known figures from `start` on."""
    xs = samples.between(start, high)
    points = [(x,) for x in xs]
    figures = [samples.known[x] or () for x in xs]
    best_count: int = 0
    best: tuple[Formula, ...] | None = None
    if before is not None:
        apart = [tuple(a - b for a, b in zip(one, before.predict(x))) for x, one in zip(xs, figures)]
        best_count = explained(_CONSTANT, points, apart) if _are_whole(apart) else 0
        if best_count:
            best = tuple(_plus(formula, constant) for formula, constant in zip(before.formulas, apart[0]))
    for model in models():
        if len(xs) < model.unknowns + SPARE or best_count == len(xs):
            break
        count = explained(model, points, figures)
        formulas = solve(model, points[:count], figures[:count]) if count > best_count else None
        if formulas is not None:
            best_count, best = count, formulas
    return None if best is None else Stretch(low=start, high=xs[best_count - 1], formulas=best)


def _are_whole(figures: Sequence[Figures]) -> bool:
    return all(isinstance(one, int) or Fraction(one).denominator == 1 for figure in figures for one in figure)


def _plus(formula: Formula, constant: int) -> Formula:
    return Formula.of((*formula.terms, (Fraction(constant), ())))


def _extend(
    samples: Samples, start: int, high: int, before: Stretch | None, found: Stretch, chance: random.Random
) -> Stretch:
    """Let a formula predict larger sizes, find where it ends, and replace it by one that explains more."""
    while True:
        end = _first_failure(samples, found, high, chance)
        if end is None:
            return Stretch(low=start, high=high, formulas=found.formulas)
        reach = max(x for x in samples.known if start <= x < end and samples.known[x] == found.predict(x))
        while end - reach > 1:
            middle = (reach + end) // 2
            if samples.at(middle) == found.predict(middle):
                reach = middle
            else:
                end = middle
            if end - reach == 1:
                # One size behind the end may fit by chance.
                near = [x for x in (reach - 1, reach - 2) if x > found.low and samples.at(x) != found.predict(x)]
                if near:
                    end = min(near)
                    reach = max(x for x in samples.known if start <= x < end and samples.known[x] == found.predict(x))
        better = _best(samples, start, high, before)
        if better is None or better.high <= reach:
            return Stretch(low=start, high=reach, formulas=found.formulas)
        found = better


def _first_failure(samples: Samples, found: Stretch, high: int, chance: random.Random) -> int | None:
    """Return the smallest known size above the piece that the formula does not explain, after fresh predictions."""
    known = sorted(x for x in samples.known if found.low <= x <= high)
    failed = next((x for x in known if samples.known[x] != found.predict(x)), None)
    if failed is not None:
        return failed
    fresh = [high, (found.low + high) // 2]
    fresh += [x for x, _ in zip(_fresh(found.low, high, chance), range(4 * _FIRST_PREDICTIONS))]
    for x in [x for x in dict.fromkeys(fresh) if x not in samples.known][:_FIRST_PREDICTIONS]:
        if samples.at(x) != found.predict(x):
            return x
    return None


def _kept(samples: Samples, start: int, high: int, found: Stretch | None) -> Stretch | None:
    """Return what is left of a piece when the runs are used up: up to the last size that it explains."""
    if found is None:
        return None
    reach = found.low
    for x in samples.between(start, high):
        if samples.known[x] != found.predict(x):
            break
        reach = x
    return Stretch(low=found.low, high=reach, formulas=found.formulas)
