"""Executions of guests in a store of their own, on the thread of the caller, prepared once for each export.

The store exists only within such an execution. All other things are made if they are needed, as for direct
calls.
"""

from __future__ import annotations

import struct
from ctypes import addressof, c_char, c_int64
from itertools import chain
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.originals import monotonic_ns
from pytest_airssys_wasm.runtime.base.usage import Execution, FuelMetrics, Usage
from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.capi.guard import (
    NO_STACK,
    NOT_LIFTED,
    READ_FIGURES,
    GuardRun,
    begin_run,
    guard,
)
from pytest_airssys_wasm.runtime.capi.memory_images import image_address
from pytest_airssys_wasm.runtime.capi.stores import MOST, address
from pytest_airssys_wasm.runtime.convert.plain_layout import plain_core_layout
from pytest_airssys_wasm.runtime.convert.transfer import Transfer
from pytest_airssys_wasm.runtime.execution.run import GuestFailed
from pytest_airssys_wasm.runtime.guest.core_module import CoreModule
from pytest_airssys_wasm.runtime.guest.direct_calls import MOST_COPIED_BYTES
from pytest_airssys_wasm.runtime.guest.direct_failure import Failed
from pytest_airssys_wasm.runtime.guest.placement import may_run_here
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.convert.plain_layout import PlainLayout
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.wit_component import WitExport
    from pytest_airssys_wasm.runtime.lift.exported import LiftedExport

    Execute = Callable[[tuple[Any, ...]], "Execution | Failed | None"]


def compile_execution(
    engine: EngineCore, component: Component, function: str, limits: ResourceLimits
) -> Execute | None:
    """Return the function that instantiates a component or module and calls an export under these limits.

    The values are plain numbers, or all types of the function can be copied. The function returns `None` for arguments
    that have to go the general way. `None` is returned if all executions have to.
    """
    if isinstance(component, CoreModule):
        return _compile_module_execution(engine, component, function, limits)
    if not isinstance(component, WitComponent) or component.imports or component.uses_resources:
        return None
    export = component.check_call(function, len(component.parameter_types(function)))
    if limits.transfer is not None and export.fixed_bytes > limits.transfer:
        return None
    if export.plain is not None and may_run_here(component, function, limits, limits.fuel):
        return _plain_execution(engine, component, export, export.plain, limits)
    lifted = component.lifted(function)
    if lifted is not None and may_run_here(component, function, limits, limits.fuel, lifted.copies):
        return _lifted_execution(engine, component, export, lifted, limits)
    return None


def _counts_of(limits: ResourceLimits) -> Any:
    """Return the counts with which the guard makes a store."""
    counts = limits.table_elements, limits.instances, limits.tables, limits.memories
    return (c_int64 * 4)(*(min(count, MOST) for count in counts))


def _plain_execution(
    engine: EngineCore, component: WitComponent, export: WitExport, layout: PlainLayout, limits: ResourceLimits
) -> Execute:
    """Return the function for an export that takes and returns plain numbers."""
    counts, fuel = _counts_of(limits), MAX_U64 if limits.fuel is None else limits.fuel
    count, has_result, moved_bytes = len(export.lower), export.lift is not None, export.fixed_bytes
    # One piece of memory for the arguments, the result, the instance and the function.
    result_offset = abi.VAL_BYTES * count
    instance_offset = result_offset + abi.VAL_BYTES
    function_offset = instance_offset + 16
    area_type = c_char * (function_offset + 32)
    engine_at, linker_at = engine.address, address(engine.bare_component_linker)
    component_at, index_at, counts_at = address(component.raw), address(export.index), addressof(counts)
    enter, flat = guard().component_run, chain.from_iterable
    write, read, classes, kinds = layout.write, layout.read, layout.classes, layout.kinds
    memory_bytes, timeout_ms = min(limits.memory, MOST), limits.timeout_ms
    image_at = image_address(component.image)
    kept_alive = (counts, export, component.image)  # whose addresses are used

    def execute(args: tuple[Any, ...], _: object = kept_alive) -> Execution | Failed | None:
        if tuple(map(type, args)) != classes:
            return None
        area = area_type()
        try:
            write(area, 0, *flat(zip(kinds, args)))
        except struct.error:  # out of the range of its type
            return None
        run = GuardRun(limit_bytes=memory_bytes, image=image_at)
        begin_run(run, fuel, timeout_ms)
        area_at = addressof(area)
        error = enter(
            addressof(run),
            engine_at,
            counts_at,
            linker_at,
            component_at,
            area_at + instance_offset,
            index_at,
            area_at + function_offset,
            area_at,
            count,
            area_at + result_offset,
            has_result,
        )
        figures = READ_FIGURES(run)
        if error and run.refused == NO_STACK:
            abi.error_delete(error)
            return None
        if error or figures[0]:
            failure = GuestFailed(failures.take(error)) if error else None
            return Failed(error=failure, account=run, transfer_bytes=moved_bytes)
        value = read(area, result_offset)[0] if has_result else None
        return Execution(value=value, usage=_usage(limits, figures, moved_bytes, 0))

    return execute


def _lifted_execution(
    engine: EngineCore, component: WitComponent, export: WitExport, lifted: LiftedExport, limits: ResourceLimits
) -> Execute:
    """Return the function for an export that is called by its scalar lift."""
    counts, fuel = _counts_of(limits), MAX_U64 if limits.fuel is None else limits.fuel
    memory_bytes, timeout_ms = min(limits.memory, MOST), limits.timeout_ms
    engine_at, linker_at, counts_at = engine.address, address(engine.bare_component_linker), addressof(counts)
    component_at, image_at = address(component.raw), image_address(component.image)
    enter, free = guard().lifted_run, guard().free
    lower, lift, owns_results = lifted.lower, lifted.lift, lifted.owns_results
    fixed_bytes = export.fixed_bytes
    kept_alive = (counts, lifted, component.image)  # whose addresses are used
    goes_general = False

    def execute(args: tuple[Any, ...], _: object = kept_alive) -> Execution | Failed | None:
        nonlocal goes_general
        if goes_general:
            return None
        transfer = Transfer(limits.transfer)
        try:
            transfer.charge(fixed_bytes)
            area, place = lower(args, transfer)
        except Exception:  # noqa: BLE001 the general way raises it, with the place of the argument
            return None
        if transfer.moved_bytes > MOST_COPIED_BYTES:
            return None
        run, instance = GuardRun(limit_bytes=memory_bytes, image=image_at), _Instance()
        begin_run(run, fuel, timeout_ms)
        error = enter(
            addressof(run),
            engine_at,
            counts_at,
            linker_at,
            component_at,
            addressof(instance),
            lifted.struct_at,
            lifted.indices_at,
            area,
            place,
        )
        figures = READ_FIGURES(run)
        if error and run.refused in (NO_STACK, NOT_LIFTED):
            goes_general = run.refused == NOT_LIFTED
            abi.error_delete(error)
            return None
        stop, finished_ns = figures[0], figures[4]
        if error:
            failure = GuestFailed(failures.take(error))
            return Failed(error=failure, account=run, transfer_bytes=transfer.moved_bytes)
        began_ns, value, raised = monotonic_ns(), None, None
        try:
            if lift is not None and not stop:
                transfer.stop_at(lambda: bool(run.stop) or monotonic_ns() >= run.due_ns)
                value = lift(place, transfer)
        except Exception as failed:  # noqa: BLE001 judged with all other errors
            raised = failed
        finally:
            transfer.end()
            if owns_results:
                free(place)
        after_ns = 0 if stop or lift is None else monotonic_ns() - began_ns
        if raised is not None or stop or finished_ns + after_ns >= run.due_ns:
            moved_bytes = transfer.moved_bytes
            return Failed(error=raised, account=run, transfer_bytes=moved_bytes, after_ns=after_ns)
        return Execution(value=value, usage=_usage(limits, figures, transfer.moved_bytes, after_ns))

    return execute


def _compile_module_execution(
    engine: EngineCore, module: CoreModule, function: str, limits: ResourceLimits
) -> Execute | None:
    """Return the function for an export of a module that takes and returns plain numbers; `None` for other exports."""
    export = module.check_call(function, len(module.parameter_types(function)))
    layout = plain_core_layout(export.params, export.results)
    if layout is None or module.imports or module.is_reactor or not may_run_here(module, function, limits, limits.fuel):
        return None
    argument_bytes, result_bytes = 8 * len(export.params), 8 * len(export.results)
    moved_bytes = argument_bytes + result_bytes
    if limits.transfer is not None and moved_bytes > limits.transfer:
        return None
    counts, fuel = _counts_of(limits), MAX_U64 if limits.fuel is None else limits.fuel
    engine_at, linker_at, module_at = engine.address, address(engine.bare_linker), address(module.raw)
    make_store, enter, delete_store = guard().store_new, guard().module_execute, guard().store_delete
    count, size, name = max(len(export.params), len(export.results)), layout.size, function.encode()
    area_type = c_char * (size + _INSTANCE_BYTES + _FUNCTION_BYTES)  # of the values, the instance and the function
    write, read, classes, is_single = layout.write, layout.read, layout.classes, len(export.results) == 1
    memory_bytes, timeout_ms, image_at = min(limits.memory, MOST), limits.timeout_ms, image_address(module.image)
    kept_alive = module  # whose addresses are used

    def execute(args: tuple[Any, ...], _: object = kept_alive) -> Execution | Failed | None:
        if tuple(map(type, args)) != classes:
            return None
        area = area_type()
        try:
            write(area, 0, *args)
        except struct.error:  # out of the range of its type, or without a sign
            return None
        run = GuardRun(limit_bytes=memory_bytes, image=image_at)
        run_at, area_at = addressof(run), addressof(area)
        try:
            make_store(run_at, engine_at, *counts)
            begin_run(run, fuel, timeout_ms)
            instance_at = area_at + size
            function_at = instance_at + _INSTANCE_BYTES
            error = enter(run_at, linker_at, module_at, instance_at, name, len(name), function_at, area_at, count)
            figures = READ_FIGURES(run)
        finally:
            if run.store:  # a signal handler may raise before it is made
                delete_store(run_at)
        if error and run.refused == NO_STACK:
            abi.error_delete(error)
            return None
        if error or figures[0]:
            failure = GuestFailed(failures.take(error)) if error else None
            return Failed(error=failure, account=run, transfer_bytes=argument_bytes if error else moved_bytes)
        found = read(area)
        value = found[0] if is_single else found or None
        return Execution(value=value, usage=_usage(limits, figures, moved_bytes, 0))

    return execute


_INSTANCE_BYTES = _FUNCTION_BYTES = 16
"""The sizes of a `wasmtime_instance_t` and a `wasmtime_func_t`."""
_Instance = c_char * 16
"""A `wasmtime_component_instance_t`."""


def _usage(limits: ResourceLimits, figures: tuple[int, ...], moved_bytes: int, after_ns: int) -> Usage:
    _, fuel, fuel_left, started_ns, finished_ns, limit_bytes, cpu_ns, peak_bytes, denied = figures
    return Usage(
        fuel=FuelMetrics(max_fuel=limits.fuel, consumed=fuel - fuel_left),
        wall_ms=(finished_ns - started_ns + after_ns) / 1e6,
        cpu_ms=(cpu_ns + after_ns) / 1e6,
        peak_memory_bytes=peak_bytes,
        memory_limit_bytes=limit_bytes,
        denied_growths=denied,
        host_calls=0,
        transfer_bytes=moved_bytes,
    )
