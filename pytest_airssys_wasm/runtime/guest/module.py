"""Core modules: linking, instantiating and calling."""

from __future__ import annotations

import json
from ctypes import byref, c_char, c_void_p
from functools import cached_property
from typing import TYPE_CHECKING, Any

import wasmtime

from pytest_airssys_wasm.runtime.base.values import shown
from pytest_airssys_wasm.runtime.binary.types import CoreFunction
from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.capi.stores import address
from pytest_airssys_wasm.runtime.convert import core_values
from pytest_airssys_wasm.runtime.errors import LinkError
from pytest_airssys_wasm.runtime.execution.run import GuestFailed
from pytest_airssys_wasm.runtime.guest.component import Component, Items, UnknownExport, check_argument_count
from pytest_airssys_wasm.runtime.guest.instance import Instance
from pytest_airssys_wasm.runtime.guest.linking import check_imports
from pytest_airssys_wasm.runtime.host.functions import serve_import
from pytest_airssys_wasm.runtime.host.unmet_imports import WASI_NOT_GRANTED, UnmetImport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.runtime.binary.types import ModuleShape
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.in_process import ThreadHome
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

_WASI_P1 = "wasi_snapshot_preview1"


class CoreModule(Component):
    """A core WebAssembly module."""

    kind = "module"

    def __init__(self, shape: ModuleShape, **known: Any) -> None:
        super().__init__(**known)
        self.shape = shape
        """What its sections declare."""

    @cached_property
    def exports(self) -> Items:
        exports = self.shape.exports
        return Items(
            {one.name: one.type for one in exports},
            lambda: "".join(f"(export {json.dumps(one.name)} {one.type})\n" for one in exports),
        )

    @cached_property
    def imports(self) -> Items:
        imports = self.shape.imports
        return Items(
            {f"{one.module}#{one.name}": one.type for one in imports},
            lambda: "".join(
                f"(import {json.dumps(one.module)} {json.dumps(one.name)} {one.type})\n" for one in imports
            ),
        )

    @cached_property
    def _functions(self) -> dict[str, CoreFunction]:
        return {one.name: one.type for one in self.shape.exports if isinstance(one.type, CoreFunction)}

    def function_names(self) -> dict[str, str]:
        return {name: str(function) for name, function in self._functions.items()}

    def parameter_types(self, function: str) -> tuple[str, ...]:
        if function not in self._functions:
            raise UnknownExport(repr(self), function, self._functions)
        return self._functions[function].params

    def result_types(self, function: str) -> tuple[str, ...]:
        if function not in self._functions:
            raise UnknownExport(repr(self), function, self._functions)
        return self._functions[function].results

    def unmet_imports(self, host: HostFunctions | None, wasi: Wasi | None) -> Iterator[UnmetImport]:
        for one in self.shape.imports:
            if one.module == _WASI_P1 and wasi is not None:
                continue
            full, declared = f"{one.module}#{one.name}", str(one.type)
            if host is None or host.find(one.module, one.name) is None or not isinstance(one.type, CoreFunction):
                yield UnmetImport(name=full, type=declared, why=WASI_NOT_GRANTED if one.module == _WASI_P1 else "")
            elif (registered := host.misfit(one.module, one.name, one.type)) is not None:
                yield UnmetImport(name=full, type=declared, why=registered, is_registered=True)

    def link(self, home: ThreadHome) -> Callable[[Run], Instance]:
        linker = self._linker(home)
        reactor = "_initialize" in self._functions and "_start" not in self._functions

        def instantiate(run: Run) -> Instance:
            raw, trap = (c_char * 16)(), c_void_p()
            _raise(
                abi.linker_instantiate(address(linker), home.raw.context, address(self.raw), raw, byref(trap)),
                trap,
            )
            instance = Instance(home.store, self, raw)
            if reactor:
                self.prepare("_initialize", (), run, home)(instance, run)
            return instance

        return instantiate

    def check_call(self, function: str, count: int) -> CoreFunction:
        found = self._functions.get(function)
        if found is None:
            raise UnknownExport(repr(self), function, self._functions)
        check_argument_count(function, found.params, count)
        odd = core_values.unsupported(found.results)
        if odd:
            raise TypeError(f"{function}: results of type {', '.join(odd)} have no Python value")
        return found

    def prepare(self, function: str, args: Sequence[Any], run: Run, home: ThreadHome) -> Callable[[Instance, Run], Any]:
        found = self.check_call(function, len(args))
        lowered = (c_char * (abi.VAL_BYTES * max(1, len(found.params))))()
        core_values.lower(found.params, args, lowered)
        run.transfer.charge(8 * len(args))

        def call(instance: Instance, run: Run) -> Any:
            results, trap = (c_char * (abi.VAL_BYTES * max(1, len(found.results))))(), c_void_p()
            context = home.raw.context
            _raise(
                abi.func_call(
                    context,
                    _function(instance, function, context),
                    lowered,
                    len(found.params),
                    results,
                    len(found.results),
                    byref(trap),
                ),
                trap,
            )
            values = core_values.lift(found.results, results)
            run.transfer.charge(8 * len(values))
            return values[0] if len(values) == 1 else values or None

        return call

    def _linker(self, home: ThreadHome) -> wasmtime.Linker:
        if not self.shape.imports:
            return self.engine.bare_linker
        check_imports(self, home.host, home.wasi)
        linker = wasmtime.Linker(self.engine.raw)
        if home.wasi is not None:
            linker.define_wasi()
        for one in self.shape.imports:
            if one.module == _WASI_P1 and home.wasi is not None:
                continue
            served = home.host.find(one.module, one.name) if home.host else None
            assert served is not None and isinstance(one.type, CoreFunction)  # noqa: PT018 `check_imports` has asked
            self.engine.callbacks.define_in_module(
                linker, one.module, one.name, _function_type(one.type), self._serve(one, served)
            )
        return linker

    def _serve(self, one: Any, function: Callable[..., Any]) -> Callable[[int, int, int], None]:
        params, results = one.type.params, one.type.results
        current = self.engine.current

        def lift(source: int, _run: Run) -> Sequence[Any]:
            buffer = (c_char * (abi.VAL_BYTES * len(params))).from_address(source) if params else b""
            return core_values.lift(params, buffer)

        def lower(value: Any, target: int, _run: Run) -> None:
            values = () if not results else (value,) if len(results) == 1 else tuple(value)
            if len(values) != len(results) or (not results and value is not None):
                raise TypeError(f"returned {shown(value)}, expected {len(results)} result(s)")
            if results:
                buffer = (c_char * (abi.VAL_BYTES * len(results))).from_address(target)
                core_values.lower(results, values, buffer, where="result")

        return serve_import(f"{one.module}#{one.name}", function, lift, lower, current)


def _function(instance: Instance, name: str, context: int) -> Any:
    found = instance.functions.get(name)
    if found is None:
        extern, encoded = (c_char * 32)(), name.encode()
        if not abi.instance_export_get(context, instance.raw, encoded, len(encoded), extern):
            raise UnknownExport(repr(instance.component), name, instance.component.function_names())
        found = (c_char * 16).from_buffer_copy(extern, 8)
        instance.functions[name] = found
    return found


def _function_type(function: CoreFunction) -> wasmtime.FuncType:
    types = {name: getattr(wasmtime.ValType, name) for name in ("i32", "i64", "f32", "f64")}
    odd = core_values.unsupported([*function.params, *function.results])
    if odd:
        raise LinkError(f"an import with values of type {', '.join(odd)} cannot be served from Python")
    return wasmtime.FuncType([types[name]() for name in function.params], [types[name]() for name in function.results])


def _raise(error: int | None, trap: c_void_p) -> None:
    address = error or trap.value
    if address:
        raise GuestFailed(failures.take(address))
