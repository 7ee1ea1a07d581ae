"""The exports of an instance that are called by their scalar lifts."""

from __future__ import annotations

import ctypes
from ctypes import addressof, c_char
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.guard import GuardLifted, GuardPart
from pytest_airssys_wasm.runtime.capi.stores import address
from pytest_airssys_wasm.runtime.lift.layout import layout_of
from pytest_airssys_wasm.runtime.lift.lifting import compile_result
from pytest_airssys_wasm.runtime.lift.lowering import compile_arguments, result_kind
from pytest_airssys_wasm.runtime.lift.names import CALL, POST_RETURN, REALLOC
from pytest_airssys_wasm.runtime.lift.parts import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle
    from pytest_airssys_wasm.runtime.guest.wit_component import LiftedExport, WitComponent


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftedFunction:
    """An export of an instance that is called by its scalar lift."""

    struct: Any
    """The `GuardLifted`, which stands for the function in the guard."""
    lower: Callable[[Sequence[Any], Transfer], tuple[int, int]]
    """A function that returns the addresses of the arguments and of the results.

    Raises some error for arguments that have to go the general way.
    """
    lift: Callable[[int, Transfer], Any] | None
    """A function that returns the value at the address of the results; `None` without a result."""
    owns_results: bool
    """Whether the results own memory, which the guard frees."""
    count: int
    """The number of arguments."""
    copies: int
    """The number of texts and lists in the result."""

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
    functions = {}
    for role, index in export.indices.items():
        functions[role] = (c_char * 32)()
        if not abi.component_instance_get_func(handle.raw, store, address(index), functions[role]):
            return None
    signature = export.signature
    result = layout_of(signature.result) if signature.is_pointer and signature.result is not None else None
    parts = [] if result is None or signature.result is None else parts_of(signature.result)
    part_array = (GuardPart * max(1, len(parts)))(*parts)
    leaves = [layout_of(leaf).flat_count for leaf in signature.leaves]
    struct = GuardLifted(
        memory=handle.memory,
        call=addressof(functions[CALL]),
        reallocate=addressof(functions[REALLOC]) if REALLOC in functions else None,
        post_return=addressof(functions[POST_RETURN]) if POST_RETURN in functions else None,
        parts=ctypes.cast(part_array, ctypes.c_void_p),
        values=sum(leaves),
        blocks=leaves.count(2),
        result=result_kind(signature),
        size=0 if result is None else result.size,
        alignment=1 if result is None else result.alignment,
        part_count=len(parts),
    )
    struct.kept = functions, part_array
    return LiftedFunction(
        struct=struct,
        lower=compile_arguments(signature),
        lift=compile_result(signature),
        owns_results=result is not None,
        count=len(signature.params),
        copies=0 if result is None else result.flat_count - len(result.leaves),
    )
