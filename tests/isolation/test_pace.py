"""Plain calls note what they cost, so that the processes wait for each other in the cheaper way."""

from __future__ import annotations

import os

import pytest

from pytest_airssys_wasm.isolation import pace as pace_module
from pytest_airssys_wasm.isolation.pace import Pace
from pytest_airssys_wasm.runtime.capi.guard import HAS_PARKED_THREADS

pytestmark = pytest.mark.skipif(not HAS_PARKED_THREADS, reason="needs Linux")


@pytest.fixture
def clock(monkeypatch):
    """The times that the next calls of `monotonic` return."""
    times = []
    monkeypatch.setattr(pace_module, "monotonic", lambda: times.pop(0))
    return times


def test_the_cost_of_a_call_is_its_time_without_that_of_the_guest(clock, monkeypatch):
    pace, noted = Pace(), []
    monkeypatch.setattr(pace, "_note", lambda address, lost_ns: noted.append(lost_ns))
    clock += [1.0, 1.0003, 1.5, 1.5002]
    pace.note(0.9, 1_000)  # long after the last one
    pace.note(1.0001, 20_000)
    pace.note(1.4, 1_000)  # again
    pace.note(1.5, 60_000)  # its guest takes longer than anybody looks in a loop
    assert noted == [pytest.approx(180_000, abs=2)]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_the_cheaper_way_is_used(clock):
    pace, looped = Pace(), []
    for _ in range(100):
        began_at = pace._ended_at
        clock.append(began_at + (3e-6 if pace.is_looping else 1e-4))
        pace.note(began_at, 0)
        looped.append(pace.is_looping)
    assert looped[-1]
    assert not all(looped)
