"""Memories that are accounted for in Python have the images of guests, as those of the native guard have."""

from __future__ import annotations

from mutants.python_memories import account_in_python
from pytest_airssys_wasm import ResourceLimits, WasmEngine
from pytest_airssys_wasm.runtime.binary.data_images import LEAST_BYTES
from pytest_airssys_wasm.runtime.guest import direct_executions, direct_instances, in_process

LIMITS = ResourceLimits(fuel=10**7, memory="1 MiB", timeout_ms=60_000)
GUEST = f"""(module (memory 8) (data (i32.const 70000) "{"a" * LEAST_BYTES}")
  (func (export "read") (result i32) (i32.load (i32.const 70000))))"""


def executed():
    engine = WasmEngine()
    guest = engine.load(GUEST)
    assert guest.image is not None
    done = engine.execute(guest, "read", limits=LIMITS)
    return done.value, done.usage.fuel, done.usage.peak_memory_bytes


def test_a_guest_has_its_image_and_pays_for_it(monkeypatch):
    expected = executed()
    for module in (in_process, direct_executions, direct_instances):
        monkeypatch.setattr(module, "may_run_here", lambda *_: False)
    account_in_python(monkeypatch)
    assert executed() == expected
