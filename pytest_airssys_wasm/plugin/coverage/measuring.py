"""The coverage of the guests that one process has run, as a message for the process that the user started."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec

from pytest_airssys_wasm.analysis.guest_coverage.probed_guest import ProbedGuest
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.runtime.binary.coverage import Coverage, Unmeasured, covered, either, gathered
from pytest_airssys_wasm.runtime.binary.probes import CannotInstrument, find_guest_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.plugin.coverage.recording import RecordedGuest, RecordedStore, Recorder

_MOST_NAMED_TESTS = 200


class MeasuredGuest(msgspec.Struct, kw_only=True):
    """What the tests of one process have reached in a guest."""

    name: str
    digest: str
    path: str | None
    binary: bytes = b""
    """The compressed binary, of a guest without a file."""
    found: bytes = b""
    """A compressed byte for each probe: 1 if it was reached."""
    executions: int = 0
    cut: int = 0
    unmeasured: list[tuple[str, int, list[str]]] = []
    """Reasons, with the number of executions and the tests."""
    obstacle: str | None = None
    """The reason why the guest cannot be measured."""


class Part(msgspec.Struct, kw_only=True):
    """The results of one process."""

    guests: list[MeasuredGuest]
    mishaps: list[str]
    left_out: int = 0
    """The number of guests that are too many to be measured."""


def measure(recorder: Recorder) -> Part:
    """Repeat what was recorded in this process, and return what it has reached."""
    mishaps = [*recorder.mishaps]
    guests = []
    for recorded in recorder.guests.values():
        with telling(lambda mishap, name=recorded.name: mishaps.append(f"{name}: {mishap}")):  # type: ignore[misc]
            guests.append(_measured(recorded))
    return Part(guests=guests, mishaps=mishaps, left_out=len(recorder.left_out))


def _measured(recorded: RecordedGuest) -> MeasuredGuest:
    measured = MeasuredGuest(name=recorded.name, digest=recorded.digest, path=recorded.path)
    if recorded.path is None:
        measured.binary = zlib.compress(recorded.binary)
    if recorded.obstacle is not None:
        measured.obstacle = recorded.obstacle
        return measured
    try:
        with ProbedGuest(recorded.binary, recorded.engine) as probed:
            unmeasured = _repeat(recorded.stores, probed, measured)
            measured.found = zlib.compress(probed.found)
    except CannotInstrument as error:
        measured.obstacle = str(error)
        return measured
    measured.unmeasured = [
        (one.reason, one.executions, [*one.tests[:_MOST_NAMED_TESTS]]) for one in gathered(unmeasured)
    ]
    return measured


def _repeat(stores: Sequence[RecordedStore], probed: ProbedGuest, measured: MeasuredGuest) -> list[Unmeasured]:
    unmeasured = []
    known: dict[object, tuple[int, str | None, bool]] = {}
    for store in stores:
        history = store.history
        if not history.steps:
            continue
        key = (repr(history.limits), *((step.function, repr(step.args)) for step in history.steps))
        if history.obstacle is not None or key not in known:
            repeated = probed.repeat(history)
            known[key] = repeated.steps, repeated.reason, repeated.is_cut
        steps, reason, is_cut = known[key]
        measured.executions += steps
        measured.cut += is_cut
        if reason is not None:
            left = store.executions - steps
            unmeasured.append(Unmeasured(reason=reason, executions=left, tests=tuple(sorted(store.tests))))
    return unmeasured


def merged(parts: Sequence[MeasuredGuest], binary: bytes) -> Coverage | str:
    """Return the coverage of one guest by the tests of several processes, or the reason why there is none."""
    obstacle = next((part.obstacle for part in parts if part.obstacle is not None), None)
    if obstacle is not None:
        return obstacle
    try:
        blocks = find_guest_blocks(binary)
    except CannotInstrument as error:
        return str(error)
    found = bytes(blocks.probes)
    for part in parts:
        found = either(found, zlib.decompress(part.found))
    return Coverage(
        guest=parts[0].name,
        functions=covered(blocks.functions, found),
        executions=sum(part.executions for part in parts),
        unmeasured=gathered(
            Unmeasured(reason=reason, executions=count, tests=tuple(tests))
            for part in parts
            for reason, count, tests in part.unmeasured
        ),
        cut=sum(part.cut for part in parts),
    )
