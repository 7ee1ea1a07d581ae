"""The comparison of a snapshot with the costs of a run, and the snapshot that a run leaves behind."""

from __future__ import annotations

from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pytest_airssys_wasm.analysis.laws.difference import law_difference
from pytest_airssys_wasm.analysis.snapshots.model import Cost, EngineCosts, EntryKey, RecordedLaw, Snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pytest_airssys_wasm.analysis.laws.difference import LawDifference
    from pytest_airssys_wasm.analysis.snapshots.model import Entry


class State(str, Enum):
    """The relation of an entry of a snapshot to a run. The members are in the order in which they are shown."""

    REGRESSED = "regressed"
    """It costs more than its tolerance allows."""
    INCOMPARABLE = "incomparable"
    """It costs something else, and the engine, its version or its settings differ; or a law holds for fewer sizes."""
    NEW = "new"
    """It is not in the snapshot."""
    REMOVED = "removed"
    """It is in the snapshot, and its test does not exist any more, or has passed without it."""
    TOLERATED = "tolerated"
    """It costs more, but not more than its tolerance allows."""
    IMPROVED = "improved"
    """It costs less, or a law holds for more sizes."""
    NOT_RUN = "not-run"
    """It is in the snapshot, and its test did not run, or did not pass."""
    UNCHANGED = "unchanged"
    """It costs the same."""

    def __str__(self) -> str:
        return self.value


FAILING = frozenset({State.REGRESSED, State.INCOMPARABLE, State.NEW, State.REMOVED})
"""The states that fail a check."""


class Run(Struct, frozen=True, kw_only=True):
    """The costs of a run, and which tests they speak of."""

    snapshot: Snapshot
    """The costs of the tests that passed."""
    passed: Collection[str]
    """The node ids of the tests that passed."""
    gone: Collection[str] = ()
    """The node ids of tests that do not exist any more: files that were collected as a whole do not have them."""
    tolerance: Fraction = Fraction(0)
    """The share by which costs may grow, for tests without one of their own."""
    tolerances: Mapping[str, Fraction] = field(default_factory=dict)
    """The share by which the costs of a test may grow, by its node id."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """The reason why a check that has passed has found no law, by its node id."""


class Change(Struct, frozen=True, kw_only=True):
    """One entry of a snapshot, or of a run, with its state."""

    key: EntryKey
    state: State
    before: Entry | None
    """The cost or law in the snapshot; `None` for a new entry."""
    after: Entry | None
    """The cost or law in the run; `None` for an entry without one."""
    difference: LawDifference | None = None
    """The difference of two laws; `None` for a cost, and unless both sides have one."""
    reason: str = ""
    """The reason why a law has been removed; empty if it is not known."""


class Comparison(Struct, frozen=True, kw_only=True):
    """All entries of a snapshot and of a run, sorted by state, then by key."""

    changes: tuple[Change, ...]
    engine_changes: tuple[str, ...]
    """What differs in the engine, one phrase each: version, settings, and the cost of kernels."""
    guest_changes: tuple[str, ...]
    """The paths of the guests whose content is another one than in the snapshot, sorted."""

    @property
    def fails(self) -> bool:
        """Whether a check of the snapshot fails."""
        return any(change.state in FAILING for change in self.changes)

    def of(self, state: State) -> list[Change]:
        """Return the entries in this state."""
        return [change for change in self.changes if change.state is state]


def compare(before: Snapshot | None, run: Run) -> Comparison:
    """Return the state of each entry of a snapshot and of a run. Without a snapshot all entries of the run are new."""
    if before is None:
        added = (Change(key=key, state=State.NEW, before=None, after=one) for key, one in run.snapshot.entries.items())
        return Comparison(changes=tuple(sorted(added, key=_order)), engine_changes=(), guest_changes=())
    moved = engine_changes(before.engine, run.snapshot.engine)
    keys = {*before.entries, *run.snapshot.entries}
    found = (_change(key, before, run, is_other_engine=bool(moved)) for key in keys)
    digests = before.guests
    changed = [path for path, digest in run.snapshot.guests.items() if digests.get(path, digest) != digest]
    return Comparison(
        changes=tuple(sorted(found, key=_order)), engine_changes=moved, guest_changes=tuple(sorted(changed))
    )


def law_state(difference: LawDifference, tolerance: Fraction, *, is_other_engine: bool) -> State:
    """Return the state of a law. `tolerance` is the share by which its figures may grow."""
    if difference.obstacle is not None:
        return State.INCOMPARABLE
    differs = difference.grows() or difference.shrinks
    if differs and is_other_engine:
        return State.INCOMPARABLE
    if difference.grows(tolerance):
        return State.REGRESSED
    if difference.has_less:
        return State.INCOMPARABLE
    if difference.grows():
        return State.TOLERATED
    return State.IMPROVED if differs or difference.has_more else State.UNCHANGED


def updated(before: Snapshot | None, run: Run, comparison: Comparison) -> Snapshot | None:
    """Return the snapshot after a run: entries that ran are renewed, those that did not are kept.

    Returns `None` if entries that did not run would have to be kept, although the engine's costs have moved: one file
    can only speak of one engine.
    """
    if before is None:
        return run.snapshot
    kept = {change.key: change.before for change in comparison.of(State.NOT_RUN) if change.before is not None}
    if kept and comparison.engine_changes and (comparison.of(State.INCOMPARABLE) or not _costs_equal(before, run)):
        return None
    entries: dict[EntryKey, Entry] = {**kept, **run.snapshot.entries}
    digests = {**before.guests, **run.snapshot.guests}
    named = {path for cost in entries.values() for path in cost.guests}
    return Snapshot(
        engine=run.snapshot.engine,
        guests={path: digest for path, digest in digests.items() if path in named},
        entries=entries,
    )


def _change(key: EntryKey, before: Snapshot, run: Run, *, is_other_engine: bool) -> Change:
    old, new = before.entries.get(key), run.snapshot.entries.get(key)
    tolerance = run.tolerances.get(key.test, run.tolerance)
    if old is None:
        return Change(key=key, state=State.NEW, before=None, after=new)
    if new is None:
        is_removed = key.test in run.passed or key.test in run.gone
        state = State.REMOVED if is_removed else State.NOT_RUN
        return Change(key=key, state=state, before=old, after=None, reason=run.reasons.get(key.test, ""))
    if isinstance(old, RecordedLaw) and isinstance(new, RecordedLaw):
        difference = law_difference(old.law, new.law)
        state = law_state(difference, tolerance, is_other_engine=is_other_engine)
        return Change(key=key, state=state, before=old, after=new, difference=difference)
    assert isinstance(old, Cost)  # the kind is a part of the key
    assert isinstance(new, Cost)
    state = _cost_state(old, new, tolerance, is_other_engine=is_other_engine)
    return Change(key=key, state=state, before=old, after=new)


_STATES = tuple(State)


def _order(change: Change) -> tuple[int, EntryKey]:
    return _STATES.index(change.state), change.key


def _cost_state(old: Cost, new: Cost, tolerance: Fraction, *, is_other_engine: bool) -> State:
    pairs = ((old.fuel, new.fuel), (old.peak_memory_bytes, new.peak_memory_bytes))
    if all(before == after for before, after in pairs):
        return State.UNCHANGED
    if is_other_engine:
        return State.INCOMPARABLE
    if any(after - before > before * tolerance for before, after in pairs):
        return State.REGRESSED
    return State.TOLERATED if any(after > before for before, after in pairs) else State.IMPROVED


def _costs_equal(before: Snapshot, run: Run) -> bool:
    return before.engine.calibration == run.snapshot.engine.calibration


def engine_changes(before: EngineCosts, after: EngineCosts) -> tuple[str, ...]:
    """Return what differs in the engine, one phrase each: version, settings, and the cost of kernels."""
    return tuple(_engine_changes(before, after))


def _engine_changes(old: EngineCosts, new: EngineCosts) -> Iterator[str]:
    if old.wasmtime != new.wasmtime:
        yield f"wasmtime {old.wasmtime} is now {new.wasmtime}"
    for names, word in (
        (set(new.settings) - set(old.settings), "on"),
        (set(old.settings) - set(new.settings), "off"),
    ):
        if names:
            yield (
                f"{', '.join(sorted(names))} is now {word}"
                if len(names) == 1
                else (f"{', '.join(sorted(names))} are now {word}")
            )
    moved = [
        f"{name} {old.calibration[name]:,} is now {fuel:,}"
        for name, fuel in sorted(new.calibration.items())
        if old.calibration.get(name, fuel) != fuel
    ]
    if moved:
        yield f"kernels cost something else ({', '.join(moved)})"
