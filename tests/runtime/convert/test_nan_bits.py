"""A NaN keeps all of its bits on its way into a guest and back, a signalling one too: alone, in lists, in both modes."""

from __future__ import annotations

import struct

import pytest

from pytest_airssys_wasm import HostFunctions, ResourceLimits
from pytest_airssys_wasm.runtime.base.floats import f32_bits, f32_of, f64_bits, f64_of

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
F32 = [
    0x7F80_0001,
    0xFF80_0001,
    0x7FA0_0000,
    0x7FBF_FFFF,
    0x7FC0_0000,
    0xFFC0_0001,
    0x7FFF_FFFF,
    0x3F80_0000,
    0xFF80_0000,
]
F64 = [
    0x7FF0_0000_0000_0001,
    0xFFF4_0000_0000_0000,
    0x7FF8_0000_0000_0000,
    0xFFF8_0000_0000_0001,
    0x8000_0000_0000_0000,
]
MODULE = """(module
  (import "env" "pass" (func $pass (param f32 f64) (result f32 f64)))
  (func (export "f32-bits") (param f32) (result i32) (i32.reinterpret_f32 (local.get 0)))
  (func (export "f32-of") (param i32) (result f32) (f32.reinterpret_i32 (local.get 0)))
  (func (export "f64-bits") (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
  (func (export "f64-of") (param i64) (result f64) (f64.reinterpret_i64 (local.get 0)))
  (func (export "through-the-host") (param i32) (result i32)
    (call $pass (f32.reinterpret_i32 (local.get 0)) (f64.const 0)) drop i32.reinterpret_f32))"""
COMPONENT = """(component
  (core module $m (memory (export "memory") 1) (global $end (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $end) (global.set $end (i32.add (global.get $end) (local.get 3))))
    (func (export "f32-bits") (param f32) (result i32) (i32.reinterpret_f32 (local.get 0)))
    (func (export "f32-of") (param i32) (result f32) (f32.reinterpret_i32 (local.get 0)))
    (func (export "f64-bits") (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
    (func (export "list") (param i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "f32-bits") (param "x" f32) (result u32) (canon lift (core func $i "f32-bits")))
  (func (export "f32-of") (param "x" u32) (result f32) (canon lift (core func $i "f32-of")))
  (func (export "f64-bits") (param "x" f64) (result u64) (canon lift (core func $i "f64-bits")))
  (func (export "list") (param "x" (list f32)) (result (list f32))
    (canon lift (core func $i "list") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc")))))"""


@pytest.fixture(scope="module", params=["thread", "process"])
def either_engine(request, new_engine):
    with new_engine(request.param) as engine:
        yield engine


def calls(engine, source, host=None):
    guest = engine.load(source)
    return lambda name, *args: engine.execute(guest, name, *args, limits=LIMITS, host=host).value


@pytest.mark.slow
def test_a_module_gets_and_gives_every_bit(either_engine):
    host = HostFunctions()
    host.register("env#pass", lambda one, two: (one, two))
    call = calls(either_engine, MODULE, host)
    assert [call("f32-bits", f32_of(bits)) % 2**32 for bits in F32] == F32
    assert [f32_bits(call("f32-of", bits)) for bits in F32] == F32
    assert [call("f64-bits", f64_of(bits)) % 2**64 for bits in F64] == F64
    assert [f64_bits(call("f64-of", bits)) for bits in F64] == F64
    assert [call("through-the-host", bits) % 2**32 for bits in F32] == F32


def test_a_component_gets_and_gives_every_bit(either_engine):
    call = calls(either_engine, COMPONENT)
    assert [call("f32-bits", f32_of(bits)) for bits in F32] == F32
    assert [f32_bits(call("f32-of", bits)) for bits in F32] == F32
    assert [call("f64-bits", f64_of(bits)) for bits in F64] == F64
    assert [*map(f32_bits, call("list", [*map(f32_of, F32)]))] == F32
    assert call("list", [1.5, 2, -0.0, 1e400]) == [1.5, 2.0, -0.0, 1e400]


def test_other_floats_are_converted_as_struct_does():
    for value in (0.0, -0.0, 1.1, 1e-45, 3.4e38, float("inf"), -1.5):
        assert f32_bits(value) == int.from_bytes(struct.pack("<f", value), "little")
        assert f32_of(f32_bits(value)) == struct.unpack("<f", struct.pack("<f", value))[0]
    with pytest.raises(OverflowError):
        f32_bits(1e39)
    assert f32_bits(f64_of(0x7FF0_0000_0000_0001)) == 0x7FC0_0000  # a payload that an f32 has no bits for
