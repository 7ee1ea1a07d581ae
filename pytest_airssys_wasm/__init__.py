"""Run WebAssembly components under hard limits, and prove that the limits hold.

The public names. Each is imported on first use, so that a pytest run which uses nothing of the plugin loads
neither wasmtime nor hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation
    from pytest_airssys_wasm.runtime.cache import CacheUnavailable, CompileCache
    from pytest_airssys_wasm.runtime.claim import StoreUnusable
    from pytest_airssys_wasm.runtime.component import Component, UnknownExport
    from pytest_airssys_wasm.runtime.current import CurrentExecution, current_execution
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.errors import (
        ComponentTrapped,
        ExecutionTimeout,
        Frame,
        GuestExit,
        HostFunctionError,
        InvalidComponent,
        InvalidConfiguration,
        LinkError,
        OutOfFuel,
        OutOfMemory,
        ResourceLimitExceeded,
        RuntimeDied,
        Verdict,
        WasmError,
    )
    from pytest_airssys_wasm.runtime.host import HostFunctions
    from pytest_airssys_wasm.runtime.instance import Instance, Interface
    from pytest_airssys_wasm.runtime.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.manifest import Manifest
    from pytest_airssys_wasm.runtime.reference import ReferenceFunctions
    from pytest_airssys_wasm.runtime.resources import Resource
    from pytest_airssys_wasm.runtime.store import LimitedStore
    from pytest_airssys_wasm.runtime.usage import Execution, FuelMetrics, Usage
    from pytest_airssys_wasm.runtime.values import Err, Ok, Record, Some, Variant
    from pytest_airssys_wasm.runtime.wasi import Wasi

_HOMES = {
    "isolation.process_isolation": ("ProcessIsolation",),
    "runtime.cache": ("CacheUnavailable", "CompileCache"),
    "runtime.claim": ("StoreUnusable",),
    "runtime.component": ("Component", "UnknownExport"),
    "runtime.current": ("CurrentExecution", "current_execution"),
    "runtime.engine": ("WasmEngine",),
    "runtime.errors": (
        "ComponentTrapped",
        "ExecutionTimeout",
        "Frame",
        "GuestExit",
        "HostFunctionError",
        "InvalidComponent",
        "InvalidConfiguration",
        "LinkError",
        "OutOfFuel",
        "OutOfMemory",
        "ResourceLimitExceeded",
        "RuntimeDied",
        "Verdict",
        "WasmError",
    ),
    "runtime.host": ("HostFunctions",),
    "runtime.instance": ("Instance", "Interface"),
    "runtime.limits": ("ResourceLimits",),
    "runtime.manifest": ("Manifest",),
    "runtime.reference": ("ReferenceFunctions",),
    "runtime.resources": ("Resource",),
    "runtime.store": ("LimitedStore",),
    "runtime.usage": ("Execution", "FuelMetrics", "Usage"),
    "runtime.values": ("Err", "Ok", "Record", "Some", "Variant"),
    "runtime.wasi": ("Wasi",),
}
_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "CacheUnavailable",
    "CompileCache",
    "Component",
    "ComponentTrapped",
    "CurrentExecution",
    "Err",
    "Execution",
    "ExecutionTimeout",
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
    "ProcessIsolation",
    "Record",
    "ReferenceFunctions",
    "Resource",
    "ResourceLimitExceeded",
    "ResourceLimits",
    "RuntimeDied",
    "Some",
    "StoreUnusable",
    "UnknownExport",
    "Usage",
    "Variant",
    "Verdict",
    "Wasi",
    "WasmEngine",
    "WasmError",
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
