"""The features of WebAssembly: each is decided, a guest that needs one that is off is refused by its name."""

from __future__ import annotations

import pytest
import wasmtime
from wasmtime import _bindings

from pytest_airssys_wasm import ProcessIsolation, WasmEngine
from pytest_airssys_wasm.runtime.compile.wasmtime_config import FEATURES
from pytest_airssys_wasm.runtime.errors import InvalidComponent

NEEDING = {
    "wasm_multi_value": "(module (func (result i32 i32) i32.const 1 i32.const 2))",
    "wasm_bulk_memory": "(module (memory 1) (func i32.const 0 i32.const 0 i32.const 0 memory.fill))",
    "wasm_reference_types": "(module (table 1 externref))",
    "wasm_simd": "(module (func (param v128)))",
    "wasm_relaxed_simd": """(module (func (param v128 v128 v128) (result v128)
        (i32x4.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2))))""",
    "wasm_tail_call": "(module (func $f return_call $f))",
    "wasm_multi_memory": "(module (memory 1) (memory 1))",
    "wasm_memory64": "(module (memory i64 1))",
    "wasm_function_references": "(module (type $t (func)) (func (param (ref null $t))))",
    "wasm_gc": "(module (type (struct)))",
    "wasm_exceptions": "(module (tag $t) (func throw $t))",
    "wasm_wide_arithmetic": """(module (func (param i64 i64 i64 i64) (result i64 i64)
        local.get 0 local.get 1 local.get 2 local.get 3 i64.add128))""",
    "wasm_threads": "(module (memory 1 1 shared))",
    "wasm_stack_switching": "(module (type $f (func)) (type $c (cont $f)))",
    "wasm_custom_page_sizes": "(module (memory 1 (pagesize 1)))",
    "wasm_compact_imports": '(module (import "a" (item "b" (func)) (item "c" (func))))',
    "wasm_component_model": "(component)",
    "wasm_component_model_map": '(component (import "f" (func (param "x" (map string u32)))))',
    "wasm_component_model_implements": '(component (import "a" (implements "a:b/c") (instance)))',
}
ASYNC = [
    '(component (import "f" (func async)))',
    '(component (import "a:b/c" (instance (export "f" (func async)))))',
    """(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func (export "f") async (canon lift (core func $i "f"))))""",
    '(component (import "f" (func (param "x" (stream u8)))))',
    '(component (import "f" (func (result (future)))))',
    "(component (component (core func (canon task.cancel))))",
    "(component (core func (canon backpressure.inc)))",
    "(component (core func (canon context.get i32 0)))",
]
# Compiling is not asked for features in which both answers are the same.
NAMED = {feature.setting: feature for feature in FEATURES}


def test_every_setting_of_wasmtime_for_a_feature_is_decided():
    known = {name.removeprefix("wasmtime_config_").removesuffix("_set") for name in dir(_bindings)}
    settings = {name for name in known if name.startswith("wasm_")} - {"wasm_relaxed_simd_deterministic"}
    settings = {name for name in settings if hasattr(_bindings, f"wasmtime_config_{name}_set")}
    assert NAMED.keys() == settings | {"gc_support", "shared_memory", "concurrency_support"}


@pytest.mark.parametrize("setting", NEEDING)
def test_a_guest_may_use_what_is_on_and_is_refused_by_the_name_of_what_is_off(engine, setting):
    feature = NAMED[setting]
    if feature.is_on:
        engine.load(NEEDING[setting])
    else:
        with pytest.raises(InvalidComponent, match=f"The feature {feature.name!r} is off: "):
            engine.load(NEEDING[setting])


@pytest.mark.parametrize("guest", ASYNC)
def test_component_model_async_is_refused_when_it_is_loaded(engine, guest):
    wasmtime.wat2wasm(guest)  # it is well-formed
    with pytest.raises(InvalidComponent, match="The feature 'component-model async' is off: "):
        engine.load(guest)


@pytest.mark.slow
def test_a_compiler_in_another_process_names_the_feature_too():
    with (
        WasmEngine(isolation=ProcessIsolation()) as engine,
        pytest.raises(InvalidComponent, match="The feature 'component-model async' is off: "),
    ):
        engine.load(ASYNC[0])
