"""Component Model components: instantiating and calling, with WIT values."""

from __future__ import annotations

from ctypes import c_char
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import Mismatch
from pytest_airssys_wasm.runtime.capi import abi, failures, vals
from pytest_airssys_wasm.runtime.capi.stores import address
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.sizes import fixed_size
from pytest_airssys_wasm.runtime.execution.run import GuestFailed
from pytest_airssys_wasm.runtime.guest.component import Component, Items, UnknownExport, check_argument_count
from pytest_airssys_wasm.runtime.guest.instance import Instance
from pytest_airssys_wasm.runtime.guest.linking import new_linker, unmet_imports, value_types
from pytest_airssys_wasm.runtime.wit.reader import read_world
from pytest_airssys_wasm.runtime.wit.types import FunctionType, Resource, without_python_value
from pytest_airssys_wasm.runtime.wit.world import World, flatten, functions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.in_process import ThreadHome
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.host.unmet_imports import UnmetImport
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
    from pytest_airssys_wasm.runtime.wit.types import WitType
    from pytest_airssys_wasm.runtime.wit.world import Item


@dataclass(frozen=True, slots=True)
class _Export:
    """A function that can be called, with its converters."""

    index: Any
    type: FunctionType
    lower: tuple[Any, ...]
    lift: Any
    fixed_bytes: int
    """Charged for each call, besides what its lists and texts hold."""


class WitComponent(Component):
    """A Component Model component."""

    kind = "component"

    def __init__(self, **known: Any) -> None:
        super().__init__(**known)
        self._exports: dict[str, _Export] = {}
        self._prefixes: dict[Resource, str] = {}

    @cached_property
    def world(self) -> World:
        """The imports and exports, as WIT; `str()` of it is WIT text."""
        return read_world(self.raw, self.engine.raw)

    @cached_property
    def exports(self) -> Items:
        return Items(self.world.exports, lambda: str(World(exports=self.world.exports)))

    @cached_property
    def imports(self) -> Items:
        return Items(self.world.imports, lambda: str(World(imports=self.world.imports)))

    @cached_property
    def _functions(self) -> dict[str, FunctionType]:
        return functions(self.exports)

    @cached_property
    def _uses_resources(self) -> bool:
        levels = (self.imports, self.exports)
        return any(isinstance(item, Resource) for level in levels for _, _, item in flatten(level))

    def function_names(self) -> dict[str, str]:
        return {name: str(function) for name, function in self._functions.items()}

    def parameter_types(self, function: str) -> tuple[WitType, ...]:
        if function not in self._functions:
            raise UnknownExport(repr(self), function, self._functions)
        return tuple(type_ for _, type_ in self._functions[function].params)

    def result_types(self, function: str) -> tuple[WitType, ...]:
        if function not in self._functions:
            raise UnknownExport(repr(self), function, self._functions)
        result = self._functions[function].result
        return () if result is None else (result,)

    def prefix_of(self, resource: Resource) -> str:
        """What stands before the names of this exported resource's functions: `iface#`, or nothing."""
        # Asked for each handle, of which a list may hold thousands.
        prefix = self._prefixes.get(resource)
        if prefix is None:
            home = _home(self.exports, resource)
            prefix = self._prefixes[resource] = f"{home[0]}#" if home and home[0] else ""
        return prefix

    def imported_home(self, resource: Resource) -> tuple[str, str] | None:
        """Interface and name under which this resource is imported."""
        return _home(self.imports, resource)

    def unmet_imports(self, host: HostFunctions | None, wasi: Wasi | None) -> Iterator[UnmetImport]:
        return unmet_imports(self, host, wasi)

    def link(self, home: ThreadHome) -> Callable[[Run], Instance]:
        linker = new_linker(self, home) if self.imports else self.engine.bare_component_linker

        def instantiate(run: Run) -> Instance:
            if self._uses_resources:
                home.resources.attach(run, self, None)
            raw = (c_char * 16)()
            error = abi.component_linker_instantiate(address(linker), home.raw.context, address(self.raw), raw)
            if error:
                raise GuestFailed(failures.take(error))
            return Instance(home.store, self, raw)

        return instantiate

    def check_call(self, function: str, count: int) -> _Export:
        found = self._exports.get(function) or self._find(function)
        if len(found.lower) != count:
            check_argument_count(function, [f"{name}: {type_}" for name, type_ in found.type.params], count)
        return found

    def prepare(self, function: str, args: Sequence[Any], run: Run, home: ThreadHome) -> Callable[[Instance, Run], Any]:
        count = len(args)
        found = self.check_call(function, count)
        if self._uses_resources:
            home.resources.attach(run, self, None)
        transfer = run.transfer
        transfer.charge(found.fixed_bytes)
        area = transfer.allocate(abi.VAL_BYTES * (count + 1))
        for index, (lower, value) in enumerate(zip(found.lower, args)):
            try:
                lower(value, area + index * abi.VAL_BYTES, transfer)
            except Mismatch as error:
                raise error.at(f"args[{index}]")
        result = area + count * abi.VAL_BYTES

        def call(instance: Instance, run: Run) -> Any:
            if self._uses_resources:
                home.resources.attach(run, self, instance)
            has_result = found.lift is not None
            vals.BYTES[result : result + abi.VAL_BYTES] = vals.EMPTY
            context = home.raw.context
            error = abi.component_func_call(
                _function(instance, function, found, context), context, area, count, result, has_result
            )
            if error:
                raise GuestFailed(failures.take(error))
            if not has_result:
                return None
            try:
                return found.lift(result, run.transfer)
            finally:
                vals.val_delete(result)

        return call

    def _find(self, function: str) -> _Export:
        type_ = self._functions.get(function)
        if type_ is None:
            raise UnknownExport(repr(self), function, self._functions)
        odd = without_python_value(type_)
        if odd is not None:
            raise TypeError(f"{function}: values of type {odd} have no Python value")
        interface, _, name = function.rpartition("#")
        outer = self.raw.get_export_index(interface) if interface else None
        found = _Export(
            index=self.raw.get_export_index(name, outer),
            type=type_,
            lower=tuple(compile_lower(param) for _, param in type_.params),
            lift=None if type_.result is None else compile_lift(type_.result),
            fixed_bytes=sum(map(fixed_size, value_types(type_))),
        )
        self._exports[function] = found
        return found


def _function(instance: Instance, name: str, export: _Export, context: int) -> Any:
    found = instance.functions.get(name)
    if found is None:
        found = (c_char * 32)()
        if not abi.component_instance_get_func(instance.raw, context, address(export.index), found):
            raise UnknownExport(repr(instance.component), name, ())
        instance.functions[name] = found
    return found


def _home(level: Mapping[str, Item], resource: Resource) -> tuple[str, str] | None:
    return next(((interface, name) for interface, name, item in flatten(level) if item == resource), None)
