"""Resolving a component's imports: WASI where it is granted, host functions and host resources by name."""

from __future__ import annotations

import difflib
import re
from itertools import groupby
from typing import TYPE_CHECKING, Any

import wasmtime.component

from pytest_airssys_wasm.runtime.capi import abi, vals
from pytest_airssys_wasm.runtime.errors import LinkError
from pytest_airssys_wasm.runtime.host import serve_import
from pytest_airssys_wasm.runtime.lifting import compile_lift
from pytest_airssys_wasm.runtime.lowering import compile_lower
from pytest_airssys_wasm.runtime.printable import printable
from pytest_airssys_wasm.runtime.sizes import fixed_size
from pytest_airssys_wasm.runtime.values import Mismatch
from pytest_airssys_wasm.runtime.wit import FunctionType, Resource, without_python_value
from pytest_airssys_wasm.runtime.world import Opaque, flatten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_airssys_wasm.runtime.component import Component
    from pytest_airssys_wasm.runtime.components import WitComponent
    from pytest_airssys_wasm.runtime.host import HostFunctions
    from pytest_airssys_wasm.runtime.run import Run
    from pytest_airssys_wasm.runtime.thread_home import ThreadHome
    from pytest_airssys_wasm.runtime.wasi import Wasi
    from pytest_airssys_wasm.runtime.wit import WitType
    from pytest_airssys_wasm.runtime.world import Item

_WASI = re.compile(r"wasi:(cli|clocks|filesystem|io|random|sockets)/[\w-]+@0\.2\.\d+")
"""What `wasmtime.component.Linker.add_wasip2` provides; wasmtime serves older patch versions by newer ones."""
WASI_NOT_GRANTED = "WASI is not granted: wasi=Wasi() in Python, [wasi] in Component.toml"


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
    """Raise `LinkError` naming every import that neither `host` nor `wasi` provides, with its type."""
    missing = list(component.missing_imports(host, wasi))
    if missing:
        raise LinkError(
            f"{component!r} needs imports that nothing provides:\n  " + "\n  ".join(_listed(missing)),
            [name for name, _ in missing],
        )


def _listed(missing: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A line each; of WASI, which comes in dozens, a line for each interface."""
    for is_ungranted, group in groupby(missing, key=lambda one: WASI_NOT_GRANTED in one[1]):
        if is_ungranted:
            for interface, functions in groupby(group, key=lambda one: one[0].partition("#")[0]):
                names = ", ".join(name.partition("#")[2] for name, _ in functions)
                yield printable(f"{interface}: {names} ({WASI_NOT_GRANTED})")
        else:
            yield from (f"{printable(name)}: {why}" for name, why in group)


def missing_imports(
    component: WitComponent, host: HostFunctions | None, wasi: Wasi | None
) -> Iterator[tuple[str, str]]:
    """Full name and WIT type of each import that nothing provides, and why where that is not plain."""
    for interface, name, item in flatten(component.imports):
        full = full_name(interface, name)
        if is_wasi(interface):
            if wasi is None and isinstance(item, FunctionType):
                yield full, f"{item} ({WASI_NOT_GRANTED})"
        elif isinstance(item, FunctionType):
            odd = without_python_value(item)
            if odd is not None:
                yield full, f"{item}, which the host cannot serve: values of type {odd} have no Python value"
            elif host is None or host.find(interface, name) is None:
                lacks = None if host is None else host.lack(interface, name)
                yield full, f"{item} ({lacks})" if lacks else _near(str(item), full, host)
            elif (takes := host.misfit(interface, name, len(item.params))) is not None:
                yield full, f"{item} (registered is a function that takes {takes})"
        elif isinstance(item, Resource):
            if host is None or host.find_resource(interface, name) is None:
                yield full, _near("resource", full, host)
        elif isinstance(item, Opaque):
            yield full, f"{item}, which the host cannot provide"


def _near(text: str, full: str, host: HostFunctions | None) -> str:
    names = host.names if host is not None else ()
    near = difflib.get_close_matches(full, names, n=1, cutoff=0.8)
    return f"{text} (registered is the similar {near[0]})" if near else text


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
