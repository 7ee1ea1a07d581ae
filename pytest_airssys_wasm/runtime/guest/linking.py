"""The linking of components and modules: imports are resolved to WASI if it is granted, and to host functions and
resources by name.
"""

from __future__ import annotations

from ctypes import c_char
from typing import TYPE_CHECKING, Any

import wasmtime
import wasmtime.component

from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.base.values import Mismatch, short_repr
from pytest_airssys_wasm.runtime.binary.types import CoreFunction
from pytest_airssys_wasm.runtime.capi import abi, vals
from pytest_airssys_wasm.runtime.convert import core_values
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.transfer import fixed_size
from pytest_airssys_wasm.runtime.errors import LinkError
from pytest_airssys_wasm.runtime.host.functions import serve_import
from pytest_airssys_wasm.runtime.host.unmet_imports import WASI_P1, is_wasi, refusal
from pytest_airssys_wasm.runtime.wit.types import FunctionType, ResourceType, value_types
from pytest_airssys_wasm.runtime.wit.world import flatten, full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.core_module import CoreModule
    from pytest_airssys_wasm.runtime.guest.store_context import StoreContext
    from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
    from pytest_airssys_wasm.runtime.wit.world import Item


def check_imports(component: Component, host: HostFunctions | None, wasi: Wasi | None) -> None:
    """Raise `LinkError`, which names every import that neither `host` nor `wasi` provides with the declared type."""
    unmet = list(component.unmet_imports(host, wasi))
    if unmet:
        raise refusal(component, unmet)


def component_linker(component: WitComponent, context: StoreContext) -> wasmtime.component.Linker:
    """Return a linker with all imports of `component`.

    Raises `LinkError`, which names every import that is not provided, with its WIT type.
    """
    check_imports(component, context.host, context.wasi)
    linker = wasmtime.component.Linker(context.engine.raw)
    if context.wasi is not None:
        linker.add_wasip2()
    with linker.root() as root:
        for interface, items in _by_interface(component.imports).items():
            if is_wasi(interface):
                continue
            if interface:
                with root.add_instance(interface) as target:
                    _define(target, interface, items, context)
            else:
                _define(root, interface, items, context)
    return linker


def module_linker(module: CoreModule, context: StoreContext) -> wasmtime.Linker:
    """Return a linker with all imports of `module`.

    Raises `LinkError`, which names every import that is not provided, with its type.
    """
    check_imports(module, context.host, context.wasi)
    engine = context.engine
    linker = wasmtime.Linker(engine.raw)
    if context.wasi is not None:
        linker.define_wasi()
    for one in module.shape.imports:
        if one.module == WASI_P1 and context.wasi is not None:
            continue
        served = context.host.find(one.module, one.name) if context.host else None
        assert served is not None and isinstance(one.type, CoreFunction)  # noqa: PT018 `check_imports` has asked
        serve = _serve_module(f"{one.module}#{one.name}", one.type, served, engine.runs)
        engine.callbacks.define_in_module(linker, one.module, one.name, _function_type(one.type), serve)
    return linker


def _by_interface(level: Mapping[str, Item]) -> dict[str, dict[str, Item]]:
    grouped: dict[str, dict[str, Item]] = {}
    for interface, name, item in flatten(level):
        grouped.setdefault(interface, {})[name] = item
    return grouped


def _define(target: Any, interface: str, items: Mapping[str, Item], context: StoreContext) -> None:
    callbacks, resources = context.engine.callbacks, context.resources
    for name, item in items.items():
        if isinstance(item, ResourceType):
            resource_type = wasmtime.component.ResourceType.host(resources.type_id(interface, name))
            callbacks.define_resource(target, name, resource_type, resources.destroy)
        elif isinstance(item, FunctionType) and context.host is not None:
            function = context.host.find(interface, name)
            assert function is not None  # `check_imports` has asked
            served = _serve_component(full_name(interface, name), item, function, context.engine.runs)
            callbacks.define_in_component(target, name, served)


def _serve_component(
    name: str, type_: FunctionType, function: Callable[..., Any], runs: Mapping[int, Run]
) -> Callable[[int, int, int], None]:
    fixed_bytes = sum(map(fixed_size, value_types(type_)))
    lifts = tuple(compile_lift(param) for _, param in type_.params)
    lower = None if type_.result is None else compile_lower(type_.result)

    def lift_all(source: int, run: Run) -> Sequence[Any]:
        run.transfer.charge(fixed_bytes)
        return [lift(source + index * abi.VAL_BYTES, run.transfer) for index, lift in enumerate(lifts)]

    def lower_result(value: Any, target: int, run: Run) -> None:
        if lower is None:
            if value is not None:
                raise TypeError(f"it returned {value!r}, but has no result")
            return
        own = run.transfer.allocate(abi.VAL_BYTES)
        try:
            lower(value, own, run.transfer)
        except Mismatch as error:
            raise error.at("result")
        vals.val_clone(own, target)  # wasmtime frees it with its own allocator

    return serve_import(name, function, lift_all, lower_result, runs)


def _serve_module(
    name: str, type_: CoreFunction, function: Callable[..., Any], runs: Mapping[int, Run]
) -> Callable[[int, int, int], None]:
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
    odd = core_values.unsupported([*function.params, *function.results])
    if odd:
        raise LinkError(f"an import with values of type {', '.join(odd)} cannot be served from Python")
    return wasmtime.FuncType([types[name]() for name in function.params], [types[name]() for name in function.results])
