"""The configuration of wasmtime in every engine: deterministic, metered, preemptible."""

from __future__ import annotations

import hashlib
import platform

import wasmtime

SETTINGS: dict[str, bool] = {
    # Both CPU layers are compiled into the code.
    "consume_fuel": True,
    "epoch_interruption": True,
    # Equal runs are equal, on every machine.
    "cranelift_nan_canonicalization": True,
    "wasm_relaxed_simd_deterministic": True,
    # Nothing can end a guest that waits on shared memory.
    "wasm_threads": False,
    "shared_memory": False,
    # With copy-on-write images a host memory creator aborts the process.
    "memory_init_cow": False,
    # Components in use are compiled to these.
    "wasm_component_model": True,
    "wasm_tail_call": True,
    "wasm_multi_memory": True,
    "wasm_memory64": True,
    "wasm_function_references": True,
    "wasm_gc": True,
    "wasm_exceptions": True,
}


def new_config() -> wasmtime.Config:
    """Return a new `wasmtime.Config` with these settings."""
    config = wasmtime.Config()
    for name, value in SETTINGS.items():
        setattr(config, name, value)
    return config


def fingerprint() -> str:
    """Return a digest of everything on which an artefact depends, except its source and wasmtime's version."""
    text = ";".join([platform.machine(), platform.system(), *(f"{k}={v}" for k, v in sorted(SETTINGS.items()))])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
