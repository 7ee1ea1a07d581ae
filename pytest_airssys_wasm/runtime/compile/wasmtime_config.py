"""The configuration of wasmtime in every engine: deterministic, metered, preemptible.

Every feature of WebAssembly that wasmtime can switch is decided here, whatever wasmtime's default is. The page
docs/features.md is printed from `FEATURES`.
"""

from __future__ import annotations

import hashlib
import platform

import wasmtime
from msgspec import Struct

from pytest_airssys_wasm.runtime.binary.data_images import REVISION
from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.stores import address


class Feature(Struct, frozen=True, kw_only=True):
    """A feature of WebAssembly or of the component model, and whether guests may use it."""

    setting: str
    """The setting of wasmtime's configuration, without `wasmtime_config_` and `_set`."""
    name: str
    """The name of the proposal."""
    is_on: bool
    why: str
    """The reason for the decision."""
    phrase: str = ""
    """The text that identifies wasmtime's refusal of a guest that needs the feature; empty if there is none."""


def _on(setting: str, name: str, why: str) -> Feature:
    return Feature(setting=setting, name=name, is_on=True, why=why)


def _off(setting: str, name: str, why: str, phrase: str = "") -> Feature:
    return Feature(setting=setting, name=name, is_on=False, why=why, phrase=phrase)


_STANDARD = "part of the standard, and used by compilers"
_ASYNC = (
    "its tasks, streams and futures have no Python value, and its tasks go on after the call that began them, when no "
    "budget and no deadline holds"
)
_YOUNG = "not finished; components in use do not have it"

FEATURES: tuple[Feature, ...] = (
    _on("wasm_multi_value", "multi-value", _STANDARD),
    _on("wasm_bulk_memory", "bulk memory operations", f"{_STANDARD}; a unit of fuel for each byte or element"),
    _on("wasm_reference_types", "reference types", _STANDARD),
    _on("wasm_simd", "fixed-width SIMD", _STANDARD),
    _on("wasm_relaxed_simd", "relaxed SIMD", f"{_STANDARD}; with the deterministic results that the standard defines"),
    _on("wasm_tail_call", "tail calls", f"{_STANDARD}; fuel is counted at each call"),
    _on("wasm_multi_memory", "multiple memories", f"{_STANDARD}; all memories of a store share one account"),
    _on("wasm_memory64", "64-bit memories and tables", f"{_STANDARD}; the limits hold for them as for others"),
    _on("wasm_function_references", "typed function references", _STANDARD),
    _on("wasm_gc", "garbage collection", f"{_STANDARD}; its heap is in the memory account"),
    _on("gc_support", "collector", "garbage collection, exceptions and external references need it"),
    _on("wasm_exceptions", "exception handling", f"{_STANDARD}; the guest cannot catch the end of its limits"),
    _on(
        "wasm_wide_arithmetic",
        "wide arithmetic",
        "finished after version 3 of the standard; deterministic, without state, and compilers begin to use it",
    ),
    _off(
        "wasm_threads",
        "threads",
        "nothing can end a guest that waits on shared memory, and results would vary",
        "threads",
    ),
    _off("shared_memory", "shared memories of the host", "belongs to threads"),
    _off("wasm_stack_switching", "stack switching", _YOUNG, "stack switching"),
    _off("wasm_custom_page_sizes", "custom page sizes", _YOUNG, "custom page sizes"),
    _off("wasm_compact_imports", "compact import section", _YOUNG, "compact imports"),
    _off("wasm_branch_hinting", "branch hinting", "hints change no result; without them the compiler reads less"),
    _on("wasm_component_model", "component model", "components are what this package is for"),
    _off("wasm_component_model_async", "component-model async", _ASYNC, "component model async feature"),
    _off("wasm_component_model_async_stackful", "component-model async, stackful", _ASYNC),
    _off("wasm_component_model_more_async_builtins", "component-model async, more built-ins", _ASYNC),
    _off("concurrency_support", "concurrent tasks in a store", "belongs to component-model async"),
    _off(
        "wasm_component_model_map",
        "maps in WIT",
        f"{_YOUNG}, and it has no Python value",
        "component model map feature",
    ),
    _off("wasm_component_model_implements", "`implements` of interfaces", _YOUNG, "cm-implements"),
    _off("wasm_component_model_accessors", "accessors in WIT", _YOUNG),
    _off("wasm_component_model_canonical_names", "canonical names of versions", _YOUNG),
)
"""All features for which wasmtime has a setting, in the order of the documentation."""

SETTINGS: dict[str, bool] = {
    # Both CPU layers are compiled into the code.
    "consume_fuel": True,
    "epoch_interruption": True,
    # Equal runs are equal, on every machine.
    "cranelift_nan_canonicalization": True,
    "wasm_relaxed_simd_deterministic": True,
    # With wasmtime's copy-on-write images a host memory creator aborts the process. Large guests have images of ours.
    "memory_init_cow": False,
    **{feature.setting: feature.is_on for feature in FEATURES},
}


def new_config() -> wasmtime.Config:
    """Return a new `wasmtime.Config` with these settings."""
    config = wasmtime.Config()
    for name, value in SETTINGS.items():
        # Not through the attributes of `Config`, of which some settings have none.
        abi.config_setter(name)(address(config), value)
    return config


def with_feature(message: str) -> str:
    """Return wasmtime's refusal of a guest, with the name of the disabled feature that the guest needs, if any."""
    found = next((one for one in FEATURES if one.phrase and one.phrase in message), None)
    return message if found is None else f"{message.rstrip()}\n\nThe feature {found.name!r} is off: {found.why}"


def fingerprint() -> str:
    """Return a digest of everything on which an artefact depends, except its source and wasmtime's version."""
    settings = (f"{k}={v}" for k, v in sorted(SETTINGS.items()))
    text = ";".join([platform.machine(), platform.system(), f"images={REVISION}", *settings])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
