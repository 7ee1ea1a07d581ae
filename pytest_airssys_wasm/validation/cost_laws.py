"""The check `law[<export>]`: the cost of an export follows a law, and stays below the limits up to `max_size`."""

from __future__ import annotations

import random
from itertools import groupby
from typing import TYPE_CHECKING

from pytest_airssys_wasm.analysis.errors import CannotRepeat, NoLaw
from pytest_airssys_wasm.analysis.laws.cost_law import cost_law
from pytest_airssys_wasm.analysis.laws.law import sizes_text
from pytest_airssys_wasm.analysis.laws.sizes import arguments_of
from pytest_airssys_wasm.analysis.repeatable import RepeatableGuest
from pytest_airssys_wasm.analysis.tightest import bisect
from pytest_airssys_wasm.analysis.worst.values import other_contents
from pytest_airssys_wasm.runtime.base.figures import percent, size
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.errors import UnfitHost, WasmError
from pytest_airssys_wasm.runtime.manifest.model import FuzzTable
from pytest_airssys_wasm.validation.scaling_limits import met_limit
from pytest_airssys_wasm.validation.unfit import Unfit, remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.analysis.laws.law import CostLaw
    from pytest_airssys_wasm.analysis.laws.terms import Point
    from pytest_airssys_wasm.analysis.repeatable import Rerun
    from pytest_airssys_wasm.validation.candidate import Candidate

_MOST = 4_096
"""The largest size in the search for a law, unless `max_size` is larger: larger sizes reveal more of its form."""
_MOST_S = 20.0
"""The longest time of a search, in seconds."""
_FRESH = 24
"""The number of new random points at which a law is tried."""
_CONTENTS = 8
"""The number of calls with other contents of the same sizes."""
_MADE_OF = {"bytes of": "texts of the letter x", "elements of": "lists of equal elements"}
"""The contents of the arguments that are made for a law, by the beginning of the meaning of their size."""
_LOWER = "lower max_size of [fuzz] to the sizes that are possible"
_LIMITS = (Verdict.OUT_OF_FUEL, Verdict.OUT_OF_MEMORY)


def check_cost_law(candidate: Candidate, export: str, *, seed: int = 0) -> str:
    """Find the law of an export, try it at new points, and return its text, or the reason why there is none.

    Raises `Unfit` if a new point contradicts the law, or if sizes within `max_size` of the table `[fuzz]` reach the
    fuel or the memory limit, and `Blocked` if the component cannot be instantiated.
    """
    with candidate.instantiated():
        pass  # an earlier check reports the reason
    try:
        return _Check(candidate, export, seed).note()
    except CannotRepeat as error:
        return f"no law: {error}"


class _Check:
    """The check of one export."""

    def __init__(self, candidate: Candidate, export: str, seed: int) -> None:
        component = candidate.load()
        table = FuzzTable() if candidate.manifest is None else candidate.manifest.fuzz
        self._candidate = candidate
        self._export = export
        self._max_size = table.max_size
        self._allowed = frozenset(table.allow.get(export, ()))
        self._chance = random.Random(f"{seed} {export}")
        self._host = candidate.served(component).host
        self._guest = RepeatableGuest(component, limits=candidate.limits, host=self._host, wasi=candidate.wasi)

    def note(self) -> str:
        """Return the note of the check. Raises `Unfit`."""
        try:
            law = self._learnt()
        except NoLaw as error:
            return f"no law: {printable(str(error))}"
        except UnfitHost:
            raise
        except WasmError as error:
            if error.verdict in _LIMITS and str(error.verdict) not in self._allowed:
                reason = f"even the smallest arguments of {printable(self._export)} end with {error.verdict}"
                raise Unfit(reason, self._raise_it(error)) from error
            return f"no law: calls with small arguments end with {error.verdict}"
        for point in self._fresh(law):
            self._try(law, point)
        left_out = [*self._left_out(law)]
        self._candidate.tell(law)
        shares = [share for direction in self._directions(law) if (share := self._share(law, direction))]
        cut = "" if law.is_complete else "; cut off"
        texts = (f"{law.text}{self._made_of(law)}{cut}", *left_out, *shares[:1], self._met(law), self._contents(law))
        return "; ".join(filter(None, texts))

    def _learnt(self) -> CostLaw:
        """Return a law for all sizes up to `max_size` if there is one, or else the first one found.

        Raises `NoLaw`.
        """
        narrow: CostLaw | None = None
        reason: NoLaw | None = None
        for most in dict.fromkeys((max(_MOST, self._max_size), self._max_size)):
            try:
                law = cost_law(
                    self._guest.component,
                    self._export,
                    limits=self._guest.limits,
                    max_size=most,
                    strict=True,
                    time_s=_MOST_S,
                    host=self._host,
                    wasi=self._candidate.wasi,
                )
            except NoLaw as error:
                reason = error
                continue
            assert law is not None
            if not law.limit_reached or all(high >= self._max_size for _, high in law.ranges.values()):
                return law
            narrow = narrow or law
        if narrow is not None:
            return narrow
        assert reason is not None
        raise reason

    def _fresh(self, law: CostLaw) -> Iterator[Point]:
        """Yield points in the ranges of a law: random ones, half of them within `max_size`, and the dearest."""
        ranges = [*law.ranges.values()]
        if not ranges:
            yield ()
            return
        if len(ranges) == 1:
            (name,), ((low, high),) = law.sizes, ranges
            within = range(low, max(low, min(high, self._max_size)) + 1)
            yield (max(within, key=lambda n: law.fuel({name: n})),)
        for number in range(_FRESH):
            tops = [max(low, min(high, self._max_size)) if number % 2 else high for low, high in ranges]
            yield tuple(self._chance.randint(low, top) for (low, _), top in zip(ranges, tops))

    def _try(self, law: CostLaw, point: Point) -> None:
        """Run the call of a point. Raises `Unfit` unless the cost is as the law predicts."""
        done = self._run(law, point)
        sizes = dict(zip(law.sizes, point))
        if done.verdict in _LIMITS and sum(point) <= self._max_size:
            self._meets(law, point, done)
        if done.error is not None:
            said = f"ended with {done.verdict}"
        elif done.fuel != law.fuel(sizes):
            said = f"cost {done.fuel:,} fuel"
        elif law.memory_text is not None and done.peak_memory_bytes != law.peak_memory_bytes(sizes):
            said = f"had {size(done.peak_memory_bytes)} of memory, the law says {size(law.peak_memory_bytes(sizes))}"
        else:
            return
        if str(done.verdict) in self._allowed:
            return
        predicted = f"the law says {law.fuel(sizes):,}: {law.text}"
        raise Unfit(
            f"{printable(self._export)}{_at(law, point)} {said}; {predicted}",
            "look at what the guest does differently at this size; if that is right, exclude the export under [fuzz]",
        )

    def _left_out(self, law: CostLaw) -> Iterator[str]:
        """Yield how calls end whose sizes are too small for the law, and the first one that is too large for it.

        Raises `Unfit` if such a size within `max_size` reaches a limit.
        """
        lows = [low for low, _ in law.ranges.values()]
        for index, (name, (low, high)) in enumerate(law.ranges.items()):
            next_ = [high + 1] if len(lows) == 1 and high < self._max_size else []
            ends: dict[int, Verdict] = {}
            for x in (*range(min(low, self._max_size + 1)), *next_):
                point = (*lows[:index], x, *lows[index + 1 :])
                try:
                    done = self._run(law, point)
                except (TypeError, ValueError, OverflowError):  # the integer type does not have so large a value
                    continue
                if done.verdict in _LIMITS:
                    self._meets(law, point, done)
                ends[x] = done.verdict
            for verdict, group in groupby(ends, ends.__getitem__):
                sizes = [*group]
                if verdict is not Verdict.OK:
                    yield f"ends with {verdict} for {sizes_text(name, sizes[0], sizes[-1])}"

    def _directions(self, law: CostLaw) -> tuple[Point, ...]:
        """Return the points with the largest sizes whose sum is within `max_size`."""
        most = self._max_size
        if len(law.sizes) == 1:
            return ((most,),)
        return ((most // 2, most // 2), (most, 0), (0, most)) if law.sizes else ()

    def _share(self, law: CostLaw, point: Point) -> str | None:
        """Run the call of the largest sizes, and return a text with its share of the fuel limit; `None` if it has no
        limit.

        Raises `Unfit` with the smallest sizes that reach a limit, if any does.
        """

        def run(part: int) -> Rerun:
            return self._run(law, self._part(law, point, part))

        try:
            done = run(self._max_size)
            if done.verdict in _LIMITS:
                least = bisect(lambda part: run(part).verdict in _LIMITS, -1, self._max_size, self._max_size)
                self._meets(law, self._part(law, point, least), run(least))
        except (TypeError, ValueError, OverflowError):  # the integer type does not have so large a value
            return None
        fuel = self._guest.limits.fuel
        if done.error is not None or not fuel:
            return None
        return f"{percent(100 * done.fuel / fuel)} of the fuel limit{_at(law, self._part(law, point, self._max_size))}"

    def _met(self, law: CostLaw) -> str | None:
        """Return a text with the smallest sizes beyond `max_size` that meet a limit; `None` if there are none."""
        directions = self._directions(law)
        if not directions:
            return None
        found = met_limit(
            law,
            self._guest.limits,
            lambda part: self._part(law, directions[0], part),
            lambda point: self._run(law, point),
            self._max_size,
        )
        if found is None:
            return None
        return f"returns{_at(law, found.before)} and ends with {found.verdict}{_at(law, found.point)}"

    def _part(self, law: CostLaw, point: Point, part: int) -> Point:
        """Return the sizes at step `part` on the way to `point`, which is step `max_size`, and beyond it."""
        lows = [low for low, _ in law.ranges.values()]
        return tuple(max(low, x * part // max(1, self._max_size)) for low, x in zip(lows, point))

    def _run(self, law: CostLaw, point: Point) -> Rerun:
        return self._guest.run_to_its_end(self._export, *law.make(point), limits=self._guest.limits)

    def _made_of(self, law: CostLaw) -> str:
        """Return the end of the law's text that names the contents of which it speaks; empty if it is about all."""
        meanings = [one.meaning for one in arguments_of(self._guest.component, self._export, self._max_size).sizes]
        found = [
            contents
            for beginning, contents in _MADE_OF.items()
            if any(meaning.startswith(beginning) for meaning in meanings)
        ]
        return f" {'and' if law.sizes else 'for'} {' and '.join(found)}" if found else ""

    def _contents(self, law: CostLaw) -> str | None:
        """Return a text with the costs of other contents of the same sizes; `None` if all cost what the law says."""
        point = tuple(max(low, min(high, self._max_size)) for low, high in law.ranges.values())
        types, given = self._guest.component.parameter_types(self._export), law.make(point)
        costs = set()
        for _ in range(_CONTENTS):
            arguments = other_contents(types, given, self._chance)
            if arguments == given:
                return None
            done = self._guest.run_to_its_end(self._export, *arguments, limits=self._guest.limits)
            costs.add(f"end with {done.verdict}" if done.error is not None else done.fuel)
        fuel = sorted(cost for cost in costs if isinstance(cost, int))
        ends = sorted(cost for cost in costs if isinstance(cost, str))
        if not ends and set(fuel) == {law.fuel(dict(zip(law.sizes, point)))}:
            return None
        between = [f"cost {fuel[0]:,} to {fuel[-1]:,}" if len(fuel) > 1 else f"cost {fuel[0]:,}"] if fuel else []
        return f"other contents{_at(law, point)} {' or '.join(between + ends)}"

    def _meets(self, law: CostLaw, point: Point, done: Rerun) -> None:
        """Raise `Unfit` for sizes that reach a limit, unless the manifest allows it."""
        if done.error is None or str(done.verdict) in self._allowed:
            return
        is_small = any(x < low for x, (low, _) in zip(point, law.ranges.values()))
        instead = f"allow {done.verdict} under [fuzz.allow]" if is_small else _LOWER
        raise Unfit(
            f"{printable(self._export)}{_at(law, point)} ended with {done.verdict}, within max_size = "
            f"{self._max_size:,}; {law.text}",
            f"{self._raise_it(done.error)}; or {instead}",
        ) from done.error

    def _raise_it(self, error: WasmError) -> str:
        return remedy(error, self._candidate.origins)


def _at(law: CostLaw, point: Point) -> str:
    sizes = ", ".join(f"{name} = {x:,}" for name, x in zip(law.sizes, point))
    return f" at {sizes}" if sizes else ""
