"""The coverage of one guest, as data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_airssys_wasm.runtime.binary.probes import ProbedFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredFunction:
    """A function of a guest, with its basic blocks and those that were reached."""

    name: str
    """The name of the function: `func[12]` for one without a name. It is printable."""
    module: int
    """The number of its core module among those of the guest, from 0."""
    module_name: str
    """The name of the module; empty if the binary does not contain it."""
    index: int
    """The index of the function in its module."""
    offset: int
    """The byte offset in the guest at which the function begins, with its local variables."""
    end: int
    """The byte offset behind its code."""
    blocks: tuple[int, ...]
    """The byte offset in the guest at which each basic block begins, in the order of the code."""
    reached: frozenset[int]
    """The offsets of the basic blocks that were reached: their first instruction was executed."""

    @property
    def is_reached(self) -> bool:
        """Whether the function was called."""
        return bool(self.reached)

    @property
    def missed(self) -> tuple[int, ...]:
        """The offsets of the blocks that were not reached, in the order of the code."""
        return tuple(block for block in self.blocks if block not in self.reached)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """The executions that are not part of a coverage, for one reason."""

    reason: str
    executions: int
    tests: tuple[str, ...] = ()
    """The tests that made them, sorted; empty if nothing is known about tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The functions and basic blocks of a guest that some executions reached.

    A block that is said to be reached was reached. A block that is not was not reached by the executions that could be
    repeated, which `executions` counts; `unmeasured` has the others. Functions without instructions are left out.
    """

    guest: str
    """The name of the guest, printable."""
    functions: tuple[CoveredFunction, ...]
    """The functions in the order of the binary."""
    executions: int
    """The number of executions that were repeated."""
    unmeasured: tuple[Unmeasured, ...] = ()
    """The executions that were not repeated, sorted by reason."""
    cut: int = 0
    """The number of stores in which an execution ran out of fuel or of stack, and it is not known exactly how far it
    got: the probes take some of both.
    """

    @property
    def is_complete(self) -> bool:
        """Whether all executions were repeated, and none of them is cut."""
        return not self.unmeasured and not self.cut

    @property
    def reached_functions(self) -> int:
        """The number of functions that were called."""
        return sum(one.is_reached for one in self.functions)

    @property
    def reached_blocks(self) -> int:
        """The number of blocks that were reached."""
        return sum(len(one.reached) for one in self.functions)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return sum(len(one.blocks) for one in self.functions)


def covered(functions: Iterable[ProbedFunction], found: bytes) -> tuple[CoveredFunction, ...]:
    """Return functions with the blocks that were reached; `found` has a byte for each probe, 0 if it was not."""
    return tuple(
        CoveredFunction(
            name=one.name or f"func[{one.index}]",
            module=one.module,
            module_name=one.module_name,
            index=one.index,
            offset=one.body[0],
            end=one.body[1],
            blocks=one.blocks,
            reached=frozenset(compress(one.blocks, found[one.first_probe : one.first_probe + len(one.blocks)])),
        )
        for one in functions
    )


def either(one: bytes, other: bytes) -> bytes:
    """Return what either of two sequences of the same length has found, each with a byte for each probe."""
    return (int.from_bytes(one, "little") | int.from_bytes(other, "little")).to_bytes(len(one), "little")


def gathered(every: Iterable[Unmeasured]) -> tuple[Unmeasured, ...]:
    """Return one entry for each reason, sorted."""
    known: dict[str, Unmeasured] = {}
    for one in every:
        before = known.get(one.reason)
        known[one.reason] = (
            one
            if before is None
            else Unmeasured(
                reason=one.reason,
                executions=before.executions + one.executions,
                tests=tuple(sorted({*before.tests, *one.tests})),
            )
        )
    return tuple(known[reason] for reason in sorted(known))
