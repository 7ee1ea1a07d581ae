"""The guests of the table of ratios, and the code by hand with wasmtime-py that runs them under limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import component as wc

from pytest_airssys_wasm.runtime.compile.wasmtime_config import new_config

if TYPE_CHECKING:
    from collections.abc import Callable

FUEL = 10**12
ADD = """(component (core module $m (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
  (core instance $i (instantiate $m))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add"))))"""
ADD_MODULE = """(module (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"""
ASK = """(component
  (import "ask" (func $ask (param "n" u32) (result u32)))
  (core func $ask' (canon lower (func $ask)))
  (core module $m (import "host" "ask" (func $ask (param i32) (result i32))) (memory 1)
    (func (export "ask") (param i32) (result i32) (call $ask (local.get 0))))
  (core instance $i (instantiate $m (with "host" (instance (export "ask" (func $ask'))))))
  (func (export "ask-host") (param "n" u32) (result u32) (canon lift (core func $i "ask"))))"""
PAUSE = """(component
  (import "pause" (func $pause))
  (core func $pause' (canon lower (func $pause)))
  (core module $m (import "host" "pause" (func $pause)) (memory 1)
    (func (export "pauses") (param $times i32)
      (loop (call $pause) (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))
  (core instance $i (instantiate $m (with "host" (instance (export "pause" (func $pause'))))))
  (func (export "pauses") (param "times" u32) (canon lift (core func $i "pauses"))))"""
COUNT = """(module (func (export "count") (param i32)
    (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""
_LIFT = """(canon lift (core func $i "{}") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
    (post-return (core func $i "free")))"""
# Arguments are returned from the place in memory to which they were lowered.
ECHO = f"""(component
  (core module $m
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (loop $grow (if (i32.gt_u (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
        (then (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable)) (br $grow))))
      (local.get $at))
    (func (export "free") (param i32) (global.set $free (i32.const 1024)))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))
    (func (export "outcome") (param i32 i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
      (i32.store (i32.const 8) (local.get 2)) (i32.const 0))
    (func (export "record") (param i32 i32 i64 f64 i32 i32 i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
      (i64.store (i32.const 8) (local.get 2)) (f64.store (i32.const 16) (local.get 3))
      (i32.store8 (i32.const 24) (local.get 4)) (i32.store16 (i32.const 26) (local.get 5))
      (i32.store (i32.const 28) (local.get 6)) (i32.store (i32.const 32) (local.get 7)) (i32.const 0)))
  (core instance $i (instantiate $m))
  (type $fields (record (field "a" u32) (field "b" s32) (field "c" u64) (field "d" f64) (field "e" bool)
    (field "f" u16) (field "g" u32) (field "h" u32)))
  (export $row "row" (type $fields))
  (func (export "bytes") (param "x" (list u8)) (result (list u8)) {_LIFT.format("echo")})
  (func (export "numbers") (param "x" (list u32)) (result (list u32)) {_LIFT.format("echo")})
  (func (export "text") (param "x" string) (result string) {_LIFT.format("echo")})
  (func (export "texts") (param "x" (list string)) (result (list string)) {_LIFT.format("echo")})
  (func (export "outcome") (param "x" (result string (error string))) (result (result string (error string)))
    {_LIFT.format("outcome")})
  (func (export "record") (param "x" $row) (result $row)
    (canon lift (core func $i "record") (memory (core memory $i "memory")))))"""
ROW = {"a": 1, "b": -2, "c": 3, "d": 0.5, "e": True, "f": 6, "g": 7, "h": 8}


def guest_of_data(mebibytes: int) -> bytes:
    """Return a module with this much data, and code that returns a byte of it."""
    data = b"\xa5" * (mebibytes * 2**20)
    pages = (mebibytes + 1) * 16
    head = wasmtime.wat2wasm(
        f'(module (memory {pages}) (func (export "first") (result i32) (i32.load8_u (i32.const 0))))'
    )
    segment = b"\x01\x00\x41\x00\x0b" + _leb128(len(data)) + data
    return bytes(head) + b"\x0b" + _leb128(len(segment)) + segment


def guest_of_code(functions: int) -> bytes:
    """Return a module with this many functions, which differ from one another."""
    step = "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const {0})) (i32.load offset={0} (i32.const 0))))"
    texts = (f"(func (param i32) (result i32) {step.format(n) * 40} (local.get 0))" for n in range(functions))
    return bytes(wasmtime.wat2wasm(f"(module (memory 1) {''.join(texts)})"))


def _leb128(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def record() -> wc.Record:
    """Return the row as wasmtime-py wants it."""
    made = wc.Record()
    for name, value in ROW.items():
        setattr(made, name, value)
    return made


class ByHand:
    """An engine of wasmtime-py with the settings of this package, and the limits that wasmtime-py offers."""

    def __init__(self, *, copy_on_write: bool = False) -> None:
        config = new_config()
        if copy_on_write:
            from pytest_airssys_wasm.runtime.capi import abi
            from pytest_airssys_wasm.runtime.capi.stores import address

            abi.config_setter("memory_init_cow")(address(config), True)
        self.engine = wasmtime.Engine(config)
        self.linker = wc.Linker(self.engine)

    def store(self) -> wasmtime.Store:
        """Return a new store with limits."""
        store = wasmtime.Store(self.engine)
        store.set_limits(64 * 2**20, 20_000, 64, 16, 16)
        store.set_fuel(FUEL)
        store.set_epoch_deadline(10**6)
        return store

    def one_shot(self, component: wc.Component) -> Callable[[], object]:
        """Return the call `add(1, 2)` of a component in a fresh store."""

        def work() -> object:
            store = self.store()
            instance = self.linker.instantiate(store, component)
            func = instance.get_func(store, "add")
            assert func is not None
            value = func(store, 1, 2)
            store.get_fuel()
            store.close()
            return value

        return work

    @staticmethod
    def call(store: wasmtime.Store, func: Any, *args: Any) -> Callable[[], object]:
        """Return a call in a store with its fuel, its deadline, and its figure afterwards."""

        def work() -> object:
            store.set_fuel(FUEL)
            store.set_epoch_deadline(10**6)
            value = func(store, *args)
            store.get_fuel()
            return value

        return work
