"""The layout of `wasmtime_component_val_t`, and the memory of the process as one buffer for reading and writing it.

A component value is 32 bytes: its kind (u8) at 0, and at 8 a union of up to 24 bytes, in which text and sequences are a
length and a pointer. Values are read and written with `struct` and slices of one buffer that spans the whole address
space. This is 1.5 to 4 times as fast as creating a ctypes object for each access.
"""

from __future__ import annotations

import ctypes
from ctypes import c_void_p
from struct import Struct

from wasmtime import _bindings, _ffi

from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES, UnsupportedWasmtime, long

RECORD_ENTRY_BYTES = 48
"""The size of a `wasmtime_component_valrecord_entry_t`: the field's name (a vector, 16 bytes), then its value."""
RECORD_ENTRY_VALUE = 16
"""The offset of the value in a record's entry."""
NAME_BYTES = 16
"""The size of a `wasm_name_t`: length, pointer."""
PAYLOAD = 8
"""The offset of the union in a value."""

# Never look at `.value` or `.raw` of this array: they would read from address 0.
MEMORY = (ctypes.c_char * (2**63 - 1)).from_address(0)
"""The address space as a buffer for `struct`; a slice of it is `bytes`. Indices are addresses."""
BYTES = memoryview(MEMORY).cast("B")
"""The address space as a view of bytes, for strided slices. Indices are addresses."""

KINDS: dict[str, int] = {
    name: getattr(_ffi, f"WASMTIME_COMPONENT_{name.upper()}").value
    for name in (
        *("bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"),
        *("list", "record", "tuple", "variant", "enum", "option", "result", "flags", "resource"),
    )
}
"""The `kind` of each sort of value."""

VECTOR = Struct("<B7xQQ8x")
"""A string, enum case, list, record, tuple or set of flags: kind, length, pointer."""
NAMED = Struct("<B7xQQQ")
"""A variant: kind, length and pointer of the case's name, pointer to the payload or 0."""
TAGGED = Struct("<B7xB7xQ8x")
"""A result: kind, whether it is ok, pointer to the payload or 0."""
POINTER = Struct("<B7xQ16x")
"""An option (pointer 0 for none) or a resource: kind, pointer."""
NAME = Struct("<QQ")
"""A name outside of a value: length, pointer."""
EMPTY = bytes(VAL_BYTES)
"""A value that owns nothing (the bool false), as `wasmtime_component_func_call` wants its results set up."""

# Large values own millions of allocations, so these release the GIL.
val_delete = long("wasmtime_component_val_delete", None, c_void_p)
"""A function `(address)` that frees everything that a value owns, but not the 32 bytes themselves."""
val_clone = long("wasmtime_component_val_clone", None, c_void_p, c_void_p)
"""A function `(source, target)` that makes a deep copy in wasmtime's own allocations, which `val_delete` frees."""


def _check_layout() -> None:
    """Raise `UnsupportedWasmtime` unless the C structs are laid out as this module writes them."""
    union = _bindings.wasmtime_component_valunion
    expected = {
        ("val", "kind"): 0,
        ("val", "of"): PAYLOAD,
        ("valrecord_entry", "name"): 0,
        ("valrecord_entry", "val"): RECORD_ENTRY_VALUE,
        ("vallist", "size"): 0,
        ("vallist", "data"): 8,
        ("valrecord", "data"): 8,
        ("valtuple", "data"): 8,
        ("valflags", "data"): 8,
        ("valvariant", "discriminant"): 0,
        ("valvariant", "val"): 16,
        ("valresult", "is_ok"): 0,
        ("valresult", "val"): 8,
    }
    wrong = [
        f"{struct}.{field}"
        for (struct, field), offset in expected.items()
        if getattr(getattr(_bindings, f"wasmtime_component_{struct}"), field).offset != offset
    ]
    sizes = {
        _bindings.wasmtime_component_val: VAL_BYTES,
        union: VAL_BYTES - PAYLOAD,
        _bindings.wasmtime_component_valrecord_entry: RECORD_ENTRY_BYTES,
        _bindings.wasm_byte_vec_t: NAME_BYTES,
    }
    wrong += [struct.__name__ for struct, size in sizes.items() if ctypes.sizeof(struct) != size]
    wrong += [f"union.{name}" for name in (entry[0] for entry in union._fields_) if getattr(union, name).offset != 0]
    if wrong:
        raise UnsupportedWasmtime(f"wasmtime lays component values out differently: {', '.join(wrong)}")


_check_layout()
