"""A guest with faults on some of its inputs, and the parts of its `Component.toml`."""

from __future__ import annotations

HEAD = """
[component]
name = "guest"
version = "0.1.0"
wasm = "guest.wat"
[resources.memory]
max_bytes = 1048576
[resources.cpu]
max_fuel = 100_000
timeout_ms = 20_000
"""
# The guest's faults are on the inputs 13 (a trap), 14 (it needs more memory) and 15 (it never ends).
GUEST = """(module
  (import "env" "log" (func $log (param i32)))
  (memory (export "memory") 2)
  (func (export "answer") (result i32) i32.const 42)
  (func (export "half") (param i32) (result i32)
    (call $log (local.get 0))
    (if (i32.eq (local.get 0) (i32.const 13)) (then unreachable))
    (if (i32.eq (local.get 0) (i32.const 14))
      (then (if (i32.eq (memory.grow (i32.const 20)) (i32.const -1)) (then unreachable))))
    (if (i32.eq (local.get 0) (i32.const 15)) (then (loop br 0)))
    (i32.div_u (local.get 0) (i32.const 2))))"""


def entry(name, call, outcome, args="[]"):
    return f"[[tests]]\nname = '{name}'\ncall = '{call}'\nargs = {args}\n{outcome}\n"


SOUND = entry("halves", "half", "returns = 4", "[8]") + entry("answers", "answer", "returns = 42\nmax_fuel = 100")
