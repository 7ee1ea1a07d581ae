"""The linking of components and modules: imports are resolved to WASI if it is granted, and to host functions and
resources by name.
"""

from __future__ import annotations

from ctypes import c_char
from typing import TYPE_CHECKING, Any

import wasmtime
import wasmtime.component

from pytest_airssys_wasm.runtime.base.originals import get_ident
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.base.values import Mismatch, short_repr
from pytest_airssys_wasm.runtime.binary.types import CoreFunction
from pytest_airssys_wasm.runtime.capi import abi, vals
from pytest_airssys_wasm.runtime.capi.linkers import LinkerCopy
from pytest_airssys_wasm.runtime.convert import core_values
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.plain_layout import FORMATS, plain_reader
from pytest_airssys_wasm.runtime.convert.transfer import fixed_size
from pytest_airssys_wasm.runtime.errors import LinkError
from pytest_airssys_wasm.runtime.host.functions import HostCallStopped, serve_import
from pytest_airssys_wasm.runtime.host.unmet_imports import WASI_P1, refusal
from pytest_airssys_wasm.runtime.wit.types import FunctionType, Primitive, ResourceType, value_types
from pytest_airssys_wasm.runtime.wit.world import InterfaceType, full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.core_module import CoreModule
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.store_context import StoreContext
    from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
    from pytest_airssys_wasm.runtime.wit.world import Item


def check_imports(component: Component, host: HostFunctions | None, wasi: Wasi | None) -> None:
    """Raise `LinkError`, which names every import that neither `host` nor `wasi` provides with the declared type.

    The same error is raised for a guest that cannot be instantiated in any environment.
    """
    unmet = list(component.unmet_imports(host, wasi))
    if unmet:
        raise refusal(component, unmet)
    if component.obstacle is not None:
        raise LinkError(f"{component!r} cannot be instantiated: {component.obstacle}")


def component_linker(component: WitComponent, context: StoreContext) -> wasmtime.component.Linker:
    """Return a linker with all imports of `component`.

    Raises `LinkError`, which names every import that is not provided, with its WIT type.
    """
    check_imports(component, context.host, context.wasi)
    if not component.own_imports and context.wasi is not None:
        return _shared_component_linker(context.engine)
    linker = wasmtime.component.Linker(context.engine.raw)
    if context.wasi is not None:
        linker.add_wasip2()
    with linker.root() as root:
        _define(root, "", component.own_imports, context)
    return linker


def _shared_component_linker(engine: EngineCore) -> wasmtime.component.Linker:
    """Return the linker with WASI and nothing else. It takes 0.3 ms to make, more than most instantiations."""
    if engine.wasi_component_linker is None:
        linker = wasmtime.component.Linker(engine.raw)
        linker.add_wasip2()
        engine.wasi_component_linker = linker
    return engine.wasi_component_linker


def module_linker(module: CoreModule, context: StoreContext) -> wasmtime.Linker:
    """Return a linker with all imports of `module`, which `check_imports` must have checked."""
    engine = context.engine
    if context.wasi is not None and all(one.module == WASI_P1 for one in module.shape.imports):
        return _wasi_linker(engine)
    linker = wasmtime.Linker(engine.raw) if context.wasi is None else LinkerCopy(_wasi_linker(engine))
    for one in dict.fromkeys(module.shape.imports):  # some toolchains import a function several times
        if one.module == WASI_P1 and context.wasi is not None:
            continue
        served = context.host.find(one.module, one.name) if context.host else None
        assert served is not None and isinstance(one.type, CoreFunction)  # noqa: PT018 `check_imports` has asked
        serve = _serve_module(f"{one.module}#{one.name}", one.type, served, engine.runs)
        engine.callbacks.define_in_module(linker, one.module, one.name, _function_type(one.type), serve)
    return linker


def _wasi_linker(engine: EngineCore) -> wasmtime.Linker:
    """Return the linker of modules with WASI and nothing else."""
    if engine.wasi_linker is None:
        engine.wasi_linker = _new_wasi_linker(engine)
    return engine.wasi_linker


def _new_wasi_linker(engine: EngineCore) -> wasmtime.Linker:
    """Return a new linker with WASI.

    It has its own `proc_exit`, because that of wasmtime refuses statuses above 125 without telling which one it was.
    """
    linker, runs = wasmtime.Linker(engine.raw), engine.runs
    linker.define_wasi()

    def serve(args: int, _results: int) -> None:
        (status,) = core_values.lift(("i32",), (c_char * abi.VAL_BYTES).from_address(args))
        runs[get_ident()].exit_status = status % 2**32
        raise HostCallStopped

    linker.allow_shadowing = True
    exits = CoreFunction(("i32",), ())
    engine.callbacks.define_in_module(linker, WASI_P1, "proc_exit", _function_type(exits), serve)
    return linker


def _define(target: Any, interface: str, items: Mapping[str, Item], context: StoreContext) -> None:
    callbacks, resources = context.engine.callbacks, context.resources
    for name, item in items.items():
        if isinstance(item, InterfaceType):
            with target.add_instance(name) as inner:
                _define(inner, full_name(interface, name), item.items, context)
        elif isinstance(item, ResourceType):
            resource_type = wasmtime.component.ResourceType.host(resources.type_id(interface, name))
            callbacks.define_resource(target, name, resource_type, resources.destroy)
        elif isinstance(item, FunctionType) and context.host is not None:
            function = context.host.find(interface, name)
            assert function is not None  # `check_imports` has asked
            served = _serve_component(full_name(interface, name), item, function, context)
            callbacks.define_in_component(target, name, served)


def _serve_component(
    name: str, type_: FunctionType, function: Callable[..., Any], context: StoreContext
) -> Callable[[int, int], None]:
    resources = context.resources
    fixed_bytes = sum(map(fixed_size, value_types(type_)))
    params = [param for _, param in type_.params]
    lifts, read = tuple(map(compile_lift, params)), plain_reader(params)
    lower = None if type_.result is None else compile_lower(type_.result)

    def lift_all(source: int, run: Run) -> Sequence[Any]:
        run.transfer.charge(fixed_bytes)
        if read is not None:
            return read(vals.MEMORY, source)
        return [lift(source + index * abi.VAL_BYTES, run.transfer) for index, lift in enumerate(lifts)]

    is_number = isinstance(type_.result, Primitive) and type_.result.name in FORMATS

    def lower_result(value: Any, target: int, run: Run) -> None:
        if lower is None:
            if value is not None:
                raise TypeError(f"it returned {value!r}, but has no result")
            return
        if is_number:  # the C value owns nothing, so wasmtime may have it as it is
            try:
                lower(value, target, run.transfer)
            except Mismatch as error:
                raise error.at("result")
            return
        own = run.transfer.allocate(abi.VAL_BYTES)
        resources.begin()
        try:
            lower(value, own, run.transfer)
        except Mismatch as error:
            raise error.at("result")
        resources.give(resources.lowered(), run)
        vals.val_clone(own, target)  # wasmtime frees it with its own allocator

    return serve_import(name, function, lift_all, lower_result, context.engine.runs)


def _serve_module(
    name: str, type_: CoreFunction, function: Callable[..., Any], runs: Mapping[int, Run]
) -> Callable[[int, int], None]:
    params, results = type_.params, type_.results

    def lift(source: int, _run: Run) -> Sequence[Any]:
        buffer = (c_char * (abi.VAL_BYTES * len(params))).from_address(source) if params else b""
        return core_values.lift(params, buffer)

    def lower(value: Any, target: int, _run: Run) -> None:
        values = () if not results else (value,) if len(results) == 1 else tuple(value)
        if len(values) != len(results) or (not results and value is not None):
            raise TypeError(f"returned {short_repr(value)}, expected {counted(len(results), 'result')}")
        if results:
            buffer = (c_char * (abi.VAL_BYTES * len(results))).from_address(target)
            core_values.lower(results, values, buffer, where="result")

    return serve_import(name, function, lift, lower, runs)


def _function_type(function: CoreFunction) -> wasmtime.FuncType:
    types = {name: getattr(wasmtime.ValType, name) for name in ("i32", "i64", "f32", "f64")}
    return wasmtime.FuncType([types[name]() for name in function.params], [types[name]() for name in function.results])
