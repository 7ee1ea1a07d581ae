"""Executions of components in a store of their own, on the thread of the caller, prepared once for each export.

The store exists only within one call of the native guard. All other things are made if they are needed, as for direct
calls.
"""

from __future__ import annotations

import struct
from ctypes import addressof, c_char, c_int64
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.usage import Execution, FuelMetrics, Usage
from pytest_airssys_wasm.runtime.budget.limits import MAX_U64
from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.capi.guard import NO_STACK, READ_FIGURES, GuardRun, begin_run, guard
from pytest_airssys_wasm.runtime.capi.memory_images import image_address
from pytest_airssys_wasm.runtime.capi.stores import MOST, address
from pytest_airssys_wasm.runtime.execution.run import GuestFailed
from pytest_airssys_wasm.runtime.guest.direct_calls import plain_layout
from pytest_airssys_wasm.runtime.guest.placement import may_run_here
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore

    Execute = Callable[[tuple[Any, ...]], "Execution | Failed | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A direct execution whose guest has failed, or was late."""

    error: BaseException | None
    """The error of the guest; `None` if it returned too late."""
    account: GuardRun
    """The figures of the execution."""
    transfer_bytes: int
    """The bytes that were transferred."""


def compile_execution(
    engine: EngineCore, component: Component, function: str, limits: ResourceLimits
) -> Execute | None:
    """Return the function that instantiates a component and calls an export with plain numbers under these limits.

    It returns `None` for arguments that have to go the general way. `None` is returned if all executions have to.
    """
    if not isinstance(component, WitComponent) or component.imports or component.uses_resources:
        return None
    export = component.check_call(function, len(component.parameter_types(function)))
    layout = plain_layout(export)
    if layout is None or not may_run_here(component, function, limits, limits.fuel):
        return None
    if limits.transfer is not None and export.fixed_bytes > limits.transfer:
        return None
    counts = (c_int64 * 4)(
        *(min(n, MOST) for n in (limits.table_elements, limits.instances, limits.tables, limits.memories))
    )
    fuel = MAX_U64 if limits.fuel is None else limits.fuel
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
    max_fuel, memory_bytes, timeout_ms = limits.fuel, min(limits.memory, MOST), limits.timeout_ms

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
        stop, _, fuel_left, started_ns, finished_ns, _, cpu_ns, peak_bytes, denied = READ_FIGURES(run)
        if error and run.refused == NO_STACK:
            abi.error_delete(error)
            return None
        if error or stop:
            failure = GuestFailed(failures.take(error)) if error else None
            return Failed(error=failure, account=run, transfer_bytes=moved_bytes)
        return Execution(
            value=read(area, result_offset)[0] if has_result else None,
            usage=Usage(
                fuel=FuelMetrics(max_fuel=max_fuel, consumed=fuel - fuel_left),
                wall_ms=(finished_ns - started_ns) / 1e6,
                cpu_ms=cpu_ns / 1e6,
                peak_memory_bytes=peak_bytes,
                memory_limit_bytes=memory_bytes,
                denied_growths=denied,
                host_calls=0,
                transfer_bytes=moved_bytes,
            ),
        )

    return execute
