"""The instantiation of core modules, and the calls of their exports, in a wasmtime store."""

from __future__ import annotations

from ctypes import c_char
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.capi.memory_images import image_address
from pytest_airssys_wasm.runtime.capi.stores import address
from pytest_airssys_wasm.runtime.convert import core_values
from pytest_airssys_wasm.runtime.execution.run import GuestFailed
from pytest_airssys_wasm.runtime.guest.component import UnknownExport
from pytest_airssys_wasm.runtime.guest.linking import check_imports, module_linker
from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle

if TYPE_CHECKING:
    from collections.abc import Sequence

    import wasmtime

    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.core_module import CoreModule
    from pytest_airssys_wasm.runtime.guest.operations import PreparedCall
    from pytest_airssys_wasm.runtime.guest.store_context import StoreContext


def link(module: CoreModule, context: StoreContext) -> wasmtime.Linker:
    """Return a linker with the imports of a module.

    Raises `LinkError`, which names every import that is missing or has the wrong type.
    """
    check_imports(module, context.host, context.wasi)
    return module_linker(module, context) if module.imports else context.engine.bare_linker


def instantiate(module: CoreModule, linker: wasmtime.Linker, context: StoreContext, run: Run) -> InstanceHandle:
    """Instantiate a module, and initialize a reactor, on the thread of its guest."""
    handle, store = InstanceHandle(module, (c_char * 16)()), context.raw
    store.run.image = image_address(module.image)
    error = store.guard.module_instantiate(store.address, address(linker), address(module.raw), handle.raw)
    if error:
        raise GuestFailed(failures.take(error))
    if module.is_reactor:
        prepare(module, "_initialize", (), run, context)(handle, run)
    return handle


def prepare(module: CoreModule, function: str, args: Sequence[Any], run: Run, context: StoreContext) -> PreparedCall:
    """Lower the arguments of a call, and return the function that makes the call on the thread of the guest.

    Raises `UnknownExport` for an unknown name, and `TypeError` or `ValueError`, which name the position in `args`, for
    an argument that does not fit.
    """
    found = module.check_call(function, len(args))
    count = max(len(found.params), len(found.results))
    values = (c_char * (core_values.RAW.size * max(1, count)))()
    core_values.lower(found.params, args, values, layout=core_values.RAW)
    run.transfer.charge(8 * len(args))

    def call(handle: InstanceHandle, run: Run, linker: wasmtime.Linker | None = None) -> Any:
        store = context.raw
        if linker is None:
            entered = function_of(handle, function, store.context)
            error = store.guard.module_call(store.address, entered, values, count)
        else:
            entered, encoded = (c_char * 16)(), function.encode()
            handle.functions[function] = entered
            store.run.image = image_address(module.image)
            error = store.guard.module_execute(
                store.address,
                address(linker),
                address(module.raw),
                handle.raw,
                encoded,
                len(encoded),
                entered,
                values,
                count,
            )
        if error:
            raise GuestFailed(failures.take(error))
        begun = run.begin_converting()
        results = core_values.lift(found.results, values, layout=core_values.RAW)
        run.transfer.charge(8 * len(results))
        run.end_converting(begun)
        return results[0] if len(results) == 1 else results or None

    return call


def function_of(handle: InstanceHandle, name: str, store: int) -> Any:
    """Return the C struct of an export, for the `wasmtime_context_t` at an address.

    Raises `UnknownExport` if the instance does not have it.
    """
    found = handle.functions.get(name)
    if found is None:
        extern, encoded = (c_char * 32)(), name.encode()
        if not abi.instance_export_get(store, handle.raw, encoded, len(encoded), extern):
            raise UnknownExport.among(handle.component, name, handle.component.function_names())
        found = (c_char * 16).from_buffer_copy(extern, 8)
        handle.functions[name] = found
    return found
