"""Instantiations on the thread of the caller, without a run, of guests that need nothing but themselves."""

from __future__ import annotations

from ctypes import c_char
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.capi.guard import NO_STACK, begin_run
from pytest_airssys_wasm.runtime.capi.memory_images import image_address
from pytest_airssys_wasm.runtime.capi.stores import address
from pytest_airssys_wasm.runtime.execution.run import GuestFailed
from pytest_airssys_wasm.runtime.guest.core_module import CoreModule
from pytest_airssys_wasm.runtime.guest.direct_failure import Failed
from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle
from pytest_airssys_wasm.runtime.guest.placement import may_run_here
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.capi.stores import RawStore
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore

_Instance = c_char * 16
"""A `wasmtime_instance_t` or a `wasmtime_component_instance_t`."""


def may_be_made_here(component: Component, limits: ResourceLimits) -> bool:
    """Return whether a guest can be instantiated by `instantiate` in a store without WASI."""
    match component:
        case WitComponent():
            is_alone = not component.imports and not component.uses_resources
        case CoreModule():
            is_alone = not component.imports and not component.is_reactor
        case _:
            return False
    return is_alone and may_run_here(component, None, limits, limits.fuel)


def instantiate(
    component: Component, engine: EngineCore, raw: RawStore, limits: ResourceLimits
) -> InstanceHandle | Failed | None:
    """Instantiate a guest that may be made here as the next execution of a store.

    Returns `None` if this thread has too little stack left for a guest. Then nothing has run.
    """
    run, made = raw.run, _Instance()
    begin_run(run, MAX_U64 if limits.fuel is None else limits.fuel, limits.timeout_ms)
    run.image = image_address(component.image)
    is_module = isinstance(component, CoreModule)
    enter = raw.guard.module_instantiate if is_module else raw.guard.component_instantiate
    linker = engine.bare_linker if is_module else engine.bare_component_linker
    error = enter(raw.address, address(linker), address(component.raw), made)
    if error and run.refused == NO_STACK:
        abi.error_delete(error)
        return None
    if error or run.stop:
        return Failed(error=GuestFailed(failures.take(error)) if error else None, account=run, transfer_bytes=0)
    return InstanceHandle(component, made, memory=run.memory if not is_module and run.memories == 1 else None)
