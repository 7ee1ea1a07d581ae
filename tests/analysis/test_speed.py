"""The speed of guests on this machine is measured by the kind of their work."""

from __future__ import annotations

from pytest_airssys_wasm.analysis.speed import BULK, fuel_per_ms


def test_each_kind_of_work_has_a_speed():
    speeds = fuel_per_ms()
    assert {*speeds} == {"arithmetic", "calls", "loads and stores", BULK}
    assert min(speeds.values()) > 0
