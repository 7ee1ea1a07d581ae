"""Run WebAssembly components under hard limits, and prove that the limits hold.

This module exports the public names. Each one is imported on first use, so that a pytest run that does not use the
plugin loads neither wasmtime nor Hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation
    from pytest_airssys_wasm.runtime.base.outcome import Call, Finished, Frame, Outcome, Verdict
    from pytest_airssys_wasm.runtime.base.usage import Execution, FuelMetrics, Usage
    from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant, WrongType, WrongValue
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.compile.cache import CacheUnavailable, CompileCache, CompileProgress
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.errors import (
        ComponentTrapped,
        ExecutionTimeout,
        GuestExit,
        HostFunctionError,
        InvalidComponent,
        InvalidConfiguration,
        LinkError,
        OutOfFuel,
        OutOfMemory,
        ResourceLimitExceeded,
        RuntimeDied,
        UnfitHost,
        WasmError,
    )
    from pytest_airssys_wasm.runtime.execution.host_call_context import CurrentExecution, current_execution
    from pytest_airssys_wasm.runtime.guest.component import Component, UnknownExport
    from pytest_airssys_wasm.runtime.guest.instance import Instance, Interface
    from pytest_airssys_wasm.runtime.guest.resources import Resource
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.host.library import ReferenceFunctions
    from pytest_airssys_wasm.runtime.manifest.model import Manifest
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
    from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable
    from pytest_airssys_wasm.runtime.store.store import LimitedStore

_EXPORTS = {
    "isolation.process_isolation": ("ProcessIsolation",),
    "runtime.base.outcome": (
        "Call",
        "Finished",
        "Frame",
        "Outcome",
        "Verdict",
    ),
    "runtime.base.usage": (
        "Execution",
        "FuelMetrics",
        "Usage",
    ),
    "runtime.base.values": (
        "Err",
        "Ok",
        "Record",
        "Some",
        "Variant",
        "WrongType",
        "WrongValue",
    ),
    "runtime.budget.limits": ("ResourceLimits",),
    "runtime.compile.cache": (
        "CacheUnavailable",
        "CompileCache",
        "CompileProgress",
    ),
    "runtime.engine": ("WasmEngine",),
    "runtime.errors": (
        "ComponentTrapped",
        "ExecutionTimeout",
        "GuestExit",
        "HostFunctionError",
        "InvalidComponent",
        "InvalidConfiguration",
        "LinkError",
        "OutOfFuel",
        "OutOfMemory",
        "Outcome",
        "ResourceLimitExceeded",
        "RuntimeDied",
        "UnfitHost",
        "WasmError",
    ),
    "runtime.execution.host_call_context": (
        "CurrentExecution",
        "current_execution",
    ),
    "runtime.guest.component": (
        "Component",
        "UnknownExport",
    ),
    "runtime.guest.instance": (
        "Instance",
        "Interface",
    ),
    "runtime.guest.resources": ("Resource",),
    "runtime.host.functions": ("HostFunctions",),
    "runtime.host.library": ("ReferenceFunctions",),
    "runtime.manifest.model": ("Manifest",),
    "runtime.manifest.wasi": ("Wasi",),
    "runtime.store.exclusive_use": ("StoreUnusable",),
    "runtime.store.store": ("LimitedStore",),
}
_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "CacheUnavailable",
    "Call",
    "CompileCache",
    "CompileProgress",
    "Component",
    "ComponentTrapped",
    "CurrentExecution",
    "Err",
    "Execution",
    "ExecutionTimeout",
    "Finished",
    "Frame",
    "FuelMetrics",
    "GuestExit",
    "HostFunctionError",
    "HostFunctions",
    "Instance",
    "Interface",
    "InvalidComponent",
    "InvalidConfiguration",
    "LimitedStore",
    "LinkError",
    "Manifest",
    "Ok",
    "OutOfFuel",
    "OutOfMemory",
    "Outcome",
    "ProcessIsolation",
    "Record",
    "ReferenceFunctions",
    "Resource",
    "ResourceLimitExceeded",
    "ResourceLimits",
    "RuntimeDied",
    "Some",
    "StoreUnusable",
    "UnfitHost",
    "UnknownExport",
    "Usage",
    "Variant",
    "Verdict",
    "Wasi",
    "WasmEngine",
    "WasmError",
    "WrongType",
    "WrongValue",
    "current_execution",
]

# Hidden from type checkers, which would take it as a licence for any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
