"""The calibration: what the engine charges for a bundled set of kernels.

The kernels never change, so another cost of them is a change of the engine, and not of a guest. Each of them exercises
instructions and transitions of one sort.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_airssys_wasm.analysis.snapshots.model import EngineCosts
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.capi.abi import WASMTIME_VERSION
from pytest_airssys_wasm.runtime.compile.wasmtime_config import SETTINGS
from pytest_airssys_wasm.runtime.engine import WasmEngine

if TYPE_CHECKING:
    from collections.abc import Mapping

KERNELS: Mapping[str, str] = MappingProxyType(
    {
        "arithmetic": """(module (func (export "run") (result i64) (local $i i64) (local $x i64)
            (loop $next
              (local.set $x (i64.xor (i64.mul (local.get $x) (i64.const 31)) (local.get $i)))
              (br_if $next (i64.lt_u (local.tee $i (i64.add (local.get $i) (i64.const 1))) (i64.const 100))))
            (local.get $x)))""",
        "branches": """(module (func (export "run") (result i32) (local $i i32) (local $x i32)
            (loop $next
              (block $c (block $b (block $a
                (br_table $a $b $c (i32.rem_u (local.get $i) (i32.const 3))))
                (local.set $x (i32.add (local.get $x) (i32.const 1))) (br $c))
                (local.set $x (i32.add (local.get $x) (i32.const 2))))
              (if (i32.and (local.get $i) (i32.const 1)) (then (local.set $x (i32.add (local.get $x) (i32.const 3)))))
              (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 60))))
            (local.get $x)))""",
        "calls": """(module
          (type $unary (func (param i32) (result i32))) (table funcref (elem $fib))
          (func $fib (param $n i32) (result i32)
            (if (result i32) (i32.lt_u (local.get $n) (i32.const 2)) (then (local.get $n)) (else
              (i32.add
                (call $fib (i32.sub (local.get $n) (i32.const 1)))
                (call_indirect (type $unary) (i32.sub (local.get $n) (i32.const 2)) (i32.const 0))))))
          (func (export "run") (result i32) (call $fib (i32.const 9))))""",
        "floats": """(module (func (export "run") (result f64) (local $i i32) (local $x f64)
            (local.set $x (f64.const 2))
            (loop $next
              (local.set $x (f64.sqrt (f64.add (f64.mul (local.get $x) (local.get $x)) (f64.const 0.5))))
              (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))
            (local.get $x)))""",
        "growth": """(module (memory 1 8) (table $t 1 40 funcref) (func (export "run") (result i32)
            (drop (table.grow $t (ref.null func) (i32.const 30)))
            (i32.add (memory.grow (i32.const 3)) (memory.grow (i32.const 4)))))""",
        "memory": """(module (memory 1) (data (i32.const 0) "0123456789abcdef") (func (export "run") (result i32)
            (local $i i32)
            (memory.fill (i32.const 1024) (i32.const 7) (i32.const 1000))
            (memory.copy (i32.const 4096) (i32.const 1024) (i32.const 500))
            (loop $next
              (i64.store (local.get $i) (i64.add (i64.load (i32.add (local.get $i) (i32.const 1024))) (i64.const 1)))
              (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 512))))
            (i32.load (i32.const 8))))""",
        "text": """(component
          (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
            (func (export "run") (result i32)
              (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 3))
              (i32.store (i32.const 8) (i32.const 0x636261))
              (i32.const 0)))
          (core instance $i (instantiate $m))
          (func (export "run") (result string)
            (canon lift (core func $i "run") (memory (core memory $i "memory"))
              (realloc (core func $i "realloc")))))""",
        "vectors": """(module (func (export "run") (result i32) (local $i i32) (local $x v128)
            (loop $next
              (local.set $x (i32x4.add (local.get $x) (i32x4.splat (local.get $i))))
              (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 40))))
            (i32x4.extract_lane 2 (local.get $x))))""",
    }
)
"""The WebAssembly text of each kernel, by its name. Each exports `run`, without parameters."""

_LIMITS = ResourceLimits(memory=2**20, fuel=1_000_000, timeout_ms=None)


def calibrate() -> EngineCosts:
    """Return the version and settings of the engine, and the fuel of each kernel. The kernels are run once."""
    with WasmEngine() as engine:
        calibration = {
            name: engine.execute(engine.load(text), "run", limits=_LIMITS).usage.fuel.consumed
            for name, text in KERNELS.items()
        }
    return EngineCosts(
        wasmtime=WASMTIME_VERSION,
        settings=tuple(sorted(name for name, is_on in SETTINGS.items() if is_on)),
        calibration=calibration,
    )
