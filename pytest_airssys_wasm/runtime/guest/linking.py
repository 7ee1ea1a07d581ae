"""Resolving a component's imports: WASI where it is granted, host functions and host resources by name."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import wasmtime.component

from pytest_airssys_wasm.runtime.base.values import Mismatch
from pytest_airssys_wasm.runtime.capi import abi, vals
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.sizes import fixed_size
from pytest_airssys_wasm.runtime.host.functions import serve_import
from pytest_airssys_wasm.runtime.host.unmet_imports import WASI_NOT_GRANTED, UnmetImport, refusal
from pytest_airssys_wasm.runtime.wit.types import FunctionType, Resource, without_python_value
from pytest_airssys_wasm.runtime.wit.world import Opaque, flatten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.in_process import ThreadHome
    from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
    from pytest_airssys_wasm.runtime.wit.types import WitType
    from pytest_airssys_wasm.runtime.wit.world import Item

_WASI = re.compile(r"wasi:(cli|clocks|filesystem|io|random|sockets)/[\w-]+@0\.2\.\d+")
"""What `wasmtime.component.Linker.add_wasip2` provides; wasmtime serves older patch versions by newer ones."""


def new_linker(component: WitComponent, home: ThreadHome) -> Any:
    """A `wasmtime.component.Linker` with all that `component` imports.

    Raises `LinkError` naming every import that nothing provides, with its WIT type.
    """
    check_imports(component, home.host, home.wasi)
    linker = wasmtime.component.Linker(component.engine.raw)
    if home.wasi is not None:
        linker.add_wasip2()
    with linker.root() as root:
        for interface, items in _by_interface(component.imports).items():
            if is_wasi(interface):
                continue
            if interface:
                with root.add_instance(interface) as target:
                    _define(target, interface, items, home)
            else:
                _define(root, interface, items, home)
    return linker


def full_name(interface: str, name: str) -> str:
    """The name by which a function of an interface is called or registered."""
    return f"{interface}#{name}" if interface else name


def value_types(function: FunctionType) -> Iterator[WitType]:
    """The types of a function's parameters and of its result."""
    yield from (type_ for _, type_ in function.params)
    if function.result is not None:
        yield function.result


def is_wasi(interface: str) -> bool:
    """Whether wasmtime itself can provide this interface."""
    return _WASI.fullmatch(interface) is not None


def check_imports(component: Component, host: HostFunctions | None, wasi: Wasi | None) -> None:
    """Raise `LinkError` naming every import that neither `host` nor `wasi` provides as declared, with its type."""
    unmet = list(component.unmet_imports(host, wasi))
    if unmet:
        raise refusal(component, unmet)


def unmet_imports(component: WitComponent, host: HostFunctions | None, wasi: Wasi | None) -> Iterator[UnmetImport]:
    """Each import that cannot be linked, with its WIT type, and why where that is not plain."""
    for interface, name, item in flatten(component.imports):
        full = full_name(interface, name)
        if is_wasi(interface):
            if wasi is None and isinstance(item, FunctionType):
                yield UnmetImport(name=full, type=str(item), why=WASI_NOT_GRANTED)
        elif isinstance(item, FunctionType):
            odd = without_python_value(item)
            if odd is not None:
                why = f"the host cannot serve it: values of type {odd} have no Python value"
                yield UnmetImport(name=full, type=str(item), why=why)
            elif host is None or host.find(interface, name) is None:
                lacks = None if host is None else host.lack(interface, name)
                yield UnmetImport(name=full, type=str(item), why=lacks or _near(full, host))
            elif (registered := host.misfit(interface, name, item)) is not None:
                yield UnmetImport(name=full, type=str(item), why=registered, is_registered=True)
        elif isinstance(item, Resource):
            if host is None or host.find_resource(interface, name) is None:
                yield UnmetImport(name=full, type="resource", why=_near(full, host))
        elif isinstance(item, Opaque):
            yield UnmetImport(name=full, type=str(item), why="the host cannot provide it")


def _near(full: str, host: HostFunctions | None) -> str:
    names = host.names if host is not None else ()
    near = difflib.get_close_matches(full, names, n=1, cutoff=0.8)
    return f"registered is the similar {near[0]}" if near else ""


def _by_interface(level: Mapping[str, Item]) -> dict[str, dict[str, Item]]:
    grouped: dict[str, dict[str, Item]] = {}
    for interface, name, item in flatten(level):
        grouped.setdefault(interface, {})[name] = item
    return grouped


def _define(target: Any, interface: str, items: Mapping[str, Item], home: ThreadHome) -> None:
    callbacks = home.engine.callbacks
    for name, item in items.items():
        if isinstance(item, Resource):
            resource_type = wasmtime.component.ResourceType.host(home.resources.type_id(interface, name))
            callbacks.define_resource(target, name, resource_type, home.resources.destroy)
        elif isinstance(item, FunctionType) and home.host is not None:
            function = home.host.find(interface, name)
            assert function is not None  # `_missing` has asked
            served = _serve(full_name(interface, name), item, function, home.engine.current)
            callbacks.define_in_component(target, name, served)


def _serve(
    name: str, type_: FunctionType, function: Callable[..., Any], current: Mapping[int, Run]
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

    return serve_import(name, function, lift_all, lower_result, current)
