"""The memory of a call while it spends its fuel, as data for a page."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.runtime.base.figures import size
from pytest_airssys_wasm.runtime.base.printable import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_FUNCTIONS = 3
_MOST_NAME = 60


class MemoryStep(Struct, frozen=True, kw_only=True):
    """One growth of memory, or growths that the limit refused."""

    fuel: int
    """The fuel that the call had used."""
    memory_bytes: int | None
    """The size of all memories together after the growth, in bytes; `None` if it was refused."""
    refused: int
    """The number of growths that were refused in this step."""
    functions: tuple[str, ...]
    """The functions that were running, innermost first."""

    @property
    def where(self) -> str:
        """The innermost functions."""
        return " < ".join(self.functions[:_MOST_FUNCTIONS])

    @property
    def what(self) -> str:
        """The size after the growth, and the number of growths that were refused."""
        refused = f"{self.refused:,} refused" if self.refused > 1 else "refused"
        parts = [] if self.memory_bytes is None else [size(self.memory_bytes)]
        return ", ".join([*parts, refused] if self.refused else parts)


class Level(Struct, frozen=True, kw_only=True):
    """A rectangle of the timeline: an amount of memory, from one growth to the next one. All figures are percent."""

    start: float
    width: float
    height: float
    text: str


class MemoryTimeline(Struct, frozen=True, kw_only=True):
    """The memory of a call from its beginning to its end."""

    initial_bytes: int
    steps: tuple[MemoryStep, ...]
    is_complete: bool
    """Whether these are all growths."""
    initial_fuel: int = 0
    """The fuel that the instantiation had used before there was any memory."""

    @classmethod
    def of(cls, *, initial_bytes: int, steps: tuple[MemoryStep, ...], is_complete: bool) -> MemoryTimeline:
        """Return the timeline with these steps. If there is no memory at first, the first step makes it.

        The instantiation of a component makes the memory after it has executed code of other core modules.
        """
        if not initial_bytes and steps and steps[0].memory_bytes and not steps[0].refused:
            first, *others = steps
            return cls(
                initial_bytes=first.memory_bytes or 0,
                steps=tuple(others),
                is_complete=is_complete,
                initial_fuel=first.fuel,
            )
        return cls(initial_bytes=initial_bytes, steps=steps, is_complete=is_complete)

    @property
    def grown(self) -> tuple[MemoryStep, ...]:
        """The steps in which memory was added."""
        return tuple(step for step in self.steps if step.memory_bytes is not None)

    @property
    def peak_bytes(self) -> int:
        """The size after the last growth that is known, in bytes."""
        return max([self.initial_bytes, *(step.memory_bytes or 0 for step in self.steps)])

    @property
    def largest(self) -> str:
        """The function in which the most memory was added at once; empty if none is known."""
        sizes = pairwise([self.initial_bytes, *(step.memory_bytes or 0 for step in self.grown)])
        added = [after - before for before, after in sizes]
        step = max(zip(self.grown, added), key=lambda one: one[1], default=None)
        return step[0].functions[0] if step is not None and step[0].functions else ""

    @property
    def summary(self) -> str:
        """A sentence without its subject, the memory: how it grew, and what the limit refused."""
        refused = sum(step.refused for step in self.steps)
        tail = f"; the limit refused {counted(refused, 'growth')}" if refused else ""
        if not self.grown:
            return f"{'stayed at' if self.is_complete else 'began with'} {size(self.initial_bytes)}{tail}"
        steps = counted(len(self.grown), "step") + ("" if self.is_complete else " and more")
        which = "" if len(self.grown) == 1 and self.is_complete else "the largest "
        where = f", {which}in {cut(self.largest, _MOST_NAME)}" if self.largest else ""
        return f"grew from {size(self.initial_bytes)} to {size(self.peak_bytes)} in {steps}{where}{tail}"

    def levels(self, total: int) -> Iterator[Level]:
        """Yield the rectangles of a timeline whose right end is the total fuel of the call."""
        whole, peak = max(total, 1), max(self.peak_bytes, 1)
        starts = [self.initial_fuel, *(step.fuel for step in self.grown)]
        sizes = [self.initial_bytes, *(step.memory_bytes or 0 for step in self.grown)]
        texts = ["at first", *(f"with {step.fuel:,} fuel, in {step.where}" for step in self.grown)]
        for start, end, memory_bytes, text in zip(starts, [*starts[1:], whole], sizes, texts):
            yield Level(
                start=100 * start / whole,
                width=100 * (end - start) / whole,
                height=100 * memory_bytes / peak,
                text=f"{size(memory_bytes)} {text}",
            )

    def refusals(self, total: int) -> Iterator[Level]:
        """Yield the places of growths that were refused."""
        for step in self.steps:
            if step.refused:
                text = f"{step.what} with {step.fuel:,} fuel, in {step.where}"
                yield Level(start=100 * step.fuel / max(total, 1), width=0, height=100, text=text)
