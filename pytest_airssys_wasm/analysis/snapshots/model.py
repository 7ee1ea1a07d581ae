"""The data of a snapshot: what each export costs in each test, the laws of what exports cost, and with which engine and
guests this was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_airssys_wasm.analysis.laws.law import Law


class EntryKey(NamedTuple):
    """The name of an entry: a test, and what was run in it. Keys are sorted by test, then by kind and name."""

    test: str
    """The node id of the test."""
    kind: str
    """`export`, `instantiation`, `law` or `section`."""
    name: str
    """The full name of the export, or the name of the section; empty for the instantiation."""

    @property
    def label(self) -> str:
        """The text for the entry in messages, without its test."""
        match self.kind:
            case "instantiation":
                return "instantiation"
            case "section":
                return f"section {self.name}"
            case _:
                return self.name


class Cost(Struct, frozen=True, kw_only=True):
    """The cost of the executions that one entry sums up."""

    fuel: int
    """The units of fuel of all executions together."""
    peak_memory_bytes: int
    """The highest peak memory of an execution, in bytes."""
    executions: int
    """The number of executions."""
    guests: tuple[str, ...] = ()
    """The paths of the guests that were run, relative to the root directory and sorted. Guests elsewhere, and guests
    that are given as text or bytes, are left out.
    """

    def plus(self, other: Cost) -> Cost:
        """Return the cost of the executions of both."""
        return Cost(
            fuel=self.fuel + other.fuel,
            peak_memory_bytes=max(self.peak_memory_bytes, other.peak_memory_bytes),
            executions=self.executions + other.executions,
            guests=tuple(sorted({*self.guests, *other.guests})),
        )


class RecordedLaw(Struct, frozen=True, kw_only=True):
    """The cost law of an export, which is the entry of a check of laws."""

    law: Law
    """The formulas; neighbouring pieces differ."""
    guests: tuple[str, ...] = ()
    """The path of the guest, as for a `Cost`."""


Entry: TypeAlias = "Cost | RecordedLaw"
"""The value of an entry: a law for keys of the kind `law`, and a cost for all others."""


class EngineCosts(Struct, frozen=True, kw_only=True):
    """The engine with which costs were measured."""

    wasmtime: str
    """The version of wasmtime."""
    settings: tuple[str, ...]
    """The names of the settings of wasmtime that are on, sorted."""
    calibration: Mapping[str, int]
    """The fuel of each bundled kernel, by its name."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """The costs of all tests, with their provenance."""

    engine: EngineCosts
    guests: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 digest of each guest, by its path relative to the root directory."""
    entries: Mapping[EntryKey, Entry] = field(default_factory=dict)
    """The cost or the law of each entry."""
