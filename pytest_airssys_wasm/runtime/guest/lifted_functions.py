"""The exports of an instance that are called by their scalar lifts."""

from __future__ import annotations

from ctypes import addressof, c_char
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.guard import GuardLifted

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle
    from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
    from pytest_airssys_wasm.runtime.lift.exported import LiftedExport


class LiftedFunction(Struct, frozen=True):
    """An export of an instance that is called by its scalar lift."""

    export: LiftedExport
    """What it has in common with the same export of other instances."""
    struct: Any
    """The `GuardLifted`, which stands for the function in the guard."""

    @property
    def address(self) -> int:
        """The address of the `GuardLifted`."""
        return addressof(self.struct)


def lifted_function(handle: InstanceHandle, component: WitComponent, name: str, store: int) -> LiftedFunction | None:
    """Return the scalar lift of an export, for the `wasmtime_context_t` at an address; `None` if there is none."""
    if name not in handle.lifted:
        found = component.lifted(name) if handle.memory else None
        handle.lifted[name] = None if found is None else _new(handle, found, store)
    known: LiftedFunction | None = handle.lifted[name]
    return known


def _new(handle: InstanceHandle, export: LiftedExport, store: int) -> LiftedFunction | None:
    # Made for each instance, of which there may be thousands: all other things are made once for a component.
    functions = (c_char * (_FUNCTION_BYTES * len(export.functions)))()
    struct = GuardLifted.from_buffer_copy(export.struct)
    struct.memory, struct.kept = handle.memory, functions
    place = addressof(functions)
    for field, index in export.functions:
        if not abi.component_instance_get_func(handle.raw, store, index, place):
            return None
        setattr(struct, field, place)
        place += _FUNCTION_BYTES
    return LiftedFunction(export, struct)


_FUNCTION_BYTES = 32
"""The size of a `wasmtime_component_func_t`, and room behind it."""
