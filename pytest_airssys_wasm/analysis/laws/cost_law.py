"""The function `cost_law`: runs an export with arguments of growing sizes until a formula explains what they cost."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.analysis.errors import NoLaw
from pytest_airssys_wasm.analysis.laws.law import CostLaw, Piece
from pytest_airssys_wasm.analysis.laws.pieces import Learnt, OutOfRuns, Samples, Stretch, learn
from pytest_airssys_wasm.analysis.laws.sizes import HELD, NAMES, arguments_by, arguments_of
from pytest_airssys_wasm.analysis.laws.surface import learn_surface
from pytest_airssys_wasm.analysis.laws.terms import Formula
from pytest_airssys_wasm.analysis.repeatable import Deadline, RepeatableGuest
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.budget.units import parse_count
from pytest_airssys_wasm.runtime.guest.constants import special_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.analysis.laws.fitting import Figures
    from pytest_airssys_wasm.analysis.laws.sizes import Arguments, Size
    from pytest_airssys_wasm.analysis.laws.terms import Point
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.errors import WasmError
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

MOST_RUNS = 60
"""The number of runs for each size of the arguments."""
_MOST_ALONE = 36
"""The number of runs for each of several sizes while the others are held; the rest are for all sizes together."""
_INSIDE = 20
"""The value of the first size while the second one is varied: small sizes often have formulas of their own."""
_MOST_FUEL = 10_000_000
"""The most fuel of one run, unless small calls are dear, because dearer calls take too long to be run again and again.
"""
_ROOM = 10
"""The factor by which a run may use more fuel than a small call, if that is more than `_MOST_FUEL`."""
_MOST_SMALL_FUEL = 2_000_000_000
"""The most fuel of a call with small sizes, which mostly get as much as the limits of the guest allow."""
_LEAST_RANGE = 24
"""The number of sizes in a row of which a law has to speak, unless the arguments have fewer."""
_MOST_SUSPECTS = 200
"""The number of sizes that are taken from the code of the guest; as many of them are tried as there are runs left."""
_MOST_TOGETHER = (256, 64, 20)
"""The largest values of each size that are tried when two are varied: both together often cost their product."""
_MOST_FAILING = 4
"""The number of small sizes that may fail, such as an empty text."""


def cost_law(
    component: Component,
    export: str,
    *,
    limits: ResourceLimits | None = None,
    arguments: Callable[..., Sequence[Any]] | None = None,
    max_size: int = 4_096,
    strict: bool = False,
    time_s: float | None = None,
    host: HostFunctions | None = None,
    wasi: Wasi | None = None,
) -> CostLaw | None:
    """Return the exact formula of what a call of an export costs in the sizes of its arguments: bytes of a text,
    elements of a list, the value of an integer. Returns `None` if none is found; with `strict=True`, `NoLaw` is raised,
    and says why.

    The guest is run at most 60 times for each size, and never with more than `max_size`. `arguments` may be a function
    that makes the arguments from one or two sizes, which its parameters name: `lambda n: ("[" + " " * n + "]",)`.
    Without it, texts are of the letter x, elements of a list are equal, and of more than two sizes only the first ones
    that matter are varied. A law is piecewise, of degree 3 or less, with whole blocks where loops are unrolled. It is
    returned only if it predicted fresh points to the unit. Sizes that are in the guest's code are tried, too; it cannot
    know of exceptions at other single sizes. A law ends where a call would use more than 10,000,000 units of fuel, and
    more than ten times as much as a small one.

    Raises `CannotRepeat`, the `WasmError` of calls that fail even for small sizes, and the errors of `execute`.
    """
    deadline = Deadline(time_s)
    guest = RepeatableGuest(component, limits=limits, host=host, wasi=wasi)
    parse_count(max_size, "max_size")
    try:
        made = arguments_of(component, export, max_size) if arguments is None else arguments_by(arguments, max_size)
        return _Search(guest, export, made, deadline).law()
    except NoLaw:
        if strict:
            raise
        return None


class _Search:
    """The search for the law of one export."""

    def __init__(self, guest: RepeatableGuest, export: str, arguments: Arguments, deadline: Deadline) -> None:
        self._guest = guest
        self._export = export
        self._arguments = arguments
        self._deadline = deadline
        self._chance = random.Random(export)
        self._figures: dict[Point, Figures | None] = {}
        self._errors: dict[Point, WasmError] = {}
        highest = max((size.high for size in arguments.sizes), default=0)
        self._suspects = tuple(islice(special_sizes(guest.component, export, 0, highest), _MOST_SUSPECTS))
        self._most_fuel = _MOST_FUEL

    def law(self) -> CostLaw:
        """Return the law. Raises `NoLaw`, and the `WasmError` of a call that never returns."""
        sizes = self._arguments.sizes
        base = tuple(min(HELD, size.high) for size in sizes)
        self._check_that_it_repeats(base)
        order = sorted(range(len(sizes)), key=lambda index: not sizes[index].is_content)
        varied: list[tuple[int, Learnt, int]] = []
        constant = {}
        for index in order:
            inside = list(base)
            for other, _, _ in varied:
                inside[other] = min(sizes[other].high, _INSIDE)
            low, learnt = self._along(index, tuple(inside))
            is_whole = learnt.stretches != () and (low, learnt.stretches[-1].high) == (0, sizes[index].high)
            if _is_constant(learnt) and not learnt.reason and (is_whole or (low == 0 and len(sizes) > 1)):
                constant[index] = low, learnt.stretches[0].high
                continue
            varied.append((index, learnt, low))
            if len(varied) == len(NAMES):
                break
        if not varied:
            return self._constant(base, [constant[index] for index in range(len(sizes))])
        if len(varied) == 1 or not all(learnt.stretches for _, learnt, _ in varied):
            return self._of_one(*varied[0], base)
        return self._of_two(varied, base)

    def _measure(self, point: Point) -> Figures | None:
        """Return the fuel and the peak memory of a call with arguments of these sizes; `None` if it does not return."""
        if point not in self._figures:
            most = _MOST_SMALL_FUEL if all(size <= _MOST_FAILING for size in point) else self._most_fuel
            fuel = self._guest.limits.fuel
            limits = self._guest.under(fuel=most if fuel is None else min(fuel, most))
            done = self._guest.run_to_its_end(self._export, *self._arguments.make(point), limits=limits)
            self._figures[point] = (done.fuel, done.peak_memory_bytes) if done.error is None else None
            if done.error is not None:
                self._errors[point] = done.error
        return self._figures[point]

    def _failure(self, point: Point) -> WasmError | NoLaw:
        """Return the error of a call that did not return, unless the search gave it less fuel than its limits allow."""
        error = self._errors[point]
        given = None if error.usage is None else error.usage.fuel.max_fuel
        if error.verdict is Verdict.OUT_OF_FUEL and given is not None and given != self._guest.limits.fuel:
            return NoLaw(f"even calls with small arguments need more than {given:,} fuel, too much for so many runs")
        return error

    def _check_that_it_repeats(self, base: Point) -> None:
        once = self._measure(base)
        if once is not None:
            self._most_fuel = max(_MOST_FUEL, _ROOM * once[0])
        elif isinstance(failure := self._failure(base), NoLaw):
            raise failure  # a law could only begin above this size, and each of the smaller ones may take as long
        self._figures.pop(base)
        again = self._measure(base)
        if once != again:
            costs = " and then ".join("failed" if one is None else f"cost {one[0]:,}" for one in (once, again))
            raise NoLaw(f"the same call of {printable(self._export)} {costs}: the guest is not deterministic")

    def _along(self, index: int, base: Point, figures: int = 2) -> tuple[int, Learnt]:
        """Return the smallest value of a size and the law for it, while the others are held.

        `figures` is 1 for a law of fuel only.
        """

        def at(x: int) -> Point:
            return (*base[:index], x, *base[index + 1 :])

        def measure(x: int) -> Figures | None:
            measured = self._measure(at(x))
            return None if measured is None else measured[:figures]

        is_alone = len(self._arguments.sizes) == 1
        left = MOST_RUNS * len(self._arguments.sizes) - self._guest.runs
        most = left if is_alone else min(left, _MOST_ALONE)
        samples = Samples(measure, most, lambda: self._deadline.is_over, self._suspects)
        for point in [point for point in self._figures if point == at(point[index])]:
            samples.known[point[index]] = measure(point[index])
        high = self._arguments.sizes[index].high
        try:
            low = next((x for x in range(min(high, _MOST_FAILING) + 1) if samples.at(x) is not None), None)
            if low is None:
                raise self._failure(at(0))
            while samples.at(high) is None and high > low + _LEAST_RANGE:
                high = max(low + _LEAST_RANGE, low + (high - low) // 4)
        except OutOfRuns:
            return 0, Learnt(stretches=(), reason="the time was too short")
        return low, learn(samples, low, high, self._chance)

    def _constant(self, base: Point, ranges: Sequence[tuple[int, int]]) -> CostLaw:
        point = tuple(max(size, low) for size, (low, _) in zip(base, ranges))
        figures = self._measure(point)
        if figures is None:
            raise self._failure(point)
        for _ in range(MOST_RUNS * len(ranges) - self._guest.runs):
            point = tuple(self._chance.randint(low, high) for low, high in ranges)
            if self._measure(point) != figures:
                raise NoLaw("the cost depends on several sizes together, but on none of them alone")
        learnt = Learnt(stretches=(Stretch(low=0, high=0, formulas=_constants(figures)),), reason="")
        return self._law((), _pieces(learnt), {}, "")

    def _of_one(self, index: int, learnt: Learnt, low: int, base: Point) -> CostLaw:
        size = self._arguments.sizes[index]
        if not _is_wide(learnt, low, size):
            reason = learnt.reason or "no formula holds for enough sizes"
            low, learnt = self._along(index, base, figures=1)
            if not _is_wide(learnt, low, size):
                raise NoLaw(reason)
        held = {one: base[other] for other, one in enumerate(self._arguments.sizes) if other != index}
        return self._law((index,), _pieces(learnt), held, learnt.reason)

    def _of_two(self, varied: Sequence[tuple[int, Learnt, int]], base: Point) -> CostLaw:
        (first, of_first, low_first), (second, of_second, low_second) = varied
        most_runs = MOST_RUNS * len(self._arguments.sizes)

        def measure(point: Point) -> Figures | None:
            if self._guest.runs >= most_runs or self._deadline.is_over:
                raise OutOfRuns
            whole = list(base)
            whole[first], whole[second] = point
            return self._measure(tuple(whole))

        alone = [of_first.stretches, of_second.stretches]
        if not all(alone):
            raise NoLaw(of_first.reason or of_second.reason)
        piece, lows = None, (low_first, low_second)
        try:
            for most in _MOST_TOGETHER:
                highs = tuple(min(most, self._arguments.sizes[index].high) for index in (first, second))
                piece = piece or learn_surface(measure, alone, lows, highs, self._chance)
        except OutOfRuns:
            pass
        if piece is None:
            raise NoLaw("each size alone has a formula, but none was found for both of them together")
        held = {one: base[i] for i, one in enumerate(self._arguments.sizes) if i not in (first, second)}
        return self._law((first, second), (piece,), held, "")

    def _law(self, indices: tuple[int, ...], pieces: tuple[Piece, ...], held: dict[Size, int], reason: str) -> CostLaw:
        sizes = self._arguments.sizes
        base = [min(HELD, size.high) for size in sizes]

        def make(point: Point) -> tuple[Any, ...]:
            whole = list(base)
            for index, x in zip(indices, point):
                whole[index] = x
            return self._arguments.make(whole)

        names = self._arguments.names[: len(indices)]
        return CostLaw(
            export=self._export,
            sizes=names,
            meanings={name: sizes[index].meaning for name, index in zip(names, indices)},
            held={size.meaning: value for size, value in held.items() if size.meaning},
            pieces=pieces,
            executions=self._guest.runs,
            is_complete=not self._deadline.is_over,
            limit_reached=reason,
            make=make,
        )


def _is_constant(learnt: Learnt) -> bool:
    monomials = [term[1] for one in learnt.stretches for formula in one.formulas for term in formula.terms]
    return len(learnt.stretches) == 1 and not any(monomials)


def _is_wide(learnt: Learnt, low: int, size: Size) -> bool:
    return bool(learnt.stretches) and learnt.stretches[-1].high - low + 1 >= min(_LEAST_RANGE, size.high - low + 1)


def _pieces(learnt: Learnt) -> tuple[Piece, ...]:
    return tuple(
        Piece(
            low=(one.low,),
            high=(one.high,),
            fuel=one.formulas[0],
            memory=one.formulas[1] if len(one.formulas) > 1 else None,
        )
        for one in learnt.stretches
    )


def _constants(figures: Figures) -> tuple[Formula, ...]:
    return tuple(map(Formula.constant, figures))
