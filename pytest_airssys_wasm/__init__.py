"""Run WebAssembly components under hard limits, and prove that the limits hold.

The public names. Each is imported on first use, so that a pytest run which uses nothing of the plugin loads
neither wasmtime nor hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_ROOMS = {
    "cache": ("CacheUnavailable", "CompileCache"),
    "claim": ("StoreUnusable",),
    "component": ("Component", "UnknownExport"),
    "current": ("CurrentExecution", "current_execution"),
    "engine": ("WasmEngine",),
    "errors": (
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
    "host": ("HostFunctions",),
    "instance": ("Instance", "Interface"),
    "limits": ("ResourceLimits",),
    "manifest": ("Manifest",),
    "reference": ("ReferenceFunctions",),
    "resources": ("Resource",),
    "store": ("LimitedStore",),
    "usage": ("Execution", "FuelMetrics", "Usage"),
    "values": ("Err", "Ok", "Record", "Some", "Variant"),
    "wasi": ("Wasi",),
}
_MODULE_OF = {name: f"{__name__}.runtime.{room}" for room, names in _ROOMS.items() for name in names}

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
