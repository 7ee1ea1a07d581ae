"""The scalar lift of an exported function: all that its calls need, of which nothing depends on an instance."""

from __future__ import annotations

from ctypes import addressof, c_void_p
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.capi.guard import CHOICE, POINTER, GuardLifted, GuardPart
from pytest_airssys_wasm.runtime.capi.stores import address
from pytest_airssys_wasm.runtime.lift.layout import cases_of, layout_of, only_part
from pytest_airssys_wasm.runtime.lift.lifting import compile_result
from pytest_airssys_wasm.runtime.lift.lowering import compile_arguments, result_kind
from pytest_airssys_wasm.runtime.lift.names import CALL, POST_RETURN, REALLOC
from pytest_airssys_wasm.runtime.lift.parts import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.lift.layout import Signature

_FIELDS = {CALL: "call", REALLOC: "reallocate", POST_RETURN: "post_return"}
"""The fields of `GuardLifted` for the functions with these roles, in the order of the guard."""


class LiftedExport(Struct, frozen=True, kw_only=True):
    """The scalar lift of an exported function."""

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
    """The number of texts and lists in the result that are copied without looking at signals and the deadline: one, or
    none if there are none.
    """
    struct: bytes
    """The content of the `GuardLifted` of each instance, in which only the addresses of the memory and of the functions
    are missing.
    """
    functions: tuple[tuple[str, int], ...]
    """The fields of the `GuardLifted` for these addresses of functions, and the addresses of their export indices."""
    struct_at: int
    """The address of the same content, for executions that instantiate the guest."""
    indices_at: int
    """The address of the export indices of the three functions, of which those that are absent are NULL."""
    kept: Any
    """The objects whose addresses are in the other attributes."""


def lifted_export(signature: Signature, indices: Mapping[str, Any]) -> LiftedExport:
    """Return the scalar lift of a function with this signature.

    `indices` are the indices of the lifted functions in wasmtime, by their roles.
    """
    result, kind = signature.result, result_kind(signature)
    parts = parts_of(result) if result is not None and kind == POINTER else []
    part_array = (GuardPart * max(1, len(parts)))(*parts)
    struct = GuardLifted(
        parts=addressof(part_array),
        values=len(signature.flat),
        blocks=signature.blocks,
        result=kind,
        part_count=len(parts),
    )
    if result is not None:
        layout, cases = layout_of(result), cases_of(only_part(result))
        struct.size, struct.alignment = layout.size, layout.alignment
        if kind == CHOICE and cases is not None:
            struct.size = len(cases.payloads)
    addresses = {role: address(index) for role, index in indices.items()}
    index_array = (c_void_p * len(_FIELDS))(*map(addresses.get, _FIELDS))
    return LiftedExport(
        lower=compile_arguments(signature),
        lift=compile_result(signature),
        owns_results=kind == POINTER,
        count=len(signature.params),
        copies=int(result is not None and layout_of(result).has_pointers),
        struct=bytes(struct),
        functions=tuple((_FIELDS[role], index) for role, index in addresses.items()),
        struct_at=addressof(struct),
        indices_at=addressof(index_array),
        kept=(part_array, indices, struct, index_array),
    )
