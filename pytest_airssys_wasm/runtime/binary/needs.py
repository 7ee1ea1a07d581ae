"""What a guest declares that it needs before any of its code has run, and where that is over the limits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

_LISTED = 64
"""A component may instantiate a module more often than anyone could list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MisplacedData:
    """A data segment that does not fit into its memory: instantiation will trap."""

    number: int
    """Among the data segments of its module, from 0."""
    end_bytes: int
    """Where it would end."""
    memory_bytes: int
    """How large its memory begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What instantiating a guest takes at least. Of a component: all its core instances, nested ones too."""

    memory_bytes: int = 0
    """Initial size of all its own memories together; imported ones are another's."""
    each_memory_bytes: tuple[int, ...] = ()
    """The same, by memory; of very many, the first."""
    memories: int = 0
    has_memory64: bool = False
    """Whether a memory has 64-bit addresses."""
    tables: int = 0
    table_elements: int = 0
    """Initial size of the largest of its own tables."""
    instances: int = 0
    """Core instances. wasmtime may add some of its own where components call each other."""
    data_bytes: int = 0
    """All data segments, the passive ones too."""
    misplaced_data: tuple[MisplacedData, ...] = ()
    """Of very many, the first."""
    is_complete: bool = True
    """Whether this is all. Otherwise (it takes modules from outside, or uses what is not known here) all figures
    are lower bounds."""


def together(parts: Iterable[Needs]) -> Needs:
    """What these need together."""
    parts = list(parts)
    return Needs(
        memory_bytes=sum(part.memory_bytes for part in parts),
        each_memory_bytes=tuple(islice(chain.from_iterable(part.each_memory_bytes for part in parts), _LISTED)),
        memories=sum(part.memories for part in parts),
        has_memory64=any(part.has_memory64 for part in parts),
        tables=sum(part.tables for part in parts),
        table_elements=max((part.table_elements for part in parts), default=0),
        instances=sum(part.instances for part in parts),
        data_bytes=sum(part.data_bytes for part in parts),
        misplaced_data=tuple(islice(chain.from_iterable(part.misplaced_data for part in parts), _LISTED)),
        is_complete=all(part.is_complete for part in parts),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """One way in which a guest cannot be instantiated under some limits. `str()` of it is a sentence."""

    resource: str
    """`memory`, `memories`, `tables`, `table-elements`, `instances`, or `data`: a segment outside of its memory."""
    needed: int
    limit: int
    """In the same unit: bytes for `memory` and `data`, else a count."""
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def exceeded(needs: Needs, limits: ResourceLimits) -> tuple[Excess, ...]:
    """What of the needs is over the limits: each of these makes instantiation fail. Empty when nothing is."""
    least = "" if needs.is_complete else "at least "
    found = []

    def check(resource: str, needed: int, limit: int, sentence: str) -> None:
        if needed > limit:
            found.append(Excess(resource=resource, needed=needed, limit=limit, sentence=sentence))

    memories = _count(needs.memories, "memory", "memories")
    check(
        "memory",
        needs.memory_bytes,
        limits.memory,
        f"declares {least}{_size(needs.memory_bytes)} of initial memory ({memories}), "
        f"the limit is {_size(limits.memory)}",
    )
    check("memories", needs.memories, limits.memories, f"declares {least}{memories}, the limit is {limits.memories:,}")
    check(
        "tables",
        needs.tables,
        limits.tables,
        f"declares {least}{_count(needs.tables, 'table', 'tables')}, the limit is {limits.tables:,}",
    )
    check(
        "table-elements",
        needs.table_elements,
        limits.table_elements,
        f"declares a table of {_count(needs.table_elements, 'element', 'elements')}, "
        f"the limit is {limits.table_elements:,}",
    )
    check(
        "instances",
        needs.instances,
        limits.instances,
        f"consists of {least}{_count(needs.instances, 'core instance', 'core instances')}, "
        f"the limit is {limits.instances:,}",
    )
    for data in needs.misplaced_data[:1]:
        check(
            "data",
            data.end_bytes,
            data.memory_bytes,
            f"data segment {data.number} ends at byte {data.end_bytes:,} of a memory that begins with "
            f"{data.memory_bytes:,} bytes: instantiation will trap",
        )
    return tuple(found)


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _size(size_bytes: int) -> str:
    """Exactly: a limit of one byte less must not read the same."""
    for unit, unit_bytes in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes and not size_bytes % unit_bytes:
            return f"{size_bytes // unit_bytes:,} {unit}"
    return f"{size_bytes:,} bytes"
