"""The instantiation of components, and the calls of their exports, in a wasmtime store."""

from __future__ import annotations

from ctypes import c_char
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import Mismatch
from pytest_airssys_wasm.runtime.capi import abi, failures, vals
from pytest_airssys_wasm.runtime.capi.guard import NOT_LIFTED
from pytest_airssys_wasm.runtime.capi.memory_images import image_address
from pytest_airssys_wasm.runtime.capi.stores import address
from pytest_airssys_wasm.runtime.execution.run import GuestFailed
from pytest_airssys_wasm.runtime.guest.component import UnknownExport
from pytest_airssys_wasm.runtime.guest.lifted_functions import lifted_function
from pytest_airssys_wasm.runtime.guest.linking import component_linker
from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import wasmtime.component

    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.lifted_functions import LiftedFunction
    from pytest_airssys_wasm.runtime.guest.operations import PreparedCall
    from pytest_airssys_wasm.runtime.guest.store_context import StoreContext
    from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent, WitExport
    from pytest_airssys_wasm.runtime.lift.exported import LiftedExport


def link(component: WitComponent, context: StoreContext) -> wasmtime.component.Linker:
    """Return a linker with the imports of a component.

    Raises `LinkError`, which names every import that is missing or has the wrong type.
    """
    return component_linker(component, context) if component.imports else context.engine.bare_component_linker


def instantiate(
    component: WitComponent, linker: wasmtime.component.Linker, context: StoreContext, run: Run
) -> InstanceHandle:
    """Instantiate a component on the thread of its guest."""
    if component.uses_resources:
        context.resources.attach(run, component, None)
    raw, store = (c_char * 16)(), context.raw
    store.run.image = image_address(component.image)
    error = store.guard.component_instantiate(store.address, address(linker), address(component.raw), raw)
    if error:
        raise GuestFailed(failures.take(error))
    return InstanceHandle(component, raw, memory=store.run.memory if store.run.memories == 1 else None)


def prepare(
    component: WitComponent,
    function: str,
    args: Sequence[Any],
    run: Run,
    context: StoreContext,
    made: InstanceHandle | None = None,
) -> PreparedCall:
    """Lower the arguments of a call, and return the function that makes the call on the thread of the guest.

    `made` is the instance, if it exists already; otherwise the call instantiates the guest.

    Raises `UnknownExport` for an unknown name, and `TypeError` or `ValueError`, which name the position in `args`, for
    an argument that does not fit.
    """
    found = component.check_call(function, len(args))
    lifted = None if made is None else lifted_function(made, component, function, context.raw.context)
    if lifted is not None:
        call_lifted = _prepare_lifted(lifted, found.fixed_bytes, args, run, context)
        if call_lifted is not None:
            return call_lifted
    execute_lifted = component.lifted(function) if made is None else None
    if execute_lifted is not None:
        prepared = _prepare_lifted_execution(execute_lifted, component, function, args, run, context)
        if prepared is not None:
            return prepared
    return _prepare_general(component, function, args, run, context)


def _prepare_general(
    component: WitComponent, function: str, args: Sequence[Any], run: Run, context: StoreContext
) -> PreparedCall:
    """Lower the arguments of a call to the values of wasmtime."""
    count = len(args)
    found = component.check_call(function, count)
    resources = context.resources
    if component.uses_resources:
        resources.attach(run, component, None)
        resources.begin()
    transfer = run.transfer
    transfer.charge(found.fixed_bytes)
    area = transfer.allocate(abi.VAL_BYTES * (count + 1))
    try:
        for index, (lower, value) in enumerate(zip(found.lower, args)):
            try:
                lower(value, area + index * abi.VAL_BYTES, transfer)
            except Mismatch as error:
                raise error.at(f"args[{index}]")
    except BaseException:
        if component.uses_resources:
            resources.keep(run)
        raise
    given = resources.lowered() if component.uses_resources else ()
    result = area + count * abi.VAL_BYTES

    def call(handle: InstanceHandle, run: Run, linker: wasmtime.component.Linker | None = None) -> Any:
        if component.uses_resources:
            resources.attach(run, component, handle)
            resources.give(given, run)
        has_result = found.lift is not None
        store = context.raw
        if linker is None:
            entered = function_of(handle, function, found, store.context)
            error = store.guard.component_call(store.address, entered, area, count, result, has_result)
        else:
            entered = handle.functions[function] = (c_char * 32)()
            store.run.image = image_address(component.image)
            error = store.guard.component_execute(
                store.address,
                address(linker),
                address(component.raw),
                handle.raw,
                address(found.index),
                entered,
                area,
                count,
                result,
                has_result,
            )
        if error:
            raise GuestFailed(failures.take(error))
        if not has_result:
            return None
        begun = run.begin_converting()
        try:
            return found.lift(result, run.transfer)
        finally:
            vals.val_delete(result)
            run.end_converting(begun)

    return call


def _prepare_lifted(
    lifted: LiftedFunction, fixed_bytes: int, args: Sequence[Any], run: Run, context: StoreContext
) -> PreparedCall | None:
    """Lower the arguments of a call by a scalar lift; return `None` if they have to go the general way."""
    transfer, store, export = run.transfer, context.raw, lifted.export
    before = transfer.moved_bytes
    try:
        transfer.charge(fixed_bytes)
        area, results = export.lower(args, transfer)
    except Exception:  # noqa: BLE001 the general way raises it, with the place of the argument
        transfer.moved_bytes = before
        return None
    run.copies = export.copies

    def call(handle: InstanceHandle, run: Run, linker: wasmtime.component.Linker | None = None) -> Any:
        error = store.guard.lifted_call(store.address, lifted.address, area, 0, results, 0)
        if error:
            raise GuestFailed(failures.take(error))
        return _lift(export, results, run, store.guard.free)

    return call


def _prepare_lifted_execution(
    export: LiftedExport, component: WitComponent, function: str, args: Sequence[Any], run: Run, context: StoreContext
) -> PreparedCall | None:
    """Lower the arguments of a call that also instantiates its guest; return `None` if they have to go the general way.

    The thread of the guest is the one that the general way needs, which the guest may lead to by its memories.
    """
    transfer, store = run.transfer, context.raw
    before = transfer.moved_bytes
    try:
        transfer.charge(component.check_call(function, len(args)).fixed_bytes)
        area, results = export.lower(args, transfer)
    except Exception:  # noqa: BLE001 the general way raises it, with the place of the argument
        transfer.moved_bytes = before
        return None

    def call(handle: InstanceHandle, run: Run, linker: wasmtime.component.Linker | None = None) -> Any:
        store.run.image = image_address(component.image)
        error = store.guard.lifted_execute(
            store.address,
            address(linker),
            address(component.raw),
            handle.raw,
            export.struct_at,
            export.indices_at,
            area,
            results,
        )
        if error and store.run.refused == NOT_LIFTED:
            abi.error_delete(error)
            transfer.moved_bytes = before
            return _prepare_general(component, function, args, run, context)(handle, run)
        if error:
            raise GuestFailed(failures.take(error))
        return _lift(export, results, run, store.guard.free)

    return call


def _lift(export: LiftedExport, results: int, run: Run, free: Callable[[int], object]) -> Any:
    """Return the Python value of what a scalar lift has returned, and free it."""
    if export.lift is None:
        return None
    begun = run.begin_converting()
    try:
        return export.lift(results, run.transfer)
    finally:
        if export.owns_results:
            free(results)
        run.end_converting(begun)


def function_of(handle: InstanceHandle, name: str, export: WitExport, store: int) -> Any:
    """Return the C struct of an export, for the `wasmtime_context_t` at an address.

    Raises `UnknownExport` if the instance does not have it.
    """
    found = handle.functions.get(name)
    if found is None:
        found = (c_char * 32)()
        if not abi.component_instance_get_func(handle.raw, store, address(export.index), found):
            raise UnknownExport.among(handle.component, name, handle.component.function_names())
        handle.functions[name] = found
    return found
