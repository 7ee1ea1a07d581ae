"""Guests with one planted fault each, for fuzzing to find, and sound ones, in which it must not find any."""

from __future__ import annotations

# An allocator that never frees would leak with every argument: this one begins anew with each call.
_MEMORY = """
    (memory (export "memory") 2)
    (global $end (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $end) (i32.const 7)) (i32.const -8)))
      (global.set $end (i32.add (local.get $at) (local.get 3)))
      local.get $at)
    (func $free (global.set $end (i32.const 1024)))"""


def component(code: str, *exports: str, types: str = "") -> str:
    """WebAssembly text of a component with this code, whose exports are given as `name: (param …) (result …)`."""
    lifted = []
    for export in exports:
        name, _, signature = export.partition(": ")
        lifted.append(
            f'(func (export "{name}") {signature} (canon lift (core func $i "{name}") '
            '(memory (core memory $i "memory")) (realloc (core func $i "realloc"))))'
        )
    return f"(component {types}\n(core module $m {_MEMORY} {code})\n(core instance $i (instantiate $m))\n" + "\n".join(
        [*lifted, ")"]
    )


RARE_STRING = component(
    """(func (export "parse") (param $at i32) (param $size i32)
      (if (i32.ge_u (local.get $size) (i32.const 4))
        (then (if (i32.eq (i32.load align=1 (local.get $at)) (i32.const 0x4347414d)) (then unreachable))))
      (call $free))""",
    'parse: (param "text" string)',
)
"""A guest that traps on texts that begin with MAGC."""

VARIANT_CASE = component(
    """(func (export "weigh") (param $case i32) (param $payload i64) (result i32)
      (block $damaged (block $expires (block $fresh (br_table $fresh $expires $damaged (local.get $case)))
        (return (i32.const 1)))
        (return (i32.const 2)))
      ;; the case damaged takes the payload for an index
      (i32.load (i32.wrap_i64 (i64.shl (local.get $payload) (i64.const 16)))))""",
    'weigh: (param "x" $condition) (result u32)',
    types='(type $v (variant (case "fresh") (case "expires" u64) (case "damaged" u32)))'
    '(export $condition "condition" (type $v))',
)
"""A guest that uses the payload of the last of three cases as an index of pages, of which there are two."""

OFF_BY_ONE = component(
    """(func (export "sum") (param $at i32) (param $size i32) (result i32)
      (local $total i32)
      (if (i32.eq (local.get $size) (i32.const 16)) (then unreachable))
      (loop $next
        (if (local.get $size) (then
          (local.set $total (i32.add (local.get $total) (i32.load (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 4)))
          (local.set $size (i32.sub (local.get $size) (i32.const 1)))
          (br $next))))
      (call $free)
      local.get $total)""",
    'sum: (param "numbers" (list u32)) (result u32)',
)
"""A guest that traps on lists of exactly 16 elements."""

LEAK = component(
    """(global $top (mut i32) (i32.const 131072))
    (func (export "greet") (param $at i32) (param $size i32)
      (call $free)
      (global.set $top (i32.add (global.get $top) (i32.const 4096)))
      (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
        (then (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)))))""",
    'greet: (param "name" string)',
)
"""A guest that takes 4 KiB more with each call, and never gives them back."""

STATE = component(
    """(global $calls (mut i32) (i32.const 0))
    (func (export "next") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (if (i32.gt_u (global.get $calls) (i32.const 3)) (then unreachable))
      global.get $calls)
    (func (export "other") (param i32) (result i32) local.get 0)""",
    "next: (result u32)",
    'other: (param "x" u32) (result u32)',
)
"""A guest that traps on the fourth call of one export in an instance."""

NOT_DETERMINISTIC = """(module
  (import "env" "now" (func $now (result i64)))
  (func (export "stamp") (param i32) (result i64)
    (if (result i64) (i32.gt_s (local.get 0) (i32.const 1000)) (then (call $now)) (else (i64.const 0)))))"""
"""A guest that returns the time of the host for arguments over 1,000."""

CLOCK = """(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "stamp") (result i64)
    (drop (call $now (i32.const 0) (i64.const 1) (i32.const 8)))
    (i64.load (i32.const 8))))"""
"""A guest that returns the time of WASI's clock."""

# A resource whose method `close` drops what the host will drop again.
DROPPED_TWICE = """(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core func $rep (canon resource.rep $r))
  (core func $drop (canon resource.drop $r))
  (core module $m
    (import "r" "new" (func $new (param i32) (result i32)))
    (import "r" "drop" (func $drop (param i32)))
    (func (export "open") (result i32) (call $new (i32.const 7)))
    (func (export "peek") (param i32) (result i32) local.get 0)
    (func (export "merge") (param $first i32) (param $second i32) (result i32)
      (call $drop (local.get $first))
      (call $drop (local.get $second))
      (call $drop (local.get $first))
      (call $new (i32.const 8))))
  (core instance $i (instantiate $m
    (with "r" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
  (export $bucket "bucket" (type $r))
  (func (export "[constructor]bucket") (result (own $bucket)) (canon lift (core func $i "open")))
  (func (export "[method]bucket.peek") (param "self" (borrow $bucket)) (result u32) (canon lift (core func $i "peek")))
  (func (export "[static]bucket.merge") (param "first" (own $bucket)) (param "second" (own $bucket))
    (result (own $bucket)) (canon lift (core func $i "merge"))))"""
"""A guest that drops the first of two resources twice when it merges them."""

SOUND = component(
    """(global $calls (mut i32) (i32.const 0))
    (func (export "count") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1))) global.get $calls)
    (func (export "size") (param $at i32) (param $size i32) (result i32) (call $free) local.get $size)
    (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
    (func (export "quotient") (param i32 i32) (result i32)
      (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
      (i32.div_u (local.get 0) (local.get 1)))
    (func (export "mirror") (param i32) (result i32) local.get 0)
    (func (export "grow-once") (result i32)
      (if (i32.lt_u (memory.size) (i32.const 6)) (then (drop (memory.grow (i32.const 1))))) memory.size)""",
    "count: (result u32)",
    'size: (param "text" string) (result u32)',
    'half: (param "x" f64) (result f64)',
    'quotient: (param "x" u32) (param "y" u32) (result u32)',
    'mirror: (param "x" char) (result char)',
    "grow-once: (result u32)",
)
"""A sound guest: it has state, and a memory that grows to a level."""
