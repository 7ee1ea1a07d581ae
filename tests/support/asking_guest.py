"""A guest that passes its argument on to a ready-made host function, and what comes back as it lies in memory."""

from __future__ import annotations

import asyncio

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.host.library import ReferenceFunctions

LIMITS = ResourceLimits(memory="4 MiB", fuel=10_000_000, timeout_ms=20_000)
# Passes its argument on to the import, and the result back as it lies in memory.
GUEST = """(component
  (import "reference" (instance $host
    (type $f (variant (case "not-granted") (case "not-found") (case "too-large" u64) (case "failed" string)))
    (export "failure" (type $failure (eq $f)))
    (type $r (record (field "status" u16) (field "body" (list u8))))
    (export "response" (type $response (eq $r)))
    (export "sleep" (func (param "ms" u32) (result (result (error $failure)))))
    (export "read-file" (func (param "path" string) (result (result (list u8) (error $failure)))))
    (export "http-get" (func (param "url" string) (result (result $response (error $failure)))))))
  (alias export $host "failure" (type $failure))
  (alias export $host "response" (type $response))
  (core module $memory
    (memory (export "memory") 8) (global $end (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $end) (i32.const 7)) (i32.const -8)))
      (global.set $end (i32.add (local.get $at) (local.get 3)))
      local.get $at))
  (core instance $mem (instantiate $memory))
  (alias core export $mem "memory" (core memory $m))
  (alias core export $mem "realloc" (core func $realloc))
  (core func $sleep (canon lower (func $host "sleep") (memory $m) (realloc $realloc)))
  (core func $read (canon lower (func $host "read-file") (memory $m) (realloc $realloc)))
  (core func $get (canon lower (func $host "http-get") (memory $m) (realloc $realloc)))
  (core module $main
    (import "host" "sleep" (func $sleep (param i32 i32)))
    (import "host" "read-file" (func $read (param i32 i32 i32)))
    (import "host" "http-get" (func $get (param i32 i32 i32)))
    (func (export "sleep") (param i32) (result i32)
      (call $sleep (local.get 0) (i32.const 64)) i32.const 64)
    (func (export "read") (param i32 i32) (result i32)
      (call $read (local.get 0) (local.get 1) (i32.const 64)) i32.const 64)
    (func (export "get") (param i32 i32) (result i32)
      (call $get (local.get 0) (local.get 1) (i32.const 64)) i32.const 64))
  (core instance $i (instantiate $main (with "host" (instance
    (export "sleep" (func $sleep)) (export "read-file" (func $read)) (export "http-get" (func $get))))))
  (type $read-type (func (param "path" string) (result (result (list u8) (error $failure)))))
  (type $get-type (func (param "url" string) (result (result $response (error $failure)))))
  (func $nap (param "ms" u32) (result (result (error $failure)))
    (canon lift (core func $i "sleep") (memory $m) (realloc $realloc)))
  (func $r (param "path" string) (result (result (list u8) (error $failure)))
    (canon lift (core func $i "read") (memory $m) (realloc $realloc)))
  (func $g (param "url" string) (result (result $response (error $failure)))
    (canon lift (core func $i "get") (memory $m) (realloc $realloc)))
  (instance $out (export "failure" (type $failure)) (export "response" (type $response))
    (export "nap" (func $nap)) (export "read" (func $r)) (export "get" (func $g)))
  (export "it" (instance $out)))"""


def asked(engine, name, argument, *, through_loop=False, limits=LIMITS, **grants):
    """Return the result of an export of the guest under these grants, and the denied capabilities."""
    host = HostFunctions()
    ReferenceFunctions(**grants).register(host, "reference")
    guest = engine.load(GUEST)
    if through_loop:
        done = asyncio.run(engine.execute_async(guest, f"it#{name}", argument, limits=limits, host=host))
    else:
        done = engine.execute(guest, f"it#{name}", argument, limits=limits, host=host)
    return done.value, done.usage.denied_capabilities
