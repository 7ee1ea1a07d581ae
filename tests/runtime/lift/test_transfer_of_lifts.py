"""What one call may lift is bounded by wasmtime to the byte, whichever way the call is made."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import LimitedStore, ResourceLimitExceeded, ResourceLimits, WasmEngine
from support.lifted_comparison import PlainEngine

MOST_BYTES = 128 * 2**20
# The result is refused by the transfer limit, if wasmtime does not refuse it before: so it is not made.
LIMITS = ResourceLimits(memory="256 MiB", fuel=1_000_000, timeout_ms=600_000, transfer="1 KiB")
RECORD = '(type $t (record (field "a" u8) (field "bcd" char))) (export $r "r" (type $t))'
ENUM = '(type $t (enum "a" "bcd")) (export $r "r" (type $t))'
FLAGS = '(type $t (flags "a" "bcd" "ef")) (export $r "r" (type $t))'
VARIANT = '(type $t (variant (case "a") (case "bcd" (tuple u8 u8)))) (export $r "r" (type $t))'
# Declarations, the type beside the text, the length of its list or the first byte of what has none, and what wasmtime
# charges for all but the text.
RESULTS = {
    "a number": ("", "u8", 0, 2 * 48),
    "a tuple": ("", "(tuple u8 u8 u8)", 0, 5 * 48),
    "a record": (RECORD, "$r", 0, 4 * 48 + 4),
    "a list": ("", "(list u8)", 3, 5 * 48),
    "a list of tuples": ("", "(list (tuple u8 u8))", 3, 11 * 48),
    "a list of records": (RECORD, "(list $r)", 3, 11 * 48 + 3 * 4),
    "a text": ("", "string", 7, 2 * 48 + 7),
    "an enum": (ENUM, "$r", 1, 2 * 48 + 3),
    "flags": (FLAGS, "$r", 5, 2 * 48 + 3),
    "no option": ("", "(option u8)", 0, 2 * 48),
    "an option": ("", "(option u8)", 1, 3 * 48),
    "a result": ("", "(result u8 (error (tuple u8 u8)))", 1, 5 * 48),
    "a variant": (VARIANT, "$r", 1, 5 * 48 + 3),
    "a variant without a payload": (VARIANT, "$r", 0, 2 * 48 + 1),
    "a list of options": ("", "(list (option u8))", 3, 5 * 48),
    "a list of enums": (ENUM, "(list $r)", 3, 5 * 48 + 3),
    "a list of lists": ("", "(list (list u8))", 3, 5 * 48),
    "a list of texts": ("", "(list string)", 3, 5 * 48),
}


@pytest.mark.slow
@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("engine", [WasmEngine, PlainEngine])
def test_the_bound_counts_texts_names_and_the_values_of_wasmtime(engine: type[WasmEngine], result: str) -> None:
    declared, type_, length, cost = RESULTS[result]
    stored = "(i32.store (i32.const 24) (i32.const 1024)) (i32.store (i32.const 28) (i32.const {}))"
    if "list" not in type_ and type_ != "string":
        stored = "(i32.store8 (i32.const 24) (i32.const {}))"
    store = LimitedStore(engine(), LIMITS)
    guest = store.engine.load(  # type: ignore[attr-defined]
        f"""(component
          (core module $m (memory (export "m") 2080)
            (func (export "f") (param i32) (result i32)
              (i32.store (i32.const 16) (i32.const 1024))
              (i32.store (i32.const 20) (local.get 0))
              {stored.format(length)}
              (i32.const 16)))
          (core instance $i (instantiate $m))
          {declared}
          (func (export "f") (param "n" u32) (result (tuple string {type_}))
            (canon lift (core func $i "f") (memory (core memory $i "m")))))"""
    )
    instance = store.instantiate(guest)
    assert (guest.lifted("f") is not None) == (engine is WasmEngine)

    with pytest.raises(ResourceLimitExceeded, match="exceeds the transfer limit"):
        instance.call("f", MOST_BYTES - cost)
    with pytest.raises(ResourceLimitExceeded, match="too much data is being copied"):
        instance.call("f", MOST_BYTES - cost + 1)
