"""The function `worst_case`: runs an export with one shape of arguments after the other, and then lets the dearest
evolve.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from pytest_airssys_wasm.analysis.repeatable import Deadline, RepeatableGuest
from pytest_airssys_wasm.analysis.worst.growth import growth_of
from pytest_airssys_wasm.analysis.worst.mutation import Mutator
from pytest_airssys_wasm.analysis.worst.series import series, texts
from pytest_airssys_wasm.analysis.worst.values import (
    BYTES,
    NoValue,
    has_size,
    lowered,
    sequence,
    shortened_each,
    size_of,
    value,
)
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.runtime.budget.units import parse_count
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.guest.constants import constants_of
from pytest_airssys_wasm.runtime.wave import write_call
from pytest_airssys_wasm.runtime.wit.types import Primitive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.analysis.worst.series import Series
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

    Arguments = tuple[Any, ...]

_SHARE_OF_SHAPES = 0.6
"""The share of the runs that shapes may take, so that evolution has some even if there are few."""
_POOL = 12
"""The number of the dearest arguments from which new ones are made."""
_MOST_CHANGES = 4
_GROWTH_RUNS = 48
"""The number of runs that are kept for the growth."""
_BLENDS = 0.1
"""The share of new arguments that are put together from two others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """The dearest arguments that were found for an export. Its `str()` shows the call with its cost."""

    export: str
    """The full name of the export."""
    arguments: tuple[Any, ...]
    """The dearest arguments."""
    call: str
    """The call with these arguments, in WAVE notation, cut if it is long."""
    fuel: int
    """The fuel of this call, with the instantiation of the guest; a lower bound if a limit ended the call."""
    peak_memory_bytes: int
    """The peak memory of this call."""
    verdict: Verdict
    """The verdict of this call: `out-of-fuel` or another one if the arguments reach a limit."""
    executions: int
    """The number of runs that the search made, all included."""
    returned: int
    """The number of runs that returned; 0 if all arguments that were tried fail."""
    growth: str | None
    """How the cost grows with the size: `1`, `n`, `n^2` or `n^3`; `None` if it is none of these, or not known."""
    is_complete: bool
    """Whether the search came to its end; if not, `time_s` was too short."""

    def __str__(self) -> str:
        grows = f", growing like {self.growth}" if self.growth is not None else ""
        none = f"; none of {counted(self.executions, 'run')} returned" if not self.returned else ""
        return f"{self.call}: {self.fuel:,} fuel, {self.verdict}{grows}{none}"


def worst_case(
    component: Component,
    export: str,
    *,
    limits: ResourceLimits | None = None,
    max_size: int = 64,
    executions: int = 2_000,
    seed: int = 0,
    measure: Literal["fuel", "memory"] = "fuel",
    time_s: float | None = None,
    host: HostFunctions | None = None,
    wasi: Wasi | None = None,
) -> WorstCase:
    """Return the dearest arguments of an export that a search finds, with at most `max_size` elements of lists and
    bytes of texts in all.

    First come shapes for which programs are known to be slow: rising and falling lists, equal elements, strides,
    repetitions, nested brackets, and constants from the guest's own binary. Then the dearest of them evolve, by changes
    that fit their types. The search makes at most `executions` runs, and ends early at arguments that reach a limit.
    The same seed gives the same result. `measure` says what is dear: `fuel`, or the peak memory.

    Raises `CannotRepeat`, `InvalidConfiguration` for wrong numbers, and the errors of `execute`. An export with
    resources among its parameters cannot be searched: `TypeError`.
    """
    deadline = Deadline(time_s)
    guest = RepeatableGuest(component, limits=limits, host=host, wasi=wasi)
    parse_count(max_size, "max_size")
    if not parse_count(executions, "executions"):
        raise InvalidConfiguration("executions", executions, "a whole number above 0")
    if measure not in ("fuel", "memory"):
        raise InvalidConfiguration("measure", measure, "'fuel' or 'memory'")
    component.check_call(export, len(component.parameter_types(export)))
    try:
        return _Search(guest, export, max_size, executions, random.Random(seed), measure, deadline).worst()
    except NoValue as error:
        raise TypeError(f"{printable(export)}: no values of type {error} can be made for its arguments") from None


class _Trial(Struct, frozen=True, eq=False):
    """Arguments with what they cost."""

    arguments: Arguments
    done: Rerun
    cost: tuple[int, int]
    """The cost, and behind it the other measure, which decides between equal ones."""
    make: Callable[[int], Arguments] | None
    """The function that makes arguments of another size in the same way; `None` for those that have evolved."""


class _Over(Exception):
    """The internal error for a search that has made all of its runs, or has reached a limit."""


class _Search:
    """The search for the worst case of one export."""

    def __init__(
        self,
        guest: RepeatableGuest,
        export: str,
        max_size: int,
        executions: int,
        chance: random.Random,
        measure: str,
        deadline: Deadline,
    ) -> None:
        self._guest = guest
        self._export = export
        self._types = guest.component.parameter_types(export)
        self._max_size = max_size
        self._most = executions
        self._chance = chance
        self._measure = measure
        self._deadline = deadline
        self._constants = constants_of(guest.component)
        self._pool: list[_Trial] = []
        self._tried: set[str] = set()
        self._returned = 0

    def worst(self) -> WorstCase:
        """Return the dearest arguments."""
        kept = min(_GROWTH_RUNS, self._most // 4)
        try:
            for make in islice(self._shapes(), max(1, int(_SHARE_OF_SHAPES * self._most))):
                self._try(make(self._max_size), self._most - kept, make)
            self._evolve(self._most - kept)
        except _Over:
            pass
        best = self._pool[0]
        is_complete = not self._deadline.is_over
        # Calls of smaller sizes may also take as long as the timeout.
        growth = None if best.done.verdict is Verdict.TIMEOUT else self._growth()
        return WorstCase(
            export=self._export,
            arguments=self._lowered(best.arguments),
            call=write_call(self._export, best.arguments, self._types),
            fuel=best.done.fuel,
            peak_memory_bytes=best.done.peak_memory_bytes,
            verdict=best.done.verdict,
            executions=self._guest.runs,
            returned=self._returned,
            growth=growth,
            is_complete=is_complete,
        )

    def _lowered(self, arguments: Arguments) -> Arguments:
        return tuple(lowered(type_, one) for type_, one in zip(self._types, arguments))

    def _size(self, arguments: Arguments) -> int:
        return sum(map(size_of, self._types, arguments))

    def _run(self, arguments: Arguments) -> Rerun:
        done = self._guest.run(self._export, *self._lowered(arguments))
        self._returned += done.error is None
        return done

    def _try(self, arguments: Arguments, most: int, make: Callable[[int], Arguments] | None = None) -> None:
        """Run arguments that were not tried yet, and keep them if they are dear. Raises `_Over`."""
        key = repr(arguments)
        if key in self._tried:
            return
        if self._guest.runs and (self._guest.runs >= most or self._deadline.is_over):
            raise _Over
        self._tried.add(key)
        done = self._run(arguments)
        cost = (done.fuel, done.peak_memory_bytes)
        trial = _Trial(arguments, done, cost if self._measure == "fuel" else cost[::-1], make)
        if len(self._pool) < _POOL or trial.cost > self._pool[-1].cost:
            self._pool.append(trial)
            self._pool.sort(key=lambda one: one.cost, reverse=True)
            del self._pool[_POOL:]
        if done.verdict in _AT_A_LIMIT:
            self._pool.remove(trial)
            self._pool.insert(0, trial)  # its whole cost is not known, but is more than the limit
            raise _Over

    def _shapes(self) -> Iterator[Callable[[int], Arguments]]:
        """Yield functions that make arguments of a given size, the likeliest worst cases first."""
        sized = [index for index, type_ in enumerate(self._types) if has_size(type_)]
        shapes = series(self._constants)
        if not self._types:
            yield lambda _: ()
            return
        rooms = (0, 1, 3, 7) if any(self._is_nested(type_) for type_ in self._types) else (0,)
        for shares in _divisions(len(self._types), sized):
            for shape in shapes:
                for room in rooms:
                    yield self._shaped(shares, shape, room)
            if any(type_ in (BYTES, Primitive("string")) for type_ in self._types):
                for number in range(len(texts(self._constants, self._max_size))):
                    yield self._texts(shares, number)
        if len(sized) > 1:
            yield from self._mixed(sized, shapes)

    def _shaped(self, shares: Sequence[float], shape: Series, room: int) -> Callable[[int], Arguments]:
        def make(size: int) -> Arguments:
            arguments = [
                sequence(type_, shape, int(size * share), room)
                if has_size(type_)
                else value(type_, shape(index, max(1, len(self._types))), 0)
                for index, (type_, share) in enumerate(zip(self._types, shares))
            ]
            return shortened_each(self._types, arguments, size)

        return make

    def _texts(self, shares: Sequence[float], number: int) -> Callable[[int], Arguments]:
        def make(size: int) -> Arguments:
            arguments: list[Any] = []
            for type_, share in zip(self._types, shares):
                if type_ in (BYTES, Primitive("string")):
                    found = texts(self._constants, int(size * share))
                    text = found[number % len(found)]
                    arguments.append([*text] if type_ == BYTES else text.decode("utf-8", "ignore"))
                elif has_size(type_):
                    arguments.append(sequence(type_, lambda i, _: i, int(size * share), 0))
                else:
                    arguments.append(value(type_, number, 0))
            return shortened_each(self._types, arguments, size)

        return make

    def _mixed(self, sized: Sequence[int], shapes: Sequence[Series]) -> Iterator[Callable[[int], Arguments]]:
        """Yield arguments whose parts have different shapes."""
        share = 1 / len(sized)
        for first in shapes[:6]:
            for second in shapes[:6]:

                def make(size: int, first: Series = first, second: Series = second) -> Arguments:
                    return tuple(
                        sequence(type_, first if index == sized[0] else second, int(size * share), 1)
                        if has_size(type_)
                        else value(type_, index, 0)
                        for index, type_ in enumerate(self._types)
                    )

                yield make

    def _is_nested(self, type_: Any) -> bool:
        return has_size(type_) and type_ not in (BYTES, Primitive("string"))

    def _evolve(self, most: int) -> None:
        """Change the dearest arguments again and again. Raises `_Over`."""
        mutator = Mutator(self._chance, self._constants)
        if not self._types:
            raise _Over
        idle = 0
        while idle < 20 * most:  # small types may have no values left
            before = self._guest.runs
            parent = self._pool[min(int(self._chance.expovariate(0.7)), len(self._pool) - 1)].arguments
            if len(self._types) > 1 and self._chance.random() < _BLENDS:
                other = self._chance.choice(self._pool).arguments
                parent = tuple(self._chance.choice(pair) for pair in zip(parent, other))
            for _ in range(self._chance.choice((1, 1, 1, 2, _MOST_CHANGES))):
                parent = mutator.arguments(self._types, parent, self._max_size - self._size(parent))
            self._try(shortened_each(self._types, parent, self._max_size), most)
            idle = 0 if self._guest.runs > before else idle + 1

    def _growth(self) -> str | None:
        """Return how the cost of the dearest shape grows, or that of evolved arguments of which ever fewer pieces are
        kept.
        """
        if not any(map(has_size, self._types)) or self._max_size < 4:
            return None
        best = self._pool[0]
        costs: dict[int, int] = {}

        def measure(size: int) -> bool:
            make = best.make
            smaller = shortened_each(self._types, best.arguments, size, is_thinned=True) if make is None else make(size)
            done = self._run(smaller)
            if done.error is None:
                costs[size] = done.fuel if self._measure == "fuel" else done.peak_memory_bytes
            return done.error is None

        largest = self._max_size
        if best.done.verdict in _AT_A_LIMIT:  # smaller sizes may return
            largest //= 2
            while largest > 1 and not self._deadline.is_over and not measure(largest):
                largest //= 2
        count = min(self._most - self._guest.runs, _GROWTH_RUNS)
        step = max(1, largest // max(1, count - 1))
        for size in list(range(largest, 0, -step))[: max(0, count)]:
            if self._deadline.is_over:
                break
            if size not in costs:
                measure(size)
        return growth_of(costs)


_AT_A_LIMIT = frozenset([Verdict.OUT_OF_FUEL, Verdict.TIMEOUT, Verdict.OUT_OF_MEMORY, Verdict.RESOURCE_LIMIT])


def _divisions(count: int, sized: Sequence[int]) -> Iterator[tuple[float, ...]]:
    """Yield the shares of the arguments in the whole size: equal ones, and with all of it for one of them."""
    equal = 1 / max(1, len(sized))
    yield tuple(equal if index in sized else 0.0 for index in range(count))
    if len(sized) > 1:
        for large in sized:
            yield tuple(
                1 - 0.25 if index == large else 0.25 / (len(sized) - 1) if index in sized else 0.0
                for index in range(count)
            )
