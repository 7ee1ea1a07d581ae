"""The speed at which guests use fuel on this machine, by the kind of work that they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import OutOfFuel

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.base.usage import Usage

BULK = "bulk memory"
"""The kind of work that is charged by the byte, and so uses fuel faster than other instructions."""
_KINDS = {"arithmetic": "arithmetic", "calls": "calls", "memory": "loads and stores", "bulk": BULK}
"""The kind of work that each export of the guest does."""
_FUEL = 20_000_000
"""The fuel of each run, which a guest uses up in a few milliseconds."""
_GUEST = """(module (memory 2)
  (func (export "arithmetic") (local $i i64) (local $x i64)
    (loop $next
      (local.set $x (i64.xor (i64.mul (local.get $x) (i64.const 31)) (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $next (i64.ne (local.get $x) (i64.const 0x7fffffffffffffff)))))
  (func $add (param i32 i32) (result i32) (if (result i32) (local.get 1)
    (then (call $add (i32.add (local.get 0) (i32.const 1)) (i32.sub (local.get 1) (i32.const 1))))
    (else (local.get 0))))
  (func (export "calls") (loop $next (br_if $next (i32.ge_s (call $add (i32.const 1) (i32.const 30)) (i32.const 0)))))
  (func (export "memory") (local $i i32)
    (loop $next
      (i64.store (local.get $i) (i64.add (i64.load (local.get $i)) (i64.const 1)))
      (local.set $i (i32.and (i32.add (local.get $i) (i32.const 8)) (i32.const 0xfff8)))
      (br $next)))
  (func (export "bulk") (loop $next (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x10000)) (br $next))))"""


def fuel_per_ms() -> dict[str, float]:
    """Return how much fuel a guest uses in a millisecond of processor time, by the kind of its work.

    The measurement takes some tens of milliseconds. The figures differ between machines, and a little between two
    measurements. A kind that could not be measured is left out.

    Raises `UnfitHost` if no guest can run here.
    """
    limits = ResourceLimits(memory=2**20, fuel=_FUEL, timeout_ms=1_000)
    found = {}
    with WasmEngine() as engine:
        guest = engine.load(_GUEST)
        for export, kind in _KINDS.items():
            try:
                engine.execute(guest, export, limits=limits)
            except OutOfFuel as error:
                if error.usage is not None:
                    found[kind] = _FUEL / _processor_ms(error.usage)
    return found


def _processor_ms(usage: Usage) -> float:
    taken_ms = usage.wall_ms if usage.cpu_ms is None else usage.cpu_ms
    return max(taken_ms, 0.001)
