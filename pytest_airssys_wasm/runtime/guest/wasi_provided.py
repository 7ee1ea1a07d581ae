"""The part of WASI that the installed wasmtime provides. It is found by asking wasmtime, not from a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmtime
import wasmtime.component

from pytest_airssys_wasm.runtime.binary.types import CoreFunction
from pytest_airssys_wasm.runtime.capi.abi import WASMTIME_VERSION
from pytest_airssys_wasm.runtime.host.unmet_imports import WASI_P1, is_wasi
from pytest_airssys_wasm.runtime.wit.importing import NotExpressible, component_importing
from pytest_airssys_wasm.runtime.wit.types import FunctionType, ResourceType
from pytest_airssys_wasm.runtime.wit.world import InterfaceType, Opaque, flatten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_airssys_wasm.runtime.wit.world import Item

_MOST_QUESTIONS = 500
"""The maximum number of times that wasmtime is asked about one guest, each of which takes a fraction of a millisecond.
A guest with so many wrong imports cannot be linked anyway, and the others are not named."""
_Place = tuple[str, str]


def provided_preview1(engine: wasmtime.Engine, names: Iterable[str]) -> Mapping[str, CoreFunction]:
    """Return the type of each function of WASI preview 1 that wasmtime provides among these names."""
    found: dict[str, CoreFunction] = {}
    names = list(names)
    if not names:
        return found
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    linker.define_wasi()
    for name in names:
        try:
            item = linker.get(store, WASI_P1, name)
        except wasmtime.WasmtimeError:
            continue
        if isinstance(item, wasmtime.Func):
            type_ = item.type(store)
            found[name] = CoreFunction(tuple(map(str, type_.params)), tuple(map(str, type_.results)))
    return found


def unprovided(engine: wasmtime.Engine, imports: Mapping[str, Item]) -> Mapping[_Place, str]:
    """Return the imports of WASI that wasmtime does not provide as declared, by interface and name, with the reasons.

    wasmtime is asked by linking components that import the same and have no code.
    """
    level = {name: item for name, item in imports.items() if is_wasi(name) and isinstance(item, InterfaceType)}
    if not level:
        return {}
    return _Questions(engine, level).answers


class _Questions:
    def __init__(self, engine: wasmtime.Engine, level: Mapping[str, InterfaceType]) -> None:
        self._engine = engine
        self._level = level
        self._left = _MOST_QUESTIONS
        self._linker = wasmtime.component.Linker(engine)
        self._linker.add_wasip2()
        self.answers: dict[_Place, str] = {}
        resources, functions = [], []
        for interface, name, item in flatten(level):
            if interface not in level or isinstance(item, Opaque):
                self.answers[interface, name] = _absent()
            elif isinstance(item, ResourceType):
                resources.append((interface, name))
            elif isinstance(item, FunctionType):
                functions.append((interface, name))
        if self._refusal([*resources, *functions]) is not None:
            # A function is told to be missing, and not its resource, only if the resource is there.
            self._find(resources)
            self._find(functions)

    def _find(self, places: Sequence[_Place]) -> None:
        """Find the places among these that wasmtime refuses, by bisection."""
        if not places or self._left <= 0:
            return
        refusal = self._refusal(places)
        if refusal is None:
            return
        if len(places) == 1:
            self.answers[places[0]] = _absent() if "is missing" in refusal else "WASI has it with another type"
            return
        half = len(places) // 2
        self._find(places[:half])
        self._find(places[half:])

    def _refusal(self, places: Sequence[_Place]) -> str | None:
        """Return wasmtime's reason for refusing these imports; `None` if it accepts them, or cannot be asked."""
        self._left -= 1
        try:
            text = component_importing(self._level, frozenset(places))
            component = wasmtime.component.Component(self._engine, wasmtime.wat2wasm(text))
        except (NotExpressible, wasmtime.WasmtimeError):
            return None  # linking the guest itself will tell
        try:
            self._linker.instantiate(wasmtime.Store(self._engine), component)
        except wasmtime.WasmtimeError as error:
            return str(error)
        return None


def _absent() -> str:
    return f"the WASI of wasmtime {WASMTIME_VERSION} does not have it"
