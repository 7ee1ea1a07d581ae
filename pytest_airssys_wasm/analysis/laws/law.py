"""The cost law of an export: exact formulas in the sizes of its arguments, with the ranges in which they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.values import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_airssys_wasm.analysis.laws.terms import Formula, Point


class Piece(Struct, frozen=True, kw_only=True):
    """A part of a law: the formulas between two corners, both included."""

    low: Point
    """The smallest value of each size."""
    high: Point
    """The largest value of each size."""
    fuel: Formula
    """The fuel of the call, with the instantiation of the guest."""
    memory: Formula | None
    """The peak memory in bytes; `None` if nothing is known about it."""

    def holds_for(self, point: Point) -> bool:
        """Return whether the piece speaks of these sizes."""
        return all(low <= x <= high for low, x, high in zip(self.low, point, self.high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """The formulas of a cost law, with the sizes of which they speak."""

    sizes: tuple[str, ...]
    """The names of the sizes of which the law speaks, such as `("n",)`; empty if the cost is always the same."""
    meanings: Mapping[str, str]
    """The meaning of each size, such as `bytes of text`; an empty text for a size that the caller has named."""
    held: Mapping[str, int]
    """The other sizes of the arguments, by their meanings, with the value that they have."""
    pieces: tuple[Piece, ...]
    """The formulas, in the order of the sizes. A law of two sizes has one piece."""

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """The smallest and the largest value of each size for which the law holds."""
        return {name: (self.pieces[0].low[index], self.pieces[-1].high[index]) for index, name in enumerate(self.sizes)}

    @property
    def text(self) -> str:
        """The law of the fuel: `fuel = 351 + 53·n, n = bytes of text; exact for 0 ≤ n ≤ 4,096`."""
        return f"fuel = {self._formulas('fuel')}{self._explained()}"

    @property
    def memory_text(self) -> str | None:
        """The law of the peak memory in bytes, written like that of the fuel; `None` if there is none."""
        if any(piece.memory is None for piece in self.pieces):
            return None
        return f"peak memory = {self._formulas('memory')}{self._explained()}"

    @property
    def full_text(self) -> str:
        """The laws of the fuel and, if there is one, of the peak memory in bytes, in one line."""
        has_memory = all(piece.memory is not None for piece in self.pieces)
        memory = f", peak memory = {self._formulas('memory')}" if has_memory else ""
        return f"fuel = {self._formulas('fuel')}{memory}{self._explained()}"

    @property
    def ranges_text(self) -> str:
        """The sizes for which the law holds: `0 ≤ n ≤ 4,096`."""
        ranges = " and ".join(sizes_text(name, low, high) for name, (low, high) in self.ranges.items())
        return ranges or "all sizes"

    def _formulas(self, which: str) -> str:
        """Write the formulas; neighbouring pieces with the same one are written once."""
        spans: list[tuple[Point, Point, Formula]] = []
        for piece in self.pieces:
            formula = getattr(piece, which)
            if spans and spans[-1][2] == formula:
                spans[-1] = (spans[-1][0], piece.high, formula)
            else:
                spans.append((piece.low, piece.high, formula))
        if len(spans) == 1:
            return spans[0][2].text(self.sizes)
        (name,) = self.sizes
        return "; ".join(
            f"{formula.text(self.sizes)} for {sizes_text(name, low[0], high[0])}" for low, high, formula in spans
        )

    def _explained(self) -> str:
        explained = "".join(f", {name} = {meaning}" for name, meaning in self.meanings.items() if meaning)
        held = "".join(f", {meaning} = {value:,}" for meaning, value in self.held.items())
        return f"{explained}{held}; exact" + (f" for {self.ranges_text}" if self.sizes else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLaw(Law):
    """The exact cost of an export as a function of the sizes of its arguments. It is the cost of `engine.execute`: of
    the instantiation and the call together.

    The law holds for the arguments that `arguments` returns, in `ranges`; other arguments of the same size may cost
    more or less.
    """

    export: str
    """The full name of the export."""
    executions: int
    """The number of runs that were made; all of them agree with the law."""
    is_complete: bool
    """Whether the search came to its end; if not, `time_s` was too short for the whole range."""
    limit_reached: str = ""
    """The reason why the law says nothing about larger sizes; empty if it covers all that was asked for."""
    make: Callable[[Point], tuple[Any, ...]] = field(repr=False, compare=False)
    """The function that makes the arguments."""

    def arguments(self, sizes: Mapping[str, int]) -> tuple[Any, ...]:
        """Return the arguments of these sizes of which the law speaks, such as `{"n": 100}`.

        Raises `ValueError` for other names, and for sizes outside of the ranges.
        """
        return self.make(self._point(sizes))

    def fuel(self, sizes: Mapping[str, int]) -> int:
        """Return the fuel of a call with arguments of these sizes, such as `{"n": 100}`, to the unit.

        Raises `ValueError` for other names, and for sizes outside of the ranges.
        """
        point = self._point(sizes)
        return int(self._piece(point).fuel.at(point))

    def peak_memory_bytes(self, sizes: Mapping[str, int]) -> int:
        """Return the peak memory in bytes of a call with arguments of these sizes, such as `{"n": 100}`.

        Raises `ValueError` for other names, for sizes outside of the ranges, and if the law is about fuel only.
        """
        point = self._point(sizes)
        memory = self._piece(point).memory
        if memory is None:
            raise ValueError(f"no law was found for the memory of {self.export}: this one is about its fuel")
        return int(memory.at(point))

    def _piece(self, point: Point) -> Piece:
        return next(piece for piece in self.pieces if piece.holds_for(point))

    def _point(self, sizes: Mapping[str, int]) -> Point:
        if set(sizes) != set(self.sizes):
            wanted = ", ".join(self.sizes) or "no sizes"
            raise ValueError(f"sizes: expected {wanted}, got {', '.join(map(str, sizes)) or 'none'}")
        point = []
        for name, (low, high) in self.ranges.items():
            x = sizes[name]
            if isinstance(x, bool) or not isinstance(x, int) or not low <= x <= high:
                raise ValueError(
                    f"{name}: the law holds for whole numbers from {low:,} to {high:,}, got {short_repr(x)}"
                )
            point.append(x)
        return tuple(point)


def sizes_text(name: str, low: int, high: int) -> str:
    """Write a range of a size: `0 ≤ n ≤ 4,096`."""
    return f"{name} = {low:,}" if low == high else f"{low:,} ≤ {name} ≤ {high:,}"
