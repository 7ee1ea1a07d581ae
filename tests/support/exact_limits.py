"""Limits that are exactly what a guest declares, and what its instantiation ends with."""

from __future__ import annotations

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.store import LimitedStore


def exactly(needs):
    wanted = {
        "memory": needs.memory_bytes,
        "memories": needs.memories,
        "tables": needs.tables,
        "table_elements": needs.table_elements,
        "instances": needs.instances,
    }
    return ResourceLimits(fuel=10**4, timeout_ms=20_000, **wanted)


def instantiated(engine, guest, limits):
    """The error that instantiation ends with, or `None`."""
    try:
        with LimitedStore(engine, limits, wasi=Wasi()) as store:
            store.instantiate(guest)
    except WasmError as error:
        return error
    return None
