"""A guest that writes, sleeps, spins, and asks its host: all that a guest can be busy with."""

from __future__ import annotations

from pytest_airssys_wasm import (
    HostFunctions,
    ResourceLimits,
)

LIMITS = ResourceLimits(memory="1 MiB", fuel=100_000, timeout_ms=5_000)

GUEST = r"""(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
  (global $n (mut i32) (i32.const 0))
  (func $say (export "say") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func (export "shout") (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func (export "flood") (loop call $say br 0))
  (func (export "sleep-an-hour")
    (i32.store (i32.const 216) (i32.const 1)) (i64.store (i32.const 224) (i64.const 3600000000000))
    (drop (call $poll (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 400))))
  (func (export "count") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) global.get $n)
  (func (export "ask") (param i32) (result i32) call $say (call $ask (local.get 0)))
  (func (export "ask-for-ever") (loop (drop (call $ask (i32.const 1))) br 0))
  (func (export "grow") (drop (memory.grow (i32.const 2))) unreachable)
  (func (export "hoard") (drop (memory.grow (i32.const 999))) unreachable)
  (func (export "spin") (loop br 0))
  (func $named (export "boom") unreachable))"""


def asking(function):
    host = HostFunctions()
    host.register("env#ask", function)
    return host
