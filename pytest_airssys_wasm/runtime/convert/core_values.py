"""The conversions between core values and Python: i32 and i64 are ints, f32 and f64 are floats.

Integers have no sign in WebAssembly: both ranges are accepted (i32 from -2**31 to 2**32 - 1), and results are signed.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.floats import f32_bits, f32_of
from pytest_airssys_wasm.runtime.base.values import short_repr
from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TYPES = ("i32", "i64", "f32", "f64")


class Layout(Struct, frozen=True, kw_only=True):
    """A layout of values in C."""

    size: int
    """The bytes from one value to the next."""
    writers: dict[str, Callable[..., None]]
    """The functions `(buffer, offset, *lead, value)` that write a value, by type."""
    readers: dict[str, Callable[..., tuple[Any, ...]]]
    """The functions `(buffer, offset)` that return a tuple whose last item is the value, by type."""
    leads: dict[str, tuple[int, ...]]
    """The numbers that are written before the value, by type."""


def _layout(size: int, written: Sequence[str], read: Sequence[str], leads: Sequence[tuple[int, ...]]) -> Layout:
    return Layout(
        size=size,
        writers={name: struct.Struct(form).pack_into for name, form in zip(_TYPES, written)},
        readers={name: struct.Struct(form).unpack_from for name, form in zip(_TYPES, read)},
        leads=dict(zip(_TYPES, leads)),
    )


_KIND_AND_VALUE = ("<B7xI4x", "<B7xQ", "<B7xI", "<B7xd")
TAGGED = _layout(VAL_BYTES, _KIND_AND_VALUE, ("<B7xi", "<B7xq", "<B7xI", "<B7xd"), ((0,), (1,), (2,), (3,)))
"""The layout of `wasmtime_val_t`, in which a number tells the type."""
RAW = _layout(16, ("<Q", "<Q", "<Q", "<d"), ("<i", "<q", "<I", "<d"), ((), (), (), ()))
"""The layout of `wasmtime_val_raw_t`, which has no types. Narrow values are written with zeros above them."""


def lower(
    types: Sequence[str],
    values: Sequence[Any],
    target: Any,
    offset: int = 0,
    where: str = "args",
    layout: Layout = TAGGED,
) -> None:
    """Write `values` in this layout into the writable buffer `target`.

    Raises `TypeError` for a value of a wrong type and `ValueError` for a value out of range; both name the position.
    """
    for index, (name, value) in enumerate(zip(types, values)):
        place = f"{where}[{index}]"
        if name in ("i32", "i64"):
            value = _integer(name, value, place)
        elif name in ("f32", "f64"):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{place}: expected {name}, got {short_repr(value)}")
        else:
            raise TypeError(f"{place}: values of type {name} cannot be passed from Python")
        try:
            if name == "f32":
                value = f32_bits(float(value))
            layout.writers[name](target, offset + index * layout.size, *layout.leads[name], value)
        except (OverflowError, struct.error):
            raise ValueError(f"{place}: expected {name}, got {short_repr(value)}") from None


def lift(types: Sequence[str], source: Any, offset: int = 0, layout: Layout = TAGGED) -> tuple[Any, ...]:
    """Return one Python value for each type, read from consecutive values in this layout."""
    found = [layout.readers[name](source, offset + index * layout.size)[-1] for index, name in enumerate(types)]
    return tuple(f32_of(value) if name == "f32" else value for name, value in zip(types, found))


def unsupported(types: Sequence[str]) -> list[str]:
    """Return the members of `types` that do not have a Python value (v128 and references)."""
    return [name for name in types if name not in _TYPES]


def _integer(name: str, value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{place}: expected {name}, got {short_repr(value)}")
    bits = 32 if name == "i32" else 64
    if not -(2 ** (bits - 1)) <= value < 2**bits:
        raise ValueError(
            f"{place}: expected {name} (from {-(2 ** (bits - 1))} to {2**bits - 1}), got {short_repr(value)}"
        )
    return value % (1 << bits)
