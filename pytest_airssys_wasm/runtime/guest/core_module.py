"""The core modules, described by the declarations in their sections."""

from __future__ import annotations

import json
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.binary.types import CoreFunction
from pytest_airssys_wasm.runtime.convert import core_values
from pytest_airssys_wasm.runtime.guest.component import Component, Items, UnknownExport, check_argument_count
from pytest_airssys_wasm.runtime.guest.wasi_provided import provided_preview1
from pytest_airssys_wasm.runtime.host.unmet_imports import WASI_P1, unmet_core_imports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_airssys_wasm.runtime.binary.types import ModuleShape
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.host.unmet_imports import UnmetImport
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class CoreModule(Component):
    """A core WebAssembly module."""

    kind = "module"

    def __init__(self, shape: ModuleShape, **known: Any) -> None:
        super().__init__(**known)
        self.shape = shape
        """The declarations in the sections of the module."""

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

    def place_of(self, function: str) -> tuple[str, str]:
        return "", function  # a `#` in it is part of the name

    def function_names(self) -> Mapping[str, str]:
        return self._function_texts

    @cached_property
    def _function_texts(self) -> Mapping[str, str]:
        return MappingProxyType({name: str(function) for name, function in self._functions.items()})

    def parameter_types(self, function: str) -> tuple[str, ...]:
        if function not in self._functions:
            raise UnknownExport.among(self, function, self._functions)
        return self._functions[function].params

    def parameter_names(self, function: str) -> None:
        if function not in self._functions:
            raise UnknownExport.among(self, function, self._functions)

    def result_types(self, function: str) -> tuple[str, ...]:
        if function not in self._functions:
            raise UnknownExport.among(self, function, self._functions)
        return self._functions[function].results

    def unmet_imports(self, host: HostFunctions | None, wasi: Wasi | None) -> Iterator[UnmetImport]:
        return unmet_core_imports(self.shape.imports, host, self._provided_wasi if wasi is not None else None)

    def needed_from_host(self) -> Iterator[tuple[str, str]]:
        return ((one.module, one.name) for one in self.shape.imports)

    @cached_property
    def _provided_wasi(self) -> Mapping[str, CoreFunction]:
        return provided_preview1(self.engine, {one.name for one in self.shape.imports if one.module == WASI_P1})

    @property
    def obstacle(self) -> str | None:
        initialize = self._functions.get("_initialize")
        if not self.is_reactor or initialize is None or initialize == CoreFunction((), ()):
            return None
        return f"its function _initialize is {initialize}: that of a WASI reactor takes and returns nothing"

    @property
    def is_reactor(self) -> bool:
        """Whether the module is a WASI preview 1 reactor: `_initialize` is called before anything else."""
        return "_initialize" in self._functions and "_start" not in self._functions

    @property
    def calls_out(self) -> bool:
        return bool(self.shape.imports)

    def text_results(self, function: str) -> int:
        return 0

    def check_call(self, function: str, count: int) -> CoreFunction:
        found = self._functions.get(function)
        if found is None:
            raise UnknownExport.among(self, function, self._functions)
        check_argument_count(function, found.params, count)
        odd = core_values.unsupported(found.results)
        if odd:
            raise TypeError(f"{printable(function)}: results of type {', '.join(odd)} have no Python value")
        return found
