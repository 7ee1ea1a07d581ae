"""Guests whose data are mapped, in worker processes."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import LimitedStore, ResourceLimits
from pytest_airssys_wasm.runtime.binary.data_images import LEAST_BYTES

LIMITS = ResourceLimits(fuel=10**8, memory="1 MiB", timeout_ms=60_000)
GUEST = f"""(component
  (core module $m (memory 8) (data (i32.const 70000) "{"a" * LEAST_BYTES}") (data (i32.const 70001) "b")
    (func (export "read") (result i32) (i32.load (i32.const 70000)))
    (func (export "write") (i32.store (i32.const 70000) (i32.const 7))))
  (core instance $i (instantiate $m))
  (func (export "read") (result u32) (canon lift (core func $i "read")))
  (func (export "write") (canon lift (core func $i "write"))))"""


@pytest.mark.slow
def test_a_worker_maps_the_data_of_a_guest_and_charges_for_them(processes, threads):
    found = []
    for engine in (processes, threads):
        guest = engine.load(GUEST)
        assert guest.image is not None
        with LimitedStore(engine, LIMITS) as store:
            one, two = store.instantiate(guest), store.instantiate(guest)
            one.call("write")
            assert (one.call("read"), two.call("read")) == (7, 0x61616261)
        done = engine.execute(guest, "read", limits=LIMITS)
        found.append((done.value, done.usage.fuel, done.usage.peak_memory_bytes))
    assert found[0] == found[1]
    assert found[0][1].consumed > LEAST_BYTES
